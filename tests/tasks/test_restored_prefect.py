"""What Prefect forgets of a backup, on a server of the test's own: it is everybody's locks and runs."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.local.prefect_database import ensure_database
from tasks import alone, prefect_api, standstill
from tasks.prefect_api import ask
from tasks.settings import inherited

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("home") / "alone", alone.free_port()
    ensure_database(folder)
    url, log = f"http://127.0.0.1:{port}/api", Path(folder / "server.log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            alone.command(port), env=inherited(alone.environment(folder, url)), stdout=out, stderr=out
        )
    try:
        alone.wait(process, url, log)
        yield url
    finally:
        alone.stop(process)


def post(url: str, body: dict[str, Any]) -> Any:
    return ask("POST", url, body).raise_for_status().json()


def test_locks_are_freed_and_other_limits_stay(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_api, "PAGE", 2)
    for name in ("release-iris", "housekeeping-platform", "made-by-hand", "release-churn", "release-wine"):
        post(f"{api}/v2/concurrency_limits/", {"name": name, "limit": 1})
    standstill.free_locks(api)
    assert [each["name"] for each in post(f"{api}/v2/concurrency_limits/filter", {})] == ["made-by-hand"]


def test_runs_that_cannot_go_on_end_and_those_of_the_future_stay(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "PAGE", 2)
    flow = post(f"{api}/flows/", {"name": "retrain"})["id"]
    now = datetime.now(UTC)

    def run(kind: str, **details: Any) -> str:
        body = {"flow_id": flow, "state": {"type": kind, "state_details": details}}
        return str(post(f"{api}/flow_runs/", body)["id"])

    def at(hours: int) -> dict[str, str]:
        return {"scheduled_time": (now + timedelta(hours=hours)).isoformat()}

    expected = {
        **{run("RUNNING"): "CRASHED" for _ in range(3)},
        run("PENDING"): "CRASHED",
        run("CANCELLING"): "CRASHED",
        run("SCHEDULED", **at(-30)): "CANCELLED",
        run("SCHEDULED", **at(+30)): "SCHEDULED",
        run("COMPLETED"): "COMPLETED",
        run("FAILED"): "FAILED",
    }
    assert standstill.end_runs(api) == 6
    found = {each["id"]: each["state_type"] for each in post(f"{api}/flow_runs/filter", {})}
    assert found == expected
    assert standstill.end_runs(api) == 0
