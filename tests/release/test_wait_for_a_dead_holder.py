"""The lock of a run that died, waited for: the last file of this folder, since the lease takes 60 s to end."""

import time

from tasks.locks import one_at_a_time
from tasks.settings import settings
from tests.release.conftest import DeadHolder


def test_a_dead_holder_frees_the_lock_when_its_lease_ends(dead_holder: DeadHolder) -> None:
    """The real thing, at the shortest lease that Prefect accepts."""
    with one_at_a_time("release", dead_holder.model):
        waited = time.monotonic() - dead_holder.died

    # Nobody may be let in while the holder could still be alive: it renews at three quarters of the lease.
    assert waited > settings().lock_lease * 0.5
