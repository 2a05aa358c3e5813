"""Fixtures that several folders share: the real servers, each on free ports and a folder of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings import Settings, connect, settings


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The embedded platform under a home of its own; this process and its children find it.

    At the end it is stopped, and nothing of it may be left.
    """
    from infra.local import down, up
    from infra.local.processes import marked

    home: Path = tmp_path_factory.mktemp("platform")
    before = dict(os.environ)
    os.environ["SLIPWAY_HOME"] = str(home)
    settings.cache_clear()
    try:
        up(home, say=print)
        yield connect()
    finally:
        down(home)
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()
    assert not marked(home), "processes of the platform outlived `down`"
