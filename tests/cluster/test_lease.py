"""Two bootstraps, or a bootstrap and a teardown, at one moment: one works, the other says who does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tasks import lease
from tasks.platform_lock import load_lock
from tests.cluster.outside import Outside
from tests.cluster.platform_state import get
from tests.cluster.pods import kubectl

PLATFORM = load_lock().namespaces.platform
HOLD = """
import sys, time
from tasks import lease
from tasks.kubernetes import client
with lease.held(client(sys.argv[1]), "teardown"):
    print("held", flush=True)
    time.sleep(600)
"""
pytestmark = pytest.mark.timeout(300)


@contextmanager
def holder(place: Outside) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the platform and does nothing."""
    command = place.command(sys.executable, "-c", HOLD, PLATFORM)
    with subprocess.Popen(
        command, env=place.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "held\n", process.stderr.read()
            yield process
        finally:
            process.kill()


def leases(place: Outside) -> list[str]:
    found = get(place, PLATFORM, "leases.coordination.k8s.io")
    return [each["spec"]["holderIdentity"] for each in found if each["metadata"]["name"] == lease.NAME]


@pytest.mark.parametrize("command", ["bootstrap", "teardown"])
def test_while_another_is_at_work_a_command_is_refused_and_told_whose_work_it_is(
    platform_up: Outside, command: str
) -> None:
    with holder(platform_up):
        (at_work,) = leases(platform_up)
        done = platform_up.slipway(command, "--json")
        assert leases(platform_up) == [at_work]
    assert done.returncode == 1, done.stdout
    observed = json.loads(done.stdout)["error"]["observed"]
    assert observed.startswith(f"is being worked on: {at_work} is at work since 20")


def test_a_killed_holder_is_replaced_at_once_on_its_own_machine(platform_up: Outside) -> None:
    with holder(platform_up) as process:
        os.kill(process.pid, signal.SIGKILL)
    (killed,) = leases(platform_up)
    done = platform_up.slipway("bootstrap", "--json")
    assert done.returncode == 0, done.stderr
    assert f"{killed} is at work since" in done.stderr
    assert "watched for" not in done.stderr


@pytest.mark.slow
def test_a_killed_holder_of_another_machine_is_watched_and_then_replaced(platform_up: Outside) -> None:
    with holder(platform_up) as process:
        os.kill(process.pid, signal.SIGKILL)
    (killed,) = leases(platform_up)
    kubectl(platform_up, "--namespace", PLATFORM, "annotate", "lease", lease.NAME, f"{lease.PROCESS}-")
    began = time.monotonic()
    done = platform_up.slipway("bootstrap", "--json")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began > lease.DURATION
    assert json.loads(done.stdout)["changed"] == []
    assert f"{killed} is at work since" in done.stderr
    assert leases(platform_up) == []


@pytest.mark.slow
def test_a_holder_that_slept_through_its_lease_is_stopped(platform_up: Outside) -> None:
    with holder(platform_up) as process:
        os.kill(process.pid, signal.SIGSTOP)
        done = platform_up.slipway("bootstrap", "--json")
        assert done.returncode == 0, done.stderr
        with holder(platform_up):
            os.kill(process.pid, signal.SIGCONT)
            assert process.wait(30) == 1
        assert process.stderr is not None
        assert "was stopped: meanwhile" in process.stderr.read()
