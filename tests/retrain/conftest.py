"""Models of a test's own, retrained on the platform that the whole session shares."""

import itertools
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.settings import Settings
from tests.retrain.model import Model


@pytest.fixture
def new_model(platform: Settings, tmp_path: Path) -> Callable[[], Model]:
    """Gives models that no other test uses, written to disk."""
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    numbers = itertools.count(1)
    mark = uuid.uuid4().hex[:8]

    def make() -> Model:
        name = f"fish-{mark}-{next(numbers)}"
        return Model(tmp_path / name, name).write()

    return make


@pytest.fixture
def model(new_model: Callable[[], Model]) -> Model:
    return new_model()
