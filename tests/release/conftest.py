"""Models of a test's own, on the platform that the whole session shares."""

import itertools
import multiprocessing
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.settings import Settings
from tests.release import child
from tests.release.model import write_spec


@pytest.fixture(scope="session")
def home(platform: Settings) -> Path:
    """The platform's folder; Prefect in this process, imported before or not, talks to the platform."""
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    return platform.home


@dataclass(frozen=True)
class DeadHolder:
    """A process that was killed holding the release lock of `model`; `died` is by the monotonic clock."""

    model: str
    died: float


@pytest.fixture(scope="session", autouse=True)
def dead_holder(home: Path, specs: Callable[..., str]) -> DeadHolder:
    """Killed when the session begins, so that its lease ends while other tests run."""
    model = Path(specs("lock")).stem
    holder = multiprocessing.get_context("spawn").Process(target=child.hold_lock, args=(model, "in the lock"))
    holder.start()
    holder.join(120)
    assert holder.exitcode == -signal.SIGKILL
    return DeadHolder(model, time.monotonic())


@pytest.fixture(scope="session")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Gives the path of a new spec whose name begins with the given word; keywords replace its keys."""
    folder = tmp_path_factory.mktemp("specs")
    numbers = itertools.count(1)
    mark = uuid.uuid4().hex[:6]  # names must be new also on a platform that outlives one session
    return lambda word, **changes: write_spec(folder, f"{word}-{mark}-{next(numbers)}", **changes)


@pytest.fixture
def model(home: Path, specs: Callable[..., str]) -> str:
    """Path of the spec of a model that only this test uses."""
    return specs("model")
