"""Dumps of the databases: the Jobs, and their scripts on a PostgreSQL of the test's own."""

import os
import shutil
import socket
import subprocess
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import databases, dumps
from tasks.errors import PlatformError
from tasks.platform_lock import PlatformLock
from tests.model_server.server import free_ports
from tests.tasks.test_platform_lock import content, parsed

NAMES = ("mlflow", "prefect", "hub")


def with_hub(enabled: bool) -> PlatformLock:
    components = [{"name": name, "enabled": enabled} for name in ("notebooks", "jupyterhub")]
    return parsed(components=[*content()["components"], *components])


def test_the_hubs_database_is_kept_where_there_is_a_hub() -> None:
    assert databases.names(with_hub(True)) == NAMES
    assert databases.names(with_hub(False)) == NAMES[:2]
    assert databases.names(parsed()) == NAMES[:2]


@pytest.mark.parametrize("dumping", [True, False])
def test_the_jobs_show_no_secret_and_run_their_steps_in_turn(dumping: bool) -> None:
    lock = with_hub(True)
    manifest = databases.dump_job(lock) if dumping else databases.restore_job(lock, NAMES)
    spec = manifest["spec"]["template"]["spec"]
    steps = [*spec["initContainers"], *spec["containers"]]
    assert manifest["spec"]["backoffLimit"] == 0
    assert {each["name"] for each in spec["volumes"]} == {"tmp", "data"}
    names = [step["name"] for step in steps]
    assert names == (["services", "postgres", "keep"] if dumping else ["services", "fetch", "postgres"])
    assert manifest["metadata"]["name"] == ("slipway-backup" if dumping else "slipway-restore")
    assert spec["priorityClassName"] == "slipway-platform"
    for step in steps:
        assert step["securityContext"]["readOnlyRootFilesystem"]
        for entry in step["env"]:
            secret = entry["name"].endswith("_URI") or entry["name"].startswith("AWS_")
            assert entry["name"] == "AWS_DEFAULT_REGION" or ("valueFrom" in entry) is secret
        assert "$$" not in "".join(step["command"]), "Kubernetes would make one of the two"
        assert step["image"] == lock.image("postgres" if step["name"] == "postgres" else "flow")


def services(**uris: str) -> str:
    return dumps.services({name: dumps.parsed(name, uri) for name, uri in uris.items()})


def test_services_name_databases_with_any_password() -> None:
    found = services(
        prefect="postgresql+asyncpg://prefect:p%40ss%2Fw@db.example.com:6432/prefect?sslmode=require"
    )
    assert found.splitlines() == [
        "[prefect]", "host=db.example.com", "port=6432", "dbname=prefect", "user=prefect", "password=p@ss/w",
        "sslmode=require",
    ]  # fmt: skip


def test_of_a_drivers_options_those_of_postgresql_stay() -> None:
    found = services(prefect="postgresql+asyncpg://u:p@db/x?ssl=require&command_timeout=9")
    assert found.splitlines()[-2:] == ["password=p", "sslmode=require"]


def test_a_password_may_have_a_slash_in_it() -> None:
    found = services(mlflow="postgresql://u:pla/nted@db/x").splitlines()
    assert (found[1], found[-1]) == ("host=db", "password=pla/nted")


@pytest.mark.parametrize("uri", ["postgresql://u:p@db:planted/x", "planted nonsense"])
def test_no_part_of_a_wrong_uri_is_said(uri: str) -> None:
    with pytest.raises(PlatformError, match="database mlflow: has a URI that cannot be read") as refused:
        dumps.parsed("mlflow", uri)
    assert "planted" not in "".join(traceback.format_exception(refused.value))


def test_without_a_digest_of_postgresqls_programs_nothing_is_dumped() -> None:
    with pytest.raises(PlatformError, match=r"images\.postgres: has no digest.*major version"):
        databases.check_image(parsed())
    image = {"image": "docker.io/library/postgres", "tag": "17", "digest": f"sha256:{'a' * 64}"}
    databases.check_image(parsed(images={**content()["images"], "postgres": image}))


