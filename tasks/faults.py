"""Test only: a place at which this process kills itself, to prove that a rerun ends in the same state."""

import os
import signal

from tasks.settings import settings


def kill_here(point: str) -> None:
    """SIGKILL this process if SLIPWAY_FAULT names `point`; otherwise nothing."""
    if settings().fault == point:
        os.kill(os.getpid(), signal.SIGKILL)
