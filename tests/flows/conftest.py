"""`slipway` as a program of its own, on the platform of the session, and a model that is live there."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.settings import Settings

Slipway = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def slipway() -> Slipway:
    """Runs `slipway` with the given arguments; keywords are SLIPWAY_* variables."""

    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            **os.environ,
            **{f"SLIPWAY_{name.upper()}": value for name, value in variables.items()},
        }
        command = [str(Path(sys.executable).with_name("slipway")), *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    return run


@pytest.fixture(scope="session")
def first_retrain(platform: Settings, slipway: Slipway) -> "subprocess.CompletedProcess[str]":
    """`slipway retrain iris`, for people: whatever order the tests come in, iris is live after it."""
    return slipway("retrain", "iris", "--engine", "pandas")
