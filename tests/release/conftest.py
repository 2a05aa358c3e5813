"""Models of a test's own, on the platform that the whole session shares."""

import itertools
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.settings import Settings
from tests.release.model import write_spec


@pytest.fixture(scope="session")
def home(platform: Settings) -> Path:
    """The platform's folder; Prefect in this process, imported before or not, talks to the platform."""
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    return platform.home


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
