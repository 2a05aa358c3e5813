"""Housekeeping with the login of releases, on a server that keeps the artifacts itself: what a cluster has."""

import sqlite3
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks import old_runs, tracking
from tasks.errors import RegistryError
from tasks.old_runs import Leaving
from tests.mlflow_server.conftest import Login, Server
from tests.release import model as test_model

pytestmark = pytest.mark.timeout(300)

MONTHS = timedelta(days=100)


def made_old(server: Server, runs: set[str]) -> None:
    with sqlite3.connect(server.folder / "mlflow.db") as database:
        back = MONTHS.total_seconds() * 1000
        for run in runs:
            database.execute(
                "UPDATE runs SET start_time = start_time - ?, end_time = end_time - ? WHERE run_uuid = ?",
                (back, back, run),
            )


def files(server: Server, name: str) -> list[Path]:
    """What the server keeps of a run or logged model."""
    return [file for file in (server.folder / "artifacts").rglob("*") if file.is_file() and name in str(file)]


def test_releases_remove_what_nobody_registered_and_notebooks_may_not(
    server: Server, login: Login, tmp_path: Path
) -> None:
    path = test_model.write_spec(tmp_path, f"m{uuid.uuid4().hex[:8]}")
    with login("training"):
        version = test_model.publish(path, own=True)
        lost = test_model.stored(1.0, tuple(test_model.SPEC["columns"]), copy=10_000)
        tracking.client().log_text(lost.run.run_id, "kept", "report.txt")
    with login("notebook"):
        client = tracking.client()
        own = client.create_run(client.create_experiment(f"of people {uuid.uuid4().hex[:6]}")).info.run_id
        client.log_text(own, "kept", "notes.txt")
        client.set_terminated(own)
    model = lost.source.removeprefix("models:/")
    registered = version.source.removeprefix("models:/")
    made_old(server, {lost.run.run_id, version.run_id, own})
    before = datetime.now(UTC) - MONTHS / 2
    assert files(server, model)
    assert files(server, lost.run.run_id)

    with login("notebook"):
        found = old_runs.find(before)
        mine = Leaving(
            tuple(run for run in found.runs if run.run_id == lost.run.run_id),
            tuple(one for one in found.models if one.model_id == model),
        )
        assert len(mine.runs) == len(mine.models) == 1
        for part in (Leaving(runs=mine.runs), Leaving(models=mine.models)):
            with pytest.raises(RegistryError, match=r"cannot be removed: .*[Pp]ermission denied"):
                old_runs.remove(part)
        assert files(server, model)
        assert files(server, lost.run.run_id)

    with login("release"):
        assert old_runs.find(before) == found
        assert registered not in {one.model_id for one in found.models}
        assert not {own, version.run_id} & {run.run_id for run in found.runs}
        old_runs.remove(mine)
        assert not files(server, model)
        assert not files(server, lost.run.run_id)
        left = old_runs.find(before)
        assert not {*mine.runs} & {*left.runs}
        assert not {*mine.models} & {*left.models}
        assert len(test_model.golden_of(version))
        assert files(server, own)
