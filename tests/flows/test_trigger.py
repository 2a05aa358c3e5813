"""Deployments started from a program, by a schedule and by a notebook, and run by the pools' workers."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
from nbclient import NotebookClient

from flows.trigger import trigger
from tasks.errors import PlatformError, SpecError
from tasks.housekeeping import Housekeeping
from tasks.prefect_api import ask
from tasks.runs import RunFailed
from tasks.settings import ROOT, Settings

pytestmark = [pytest.mark.platform, pytest.mark.usefixtures("first_retrain")]


def test_a_triggered_run_is_followed_to_its_result(platform: Settings) -> None:
    said: list[str] = []
    done = trigger("retrain", "iris", say=said.append, engine="pandas", force=True)
    assert done.result.model == "iris"
    assert done.state == done.result.outcome.capitalize()
    assert done.url.startswith(platform.prefect_url.removesuffix("/api"))
    assert said[0] == f"retrain/iris: {done.url}"
    assert any("Running" in line for line in said)
    assert any("snapshot" in line for line in said)


def test_housekeeping_runs_in_the_pool_that_the_schedule_uses() -> None:
    done = trigger("housekeeping", "platform", say=print, dry_run=True)
    assert isinstance(done.result, Housekeeping)
    assert done.result.dry_run


def test_a_failed_run_raises_with_its_own_reason(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.parquet"
    with pytest.raises(RunFailed) as raised:
        trigger("retrain", "iris", say=print, sources={"iris": str(missing)})
    assert "nothing.parquet" in str(raised.value)
    assert "/runs/flow-run/" in raised.value.next_step


def test_an_unknown_deployment_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SpecError, match=r"known: .*retrain/flight-delays, .*retrain/iris, .*score/iris"):
        trigger("retrain", "roses")


def test_a_parameter_that_the_flow_does_not_take_is_refused() -> None:
    with pytest.raises(SpecError, match=r"does not take these parameters.*dask"):
        trigger("retrain", "iris", engine="dask")


def test_following_ends_in_time_and_the_run_goes_on() -> None:
    with pytest.raises(PlatformError, match=r"is still .* after 0 s"):
        trigger("score", "iris", timeout=0)


@pytest.mark.timeout(180)
def test_a_schedule_fires(platform: Settings) -> None:
    """An interval schedule, on the deployment that everybody has: a run ends well that no person started."""
    api = platform.prefect_url
    deployment = httpx.get(f"{api}/deployments/name/retrain/iris").json()["id"]
    # Far enough ahead for the server to see it in time (it looks every 10 s), and again if it does not.
    first = (datetime.now(UTC) + timedelta(seconds=12)).isoformat()
    schedule = {"active": True, "schedule": {"interval": 20.0, "anchor_date": first}, "slug": "test"}
    made = ask("POST", f"{api}/deployments/{deployment}/schedules", [schedule])
    made.raise_for_status()
    try:
        run = first_scheduled_run(api, deployment)
    finally:
        ask("DELETE", f"{api}/deployments/{deployment}/schedules/{made.json()[0]['id']}").raise_for_status()
    assert run["auto_scheduled"]
    assert run["state_type"] == "COMPLETED", run["state"]["message"]


def first_scheduled_run(api: str, deployment: str) -> dict[str, Any]:
    """The first run that the scheduler made, when it has ended (the test's time limit ends the waiting)."""
    query = {
        "flow_runs": {"deployment_id": {"any_": [deployment]}, "operator": "and_"},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    while True:
        runs = httpx.post(f"{api}/flow_runs/filter", json=query).json()
        ended: list[dict[str, Any]] = [
            run
            for run in runs
            if run["auto_scheduled"] and run["state_type"] in ("COMPLETED", "FAILED", "CRASHED")
        ]
        if ended:
            return ended[0]
        time.sleep(0.5)


@pytest.mark.parametrize("name", ["retrain", "score"])
def test_the_example_notebooks_run_with_no_address_typed(platform: Settings, name: str) -> None:
    path = ROOT / "images" / "notebook" / "examples" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert "127.0.0.1" not in path.read_text()
    assert all(not cell.get("outputs") for cell in notebook.cells), "examples are kept without outputs"
    NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
    text = "".join(
        output.get("text", "") + str(output.get("data", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )
    assert "prediction" in text
    assert platform.serving_rest_url not in path.read_text()
