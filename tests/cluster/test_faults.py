"""Training pods that are killed: their run ends in a true state, and nothing is half registered."""

import time
from collections.abc import Iterator

import pytest

from tests.cluster import runs
from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl
from tests.cluster.runs import ENDED, registered, servers, start, until

ANEW = {"force": True}


@pytest.fixture
def untouched(platform_up: Outside) -> Iterator[str]:
    """Prefect's address, with iris live; no version and no alias of it may change in the test."""
    done = platform_up.slipway("retrain", "iris")  # nothing to do, but for the first test
    assert done.returncode == 0, done.stdout + done.stderr
    with servers(platform_up) as found:
        before = registered("iris")
        yield found.prefect_url
        assert registered("iris") == before


def test_killed_processes_are_a_crashed_run(platform_up: Outside, untouched: str) -> None:
    run = start(untouched, "retrain/iris", ANEW)
    until(untouched, run, ("RUNNING",), 60)
    runs.kill(platform_up, runs.pod(platform_up, run))
    began = time.monotonic()
    ended = until(untouched, run, ENDED, 30)["state"]
    print(f"{ended['type']} after {time.monotonic() - began:.1f} s: {ended['message']}")
    assert ended["type"] == "CRASHED", ended


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_processes_that_no_worker_sees_are_a_crashed_run(platform_up: Outside, untouched: str) -> None:
    run = start(untouched, "retrain/iris", ANEW)
    until(untouched, run, ("RUNNING",), 60)
    name = runs.pod(platform_up, run)
    scale = ("scale", "--namespace", "slipway", "deployment/worker-pandas")
    kubectl(platform_up, *scale, "--replicas=0")
    try:
        kubectl(
            platform_up,
            "wait",
            "--namespace",
            "slipway",
            "--for=delete",
            "pod",
            "-l",
            "slipway.io/pool=pandas",
        )
        runs.kill(platform_up, name)
        ended = until(untouched, run, ENDED, 180)["state"]
    finally:
        kubectl(platform_up, *scale, "--replicas=1")
    assert ended["type"] == "CRASHED", ended
    assert "No heartbeat" in ended["message"]


def test_a_pod_without_enough_memory_is_a_crashed_run_that_says_so(
    platform_up: Outside, untouched: str
) -> None:
    run = start(untouched, "retrain/iris", ANEW, memory="200Mi")
    ended = until(untouched, run, ENDED, 120)["state"]
    assert ended["type"] == "CRASHED", ended
    assert "OOMKilled" in ended["message"] or "memory" in ended["message"], ended
