"""Backups: what is sealed, checked and copied; and the scripts of the Jobs, on a PostgreSQL of the test's own."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks import backup, backup_places, databases, dumps
from tasks.backup import Manifest
from tasks.backup_places import Bucket, Folder
from tasks.errors import PlatformError, SpecError
from tasks.kubernetes import DEPLOYMENT, STATEFUL_SET
from tasks.secrets import Place
from tasks.standstill import ready, servers
from tests.model_server.server import free_ports
from tests.tasks.test_platform_lock import parsed

PHRASE = "correct horse battery"
HELD = {Place("slipway", "slipway-s3"): {"key": "planted"}, Place("serving", "slipway-mlflow"): {"a": "b"}}


def test_sealed_secrets_are_read_with_the_passphrase_only() -> None:
    sealed = backup.seal(HELD, PHRASE)
    assert b"planted" not in sealed
    assert b"slipway" not in sealed
    assert backup.unseal(sealed, PHRASE) == HELD
    assert backup.seal(HELD, PHRASE) != sealed
    with pytest.raises(PlatformError, match="cannot be read with this passphrase"):
        backup.unseal(sealed, PHRASE + ".")
    document = json.loads(sealed)
    altered = json.dumps({**document, "sealed": document["sealed"][:-4] + "AAAA"}).encode()
    with pytest.raises(PlatformError, match="cannot be read"):
        backup.unseal(altered, PHRASE)


@pytest.mark.parametrize("phrase", ["", "short"])
def test_no_backup_without_a_passphrase_worth_the_name(phrase: str) -> None:
    with pytest.raises(SpecError, match="SLIPWAY_BACKUP_PASSPHRASE"):
        backup.check_passphrase(phrase)


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, stand_in: str) -> Folder | Bucket:
    if request.param == "folder":
        return Folder(tmp_path / "backup")
    client = request.getfixturevalue("bucket")
    return Bucket(client, "data", "kept/monday")


def written(place: Folder | Bucket, **files: bytes) -> Manifest:
    found = {name: backup.put_bytes(place, name, content) for name, content in files.items()}
    manifest = Manifest(
        made=datetime.now(UTC),
        bucket="slipway",
        champions={"iris": 2},
        versions=("iris version 2",),
        files=found,
    )
    backup.put_bytes(place, backup.MANIFEST, manifest.model_dump_json().encode())
    return manifest


def test_what_was_put_is_what_is_read(place: Folder | Bucket) -> None:
    backup.check_empty(place)
    manifest = written(place, a=b"1", **{"objects/mlflow/1/model.skops": b"2" * 1000})
    assert place.names() == ["a", "manifest.json", "objects/mlflow/1/model.skops"]
    assert backup.read(place, "slipway") == manifest
    assert manifest.files["a"].size == 1
    with pytest.raises(SpecError, match="is not empty"):
        backup.check_empty(place)


def test_a_backup_that_is_not_whole_is_refused(place: Folder | Bucket) -> None:
    with pytest.raises(PlatformError, match=r"holds no manifest\.json"):
        backup.read(place, "slipway")
    written(place, a=b"1")
    with pytest.raises(PlatformError, match="is of the bucket slipway, and the platform's is another"):
        backup.read(place, "another")
    backup.put_bytes(place, "a", b"2")
    with pytest.raises(PlatformError, match="a: is not what the backup's manifest says"):
        backup.read(place, "slipway")


def test_a_prefix_is_no_other_that_begins_like_it(bucket: Any) -> None:
    for key in ("kept/a/1", "kept/ab/1", "kept/a"):
        bucket.put_object(Bucket="data", Key=key, Body=b"x")
    whole = Bucket(bucket, "data")
    assert whole.at("kept/a") == ["kept/a", "kept/a/1"]
    assert Bucket(bucket, "data", "kept/ab").names() == ["1"]
    assert whole.names() == ["kept/a", "kept/a/1", "kept/ab/1"]


def test_a_folder_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    Folder(tmp_path / "b").put("secrets.json", Path(__file__))
    assert (tmp_path / "b").stat().st_mode & 0o077 == 0


def test_another_address_is_refused() -> None:
    with pytest.raises(SpecError, match="neither a folder nor s3://"):
        backup_places.place("gs://bucket/x")


def test_an_object_that_a_version_refers_to_must_be_there() -> None:
    there = {
        "mlflow/1/models/m-1/artifacts": ["mlflow/1/models/m-1/artifacts/model.skops"],
        "records/1.json": [],
    }
    listed: Callable[[str], list[str]] = lambda key: there.get(key, [])  # noqa: E731
    assert backup.objects(["mlflow/1/models/m-1/artifacts"], listed) == next(iter(there.values()))
    with pytest.raises(PlatformError, match=r"records/1\.json: is gone"):
        backup.objects(there, listed)


@pytest.mark.parametrize("made", [databases.dump_job, databases.restore_job])
def test_the_jobs_show_no_secret_and_run_their_steps_in_turn(made: Callable[..., Any]) -> None:
    lock = parsed()
    manifest = made(lock)
    spec = manifest["spec"]["template"]["spec"]
    steps = [*spec["initContainers"], *spec["containers"]]
    assert manifest["spec"]["backoffLimit"] == 0
    assert {each["name"] for each in spec["volumes"]} == {"tmp", "data"}
    names = [step["name"] for step in steps]
    assert names == (
        ["services", "postgres", "keep"] if made is databases.dump_job else ["services", "fetch", "postgres"]
    )
    for step in steps:
        assert step["securityContext"]["readOnlyRootFilesystem"]
        for entry in step["env"]:
            secret = entry["name"] in ("MLFLOW_URI", "PREFECT_URI") or entry["name"].startswith("AWS_")
            assert entry["name"] == "AWS_DEFAULT_REGION" or ("valueFrom" in entry) is secret
        assert step["image"] == lock.image("postgres" if step["name"] == "postgres" else "flow")


def test_services_name_databases_with_any_password() -> None:
    found = dumps.services(
        {"prefect": "postgresql+asyncpg://prefect:p%40ss%2Fw@db.example.com:6432/prefect?sslmode=require"}
    )
    assert found.splitlines() == [
        "[prefect]", "host=db.example.com", "port=6432", "dbname=prefect", "user=prefect", "password=p@ss/w",
        "sslmode=require",
    ]  # fmt: skip


def workload(name: str, label: str, replicas: int) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": label}},
        "spec": {"replicas": replicas},
    }


def test_what_writes_to_the_databases_stops_and_starts_as_it_was() -> None:
    found = [
        (STATEFUL_SET, workload("prefect", "prefect", 1)),
        (STATEFUL_SET, workload("postgres", "postgres", 1)),
        (DEPLOYMENT, workload("worker-pandas", "worker", 3)),
        (DEPLOYMENT, workload("mlflow", "mlflow", 0)),  # left so by a restore that was killed
    ]
    assert [(one.name, one.replicas) for one in servers(found)] == [
        ("prefect", 1), ("worker-pandas", 3), ("mlflow", 1),
    ]  # fmt: skip


def test_a_pod_is_ready_when_it_says_so() -> None:
    assert ready({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    assert not ready({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    assert not ready({})


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which psql finds a server of the test's own by the names of services."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found or shutil.which("setpriv") is None:
        pytest.skip("there is no PostgreSQL on this machine")
    programs = found[-1]
    folder = tmp_path / "postgres"
    folder.mkdir()
    for each in (tmp_path, *tmp_path.parents):  # the server refuses to run as root
        if str(each).startswith("/tmp/"):
            each.chmod(0o755)
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    if user:
        shutil.chown(folder, 65534, 65534)
    (port,) = free_ports(1)
    (tmp_path / "password").write_text("of postgres")
    (tmp_path / "password").chmod(0o644)
    run = lambda *words: subprocess.run([*user, *words], check=True, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: E731
    run(
        programs / "initdb", f"--pgdata={folder}/data", "--username=postgres", f"--pwfile={tmp_path}/password",
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
        }
        (tmp_path / "services").write_text(dumps.services(uris))
        environment = {
            **os.environ,
            "PGSERVICEFILE": str(tmp_path / "services"),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        for name in backup.NAMES:
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


def test_a_database_becomes_what_its_dump_says_or_stays_as_it_was(
    postgres: dict[str, str], tmp_path: Path
) -> None:
    """With an extension of the administrator's, a cycle of foreign keys and an index, as Prefect has them."""
    sql(postgres, "postgres", "CREATE DATABASE scratch")
    superuser = subprocess.run(
        ["psql", "--no-psqlrc", "service=postgres dbname=prefect", "--command=CREATE EXTENSION btree_gin"],
        env=postgres, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert superuser.returncode == 0, superuser.stderr
    for name in backup.NAMES:
        sql(
            postgres,
            name,
            "CREATE TABLE run (id int PRIMARY KEY, state int);"
            "CREATE TABLE state (id serial PRIMARY KEY, run int REFERENCES run, what text);"
            "ALTER TABLE run ADD FOREIGN KEY (state) REFERENCES state;"
            "INSERT INTO run VALUES (1); INSERT INTO state (run, what) VALUES (1, 'kept');"
            "UPDATE run SET state = 1;",
        )
    sql(postgres, "prefect", "CREATE INDEX ON state USING gin (run)")
    folder = tmp_path / "data"
    folder.mkdir()
    made = script(postgres, folder, dumps.DUMP)
    assert made.returncode == 0, made.stderr

    for name in backup.NAMES:
        sql(postgres, name, "UPDATE run SET state = NULL; DELETE FROM state; INSERT INTO run VALUES (2)")
    done = script(postgres, folder, dumps.RESTORE)
    assert done.returncode == 0, done.stderr
    for name in backup.NAMES:
        assert (
            sql(postgres, name, "SELECT run.id, what FROM run JOIN state ON state.id = run.state") == "1|kept"
        )
        assert sql(postgres, name, "INSERT INTO state (run) VALUES (1) RETURNING id").splitlines()[0] == "2"

    broken = folder / "prefect.dump"
    broken.write_bytes(broken.read_bytes()[:-200])
    again = script(postgres, folder, dumps.RESTORE)
    assert again.returncode != 0
    assert sql(postgres, "prefect", "SELECT count(*) FROM run") == "1"
    assert sql(postgres, "prefect", "SELECT count(*) FROM state") == "2"
