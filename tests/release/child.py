"""Runs in a process of its own, which kills itself on the way."""

import os


def run(flow: str, path: str, fault: str) -> None:
    """`flow` ("release" or "rollback") of the model at `path`, killed at `fault`."""
    os.environ["SLIPWAY_FAULT"] = fault
    from tasks.settings import settings

    settings.cache_clear()
    if flow == "release":
        from flows.release import release

        release(path)
    else:
        from flows.rollback import rollback

        rollback(path, "it is slow")


def hold_lock(model: str, fault: str) -> None:
    """Take the release lock of `model` and die with it."""
    os.environ["SLIPWAY_FAULT"] = fault
    from tasks.faults import kill_here
    from tasks.locks import one_at_a_time
    from tasks.settings import settings

    settings.cache_clear()
    with one_at_a_time("release", model):
        kill_here(fault)
