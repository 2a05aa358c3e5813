"""A run whose pod never starts, on a cluster with the platform."""

import time

import pytest

from tests.cluster.outside import Outside
from tests.cluster.runs import ENDED, jobs, servers, start, until

ALLOWED = 20
"""Seconds that the run may be Pending."""
NOWHERE = f"127.0.0.1:9/slipway/none@sha256:{'0' * 64}"


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
    with servers(platform_up) as found:
        run = start(found.prefect_url, "retrain/iris", {}, **compute, pending_timeout=ALLOWED)
        state = until(found.prefect_url, run, ENDED, 120)["state"]
    assert state["type"] == "CRASHED", state
    assert any(word in state["message"] for word in reason.split("|")), state["message"]
    assert f"{ALLOWED} s are allowed (pending_timeout)" in state["message"]
    deadline = time.monotonic() + 30
    while jobs(platform_up, run) and time.monotonic() < deadline:
        time.sleep(1)
    assert not jobs(platform_up, run)
