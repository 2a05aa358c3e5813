"""Running a flow where there is no Prefect server yet: bootstrap and teardown bring their own for its time.

Prefect starts one beside the flow, on a database under `<home>/alone`, which keeps the history of these runs.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tasks.settings import settings

START = "120"
"""Seconds that the server may take to start, on a busy machine."""


def alone(home: Path) -> dict[str, str]:
    """Pure: the environment of a process whose flows bring their own server."""
    return {
        "PREFECT_HOME": str(home / "alone" / "prefect"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": START,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "DO_NOT_TRACK": "1",
    }


def start_alone(home: Path | None = None) -> None:
    """Turn this process to a server of its own, also if it was told of another one."""
    wanted: Mapping[str, str] = alone(home or settings().home)
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE"):
        os.environ.pop(name, None)
    os.environ.update(wanted)
    if "prefect" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
