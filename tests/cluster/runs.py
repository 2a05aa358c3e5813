"""Runs of a cluster's Prefect, through its API."""

import time
from typing import Any

from tasks.prefect_api import ask

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def ended(api: str, run: str, patience: float) -> dict[str, Any]:
    """The flow run as soon as it has ended, or as it is when `patience` seconds are over."""
    until = time.monotonic() + patience
    while True:
        found: dict[str, Any] = ask("GET", f"{api}/flow_runs/{run}").raise_for_status().json()
        if found["state_type"] in FINAL or time.monotonic() > until:
            return found
        time.sleep(0.5)
