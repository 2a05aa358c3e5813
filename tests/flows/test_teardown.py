from pathlib import Path

import pytest

from flows.cli_cluster import _forget
from tasks.settings import platform_file, write_platform_file


@pytest.mark.parametrize(("torn_down", "left"), [("mine", {}), ("another", {"platform_namespace": "mine"})])
def test_only_the_platform_that_was_torn_down_is_forgotten(
    tmp_path: Path, torn_down: str, left: dict[str, str]
) -> None:
    write_platform_file(tmp_path, {"platform": "cluster", "platform_namespace": "mine"})
    _forget(tmp_path, torn_down)
    assert platform_file(tmp_path) == ({"platform": "cluster", **left} if left else {})


def test_a_home_without_a_platform_stays_without(tmp_path: Path) -> None:
    _forget(tmp_path, "any")
    assert list(tmp_path.iterdir()) == []