def test_the_jobs_wait_for_each_database_and_the_store() -> None:
    uris = ("postgresql://u:p@a/x", "postgresql://u:p@b:6432/x")
    urls = [dumps.parsed("mlflow", uri) for uri in uris]
    of_databases = {("a", 5432), ("b", 6432)}
    assert dumps.addresses(urls, "http://s3.slipway.svc:8333") == of_databases | {("s3.slipway.svc", 8333)}
    assert dumps.addresses(urls, "https://s3.example.com") == of_databases | {("s3.example.com", 443)}
    assert dumps.addresses(urls, "http://s3.example.com") == of_databases | {("s3.example.com", 80)}


def test_what_lets_nobody_connect_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dumps, "PATIENCE", 0.0)
    (port,) = free_ports(1)
    with pytest.raises(PlatformError, match=f"127.0.0.1:{port}: lets nobody connect"):
        dumps.wait_for("127.0.0.1", port)


def test_a_dump_on_its_way_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dumps, "CHUNK", 1000)
    dump, closed, opened = (tmp_path / name for name in ("dump", "closed", "opened"))
    dump.write_bytes(os.urandom(4500) + b"planted")
    dumps.close(dump, closed, "key")
    assert b"planted" not in closed.read_bytes()
    dumps.open_(closed, opened, "key")
    assert opened.read_bytes() == dump.read_bytes()
    with pytest.raises(PlatformError, match="was closed with another key"):
        dumps.open_(closed, opened, "another")


