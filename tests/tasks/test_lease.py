"""Who may work on a platform: what a look at its Lease means."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks import lease

ME, OTHER = "anna@laptop: bootstrap 1", "ben@desk: teardown 2"
BEGAN = datetime(2026, 11, 25, 18, 20, 11, 5, tzinfo=UTC)


def there(holder: str | None, version: str = "7", process: str = "", **spec: Any) -> dict[str, Any]:
    found = lease.manifest(holder or "", "slipway", BEGAN)
    found["metadata"]["resourceVersion"] = version
    found["metadata"]["annotations"] = {lease.PROCESS: process}
    found["spec"].update(spec)
    return found


@pytest.mark.parametrize(
    ("found", "first", "waited", "step"),
    [
        (None, "", 0, "create"),
        (None, "7", 5, "create"),
        (there(ME), "", 0, "mine"),
        (there(None), "7", 0, "take"),
        (there(OTHER), "7", 0, "watch"),
        (there(OTHER), "7", 29, "watch"),
        (there(OTHER), "7", 30, "take"),
        (there(OTHER, version="8"), "7", 3, "refuse"),
        (there(OTHER, version="8"), "7", 40, "refuse"),
        (there(OTHER, leaseDurationSeconds=60), "7", 40, "watch"),
        (there(OTHER, process=" ".join((*lease.machine(), str(os.getpid()), "1"))), "7", 0, "take"),
        (there(OTHER, process=f"another {lease.machine()[1]} {os.getpid()} 1"), "7", 0, "watch"),
        (there(OTHER, process=lease.process()), "7", 0, "watch"),
    ],
)
def test_only_a_holder_that_is_not_seen_to_renew_loses_its_lease(
    found: dict[str, Any] | None, first: str, waited: float, step: str
) -> None:
    assert lease.next_step(found, ME, first, waited) == step


def test_a_lease_says_who_holds_it_and_since_when() -> None:
    assert lease.description(there(OTHER)) == "ben@desk: teardown 2 is at work since 2026-11-25 18:20:11 UTC"
    assert there(ME)["spec"]["renewTime"] == "2026-11-25T18:20:11.000005Z"


def test_a_process_of_this_machine_that_was_killed_is_known_to_be_dead() -> None:
    code = "from tasks import lease; print(lease.process(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        mark = process.stdout.readline().strip()
        assert not lease.died(mark)
        process.kill()
        until = time.monotonic() + 10
        while not lease.died(mark):  # also while nobody has waited for it
            assert time.monotonic() < until
            time.sleep(0.01)
    assert lease.died(mark)
    assert not lease.died("")
    assert not lease.died("what an older Slipway wrote")


def test_two_runs_of_one_user_are_told_apart() -> None:
    assert lease.identity("bootstrap") != lease.identity("bootstrap")


def test_a_lease_that_ends_too_soon_for_its_renewals_would_be_taken_from_the_living() -> None:
    assert lease.DURATION > 3 * lease.RENEW
    assert lease.LOOK < lease.RENEW
