"""An upgrade from servers with older schemas: migrated before the new ones start, and nothing is lost."""

from typing import Any

import pytest

from tests.cluster.pods import SETTLED, kubectl, run
from tests.cluster.second import Second

REACHED = f"""{SETTLED}
import os
from urllib.parse import urlsplit
server = urlsplit(os.environ["URI"])
settled(server.hostname, server.port)
"""
OLD_MLFLOW = f"""{REACHED}
import json, os
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import MetaData, create_engine, text

uri = os.environ["URI"]
engine = create_engine(uri)
there = MetaData()
there.reflect(engine)
there.drop_all(engine)
Base.metadata.create_all(engine)
scripts = ScriptDirectory.from_config(_get_alembic_config(uri))
head = scripts.get_current_head()
command.upgrade(_get_alembic_config(uri), scripts.get_revision(head).down_revision)
old = MetaData()
old.reflect(engine)
with engine.begin() as connection:
    connection.execute(old.tables["experiments"].insert().values(
        experiment_id=7, name="kept", lifecycle_stage="active", artifact_location="s3://slipway/mlflow/7"))
    connection.execute(old.tables["runs"].insert().values(
        run_uuid="a" * 32, name="kept", experiment_id=7, status="FINISHED", lifecycle_stage="active",
        source_type="LOCAL", user_id="anna", start_time=1, end_time=2, artifact_uri="s3://slipway/mlflow/7/a"))
print(json.dumps(head))
"""
"""MLflow's database as the release before the last migration had it, with a run."""
OLD_PREFECT = f"""{REACHED}
import json, subprocess
subprocess.run(["prefect", "server", "database", "downgrade", "-y", "-r", "-1"], check=True)
print(json.dumps("done"))
"""
ASKED = (
    REACHED
    + """
import json, os
from sqlalchemy import create_engine, text
uri = os.environ["URI"].replace("+asyncpg", "")
with create_engine(uri).connect() as connection:
    print(json.dumps([[str(each) for each in row] for row in connection.execute(text(os.environ["QUERY"]))]))
"""
)
REVISION = "select version_num from alembic_version"
RUNS = "select run_uuid, status, user_id from runs"
SCHEDULES = (
    "select d.name, s.slug from deployment d "
    "left join deployment_schedule s on s.deployment_id = d.id order by 1, 2"
)
LABELS = {"slipway.io/role": "verification"}


def secret(name: str, key: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": "slipway-postgres", "key": key}}}


def asked(second: Second, server: str, query: str) -> list[list[str]]:
    environment = [secret("URI", f"{server}-uri"), {"name": "QUERY", "value": query}]
    platform = second.namespaces[0]
    found: list[list[str]] = run(
        second.cli, platform, ASKED, labels=LABELS, environment=environment, image="mlflow"
    )
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_older_schemas_are_migrated_before_the_new_servers_start_and_nothing_is_lost(second: Second) -> None:
    second.bootstrap()
    platform = second.namespaces[0]
    revision, schedules = asked(second, "prefect", REVISION), asked(second, "prefect", SCHEDULES)
    for server in ("deployment/mlflow", "statefulset/prefect"):
        kubectl(second.cli, "--namespace", platform, "scale", server, "--replicas=0")
        name = server.partition("/")[2]
        gone = (
            "wait",
            "--for=delete",
            "pod",
            "--selector",
            f"app.kubernetes.io/name={name}",
            "--timeout=50s",
        )
        kubectl(second.cli, "--namespace", platform, *gone)
    uri, home = secret("URI", "mlflow-uri"), {"name": "HOME", "value": "/tmp"}
    head = run(second.cli, platform, OLD_MLFLOW, labels=LABELS, environment=[uri, home], image="mlflow")
    old = [secret(name, "prefect-uri") for name in ("PREFECT_API_DATABASE_CONNECTION_URL", "URI")]
    run(second.cli, platform, OLD_PREFECT, labels=LABELS, environment=[*old, home])
    assert asked(second, "mlflow", REVISION) != [[head]]
    assert asked(second, "prefect", REVISION) != revision

    changed = second.bootstrap()["changed"]

    assert {"mlflow", "prefect"} <= set(changed)
    assert asked(second, "mlflow", REVISION) == [[head]]
    assert ["a" * 32, "FINISHED", "anna"] in asked(second, "mlflow", RUNS)
    assert asked(second, "prefect", REVISION) == revision
    assert asked(second, "prefect", SCHEDULES) == schedules
    assert any(slug != "None" for _, slug in schedules)
    for server, first in (("deployment/mlflow", "prepare"), ("statefulset/prefect", "upgrade-database")):
        log = kubectl(second.cli, "--namespace", platform, "logs", server, "--container", first)
        assert "Running upgrade" in log or "upgraded" in log, log