def test_the_steps_beside_postgresqls_hand_dumps_on_through_the_store(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumps, "FOLDER", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as database:
        at = f"127.0.0.1:{database.getsockname()[1]}"
        given = {
            "DATABASES": "mlflow hub",
            "BUCKET": "data",
            "MLFLOW_URI": f"postgresql://u:p@{at}/m",
            "HUB_URI": f"postgresql://u:p@{at}/h",
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        dumps.main("services")
    services = tmp_path / dumps.SERVICES
    assert [line for line in services.read_text().splitlines() if line.startswith("[")] == [
        "[mlflow]",
        "[hub]",
    ]
    assert services.stat().st_mode & 0o077 == 0
    for name in ("mlflow", "hub"):
        (tmp_path / f"{name}.dump").write_bytes(f"dump of {name}".encode())
    dumps.main("keep")
    stored = [
        bucket.get_object(Bucket="data", Key=f"backup/{name}.dump")["Body"].read()
        for name in ("mlflow", "hub")
    ]
    assert not [each for each in stored if b"dump of" in each]
    for name in ("mlflow", "hub"):
        (tmp_path / f"{name}.dump").unlink()
    dumps.main("fetch")
    assert (tmp_path / "hub.dump").read_bytes() == b"dump of hub"
    assert not (tmp_path / "closed").exists()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """The server refuses to run as root, and pytest's own folders are closed to everybody else."""
    with tempfile.TemporaryDirectory(prefix="slipway-postgres-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def postgres(open_folder: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which psql finds a server of the test's own by the names of services."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found or shutil.which("setpriv") is None:
        pytest.skip("there is no PostgreSQL on this machine")
    programs = found[-1]
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    folder = open_folder / "server"
    folder.mkdir()
    if user:
        shutil.chown(folder, 65534, 65534)
    (port,) = free_ports(1)
    password = open_folder / "password"
    password.write_text("of postgres")
    password.chmod(0o644)
    run = lambda *words: subprocess.run([*user, *words], check=True, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: E731
    run(
        programs / "initdb", f"--pgdata={folder}/data", "--username=postgres", f"--pwfile={password}",
        "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8",
    )  # fmt: skip
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    ctl = (programs / "pg_ctl", f"--pgdata={folder}/data", "--wait", "--silent")
    run(*ctl, "start", f"--log={folder}/log", f"--options={options}")
    try:
        at = f"127.0.0.1:{port}"
        uris = {
            "postgres": f"postgresql://postgres:of%20postgres@{at}/postgres",
            "mlflow": f"postgresql://mlflow:of%20mlflow@{at}/mlflow",
            "prefect": f"postgresql+asyncpg://prefect:of%20prefect@{at}/prefect",
            "hub": f"postgresql+psycopg2://hub:of%20hub@{at}/hub",
        }
        (tmp_path / "services").write_text(services(**uris))
        environment = {
            **os.environ,
            "PGSERVICEFILE": str(tmp_path / "services"),
            "DATABASES": " ".join(NAMES),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        for name in NAMES:
            sql(environment, "postgres", f"CREATE ROLE {name} LOGIN PASSWORD 'of {name}'")
            sql(environment, "postgres", f"CREATE DATABASE {name} OWNER {name}")
        yield environment
    finally:
        run(*ctl, "stop", "--mode=immediate")


def sql(environment: dict[str, str], service: str, text: str) -> str:
    done = subprocess.run(
        ["psql", "-X", "-t", "-A", "--set=ON_ERROR_STOP=1", f"service={service}", f"--command={text}"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def script(environment: dict[str, str], folder: Path, text: str) -> "subprocess.CompletedProcess[str]":
    words = text.replace(str(dumps.FOLDER), str(folder))
    return subprocess.run(["sh", "-c", words], env=environment, capture_output=True, text=True, check=False)


def filled(environment: dict[str, str]) -> None:
    """Each database with a cycle of foreign keys, a type, a view and a function; Prefect's with an extension."""
    superuser = subprocess.run(
        ["psql", "--no-psqlrc", "service=postgres dbname=prefect", "--command=CREATE EXTENSION btree_gin"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert superuser.returncode == 0, superuser.stderr
    for name in NAMES:
        sql(
            environment,
            name,
            "CREATE TYPE kind AS ENUM ('good', 'bad');"
            "CREATE TABLE run (id int PRIMARY KEY, state int, kind kind DEFAULT 'good');"
            "CREATE TABLE state (id serial PRIMARY KEY, run int REFERENCES run, what text);"
            "ALTER TABLE run ADD FOREIGN KEY (state) REFERENCES state;"
            "CREATE TABLE rollup (id bigint GENERATED BY DEFAULT AS IDENTITY, what text);"
            "INSERT INTO rollup (what) VALUES ('kept');"
            "CREATE VIEW good AS SELECT * FROM run WHERE kind = 'good';"
            "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';"
            "INSERT INTO run VALUES (1); INSERT INTO state (run, what) VALUES (1, 'kept');"
            "UPDATE run SET state = 1;",
        )
    sql(environment, "prefect", "CREATE INDEX ON state USING gin (run)")


def test_a_database_becomes_what_its_dump_says_or_stays_as_it_was(
    postgres: dict[str, str], tmp_path: Path
) -> None:
    filled(postgres)
    folder = tmp_path / "data"
    folder.mkdir()
    made = script(postgres, folder, dumps.DUMP)
    assert made.returncode == 0, made.stderr

    for name in NAMES:
        sql(postgres, name, "UPDATE run SET state = NULL; DELETE FROM state; INSERT INTO run VALUES (2)")
        # What a newer server made, which the dump does not name, and which holds on to what it does.
        sql(
            postgres,
            name,
            "CREATE TABLE newer (run int REFERENCES run, kind kind); CREATE TYPE new AS ENUM ('a')",
        )
    done = script(postgres, folder, dumps.RESTORE)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        found = sql(postgres, name, "SELECT run.id, what FROM run JOIN state ON state.id = run.state")
        assert found == "1|kept"
        assert sql(postgres, name, "SELECT one(), kind FROM good") == "1|good"
        assert sql(postgres, name, "SELECT count(*) FROM pg_tables WHERE tablename = 'newer'") == "0"
        assert sql(postgres, name, "SELECT count(*) FROM pg_type WHERE typname = 'new'") == "0"
        assert sql(postgres, name, "SELECT id, what FROM rollup") == "1|kept"
        assert sql(postgres, name, "INSERT INTO state (run) VALUES (1) RETURNING id").splitlines()[0] == "2"
    assert sql(postgres, "prefect", "SELECT count(*) FROM pg_extension WHERE extname = 'btree_gin'") == "1"

    broken = folder / f"{NAMES[-1]}.dump"
    broken.write_bytes(broken.read_bytes()[:-200])
    again = script(postgres, folder, dumps.RESTORE)
    assert again.returncode != 0
    for name in NAMES:  # the whole ones too: each dump is read before anything is written
        assert sql(postgres, name, "SELECT count(*) FROM state") == "2"
