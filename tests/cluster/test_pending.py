"""A run whose pod never starts, on a cluster with the platform."""

import time
from typing import Any

import pytest

from tasks.prefect_api import ask
from tasks.reach import reached
from tests.cluster.outside import Outside
from tests.cluster.platform_state import get
from tests.cluster.runs import ended

ALLOWED = 20
"""Seconds that the run may be Pending."""
NOWHERE = f"127.0.0.1:9/slipway/none@sha256:{'0' * 64}"


def deployment(api: str) -> str:
    found = ask("GET", f"{api}/deployments/name/retrain/iris").raise_for_status().json()
    return str(found["id"])


@pytest.mark.parametrize(
    ("compute", "reason"),
    [
        ({"image": NOWHERE}, "ErrImagePull|ImagePullBackOff"),
        ({"cpu": "1000"}, "Insufficient cpu"),
    ],
    ids=["image", "room"],
)
def test_a_run_that_stays_pending_is_crashed_with_the_pods_reason_and_its_job_goes(
    platform_up: Outside, compute: dict[str, str], reason: str
) -> None:
    with platform_up.here(), reached("Prefect") as found:
        api = found.prefect_url
        body = {"job_variables": {**compute, "pending_timeout": ALLOWED}, "state": {"type": "SCHEDULED"}}
        url = f"{api}/deployments/{deployment(api)}/create_flow_run"
        run = ask("POST", url, body).raise_for_status().json()["id"]
        state = ended(api, run, 120)["state"]
    assert state["type"] == "CRASHED", state
    assert any(word in state["message"] for word in reason.split("|")), state["message"]
    assert f"{ALLOWED} s are allowed (pending_timeout)" in state["message"]
    until = time.monotonic() + 30
    while jobs(platform_up, run) and time.monotonic() < until:
        time.sleep(1)
    assert not jobs(platform_up, run)


def jobs(place: Outside, run: str) -> list[dict[str, Any]]:
    return get(place, "slipway-training", "jobs", "--selector", f"prefect.io/flow-run-id={run}")
