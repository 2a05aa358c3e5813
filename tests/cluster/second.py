"""A second platform beside the one under test, in namespaces of its own: one that may be killed and torn down."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.platform_lock import LOCK, PlatformLock, load_lock
from tests.cluster.outside import Outside

PREFIX = "second-"


@dataclass(frozen=True)
class Second:
    """`cli` is the command line with a home of its own, `file` the platform's lock."""

    cli: Outside
    file: Path
    charts: tuple[str, ...] = ()
    """Arguments that name the folder of other projects' charts."""

    @property
    def lock(self) -> PlatformLock:
        return load_lock(self.file)

    @property
    def namespaces(self) -> tuple[str, ...]:
        return tuple(self.lock.spaces.values())

    def bootstrap(self) -> dict[str, Any]:
        return self.cli.answer("bootstrap", "--lock", str(self.file), *self.charts, timeout=1500)

    def teardown(self, *arguments: str) -> dict[str, Any]:
        return self.cli.answer("teardown", "--lock", str(self.file), *arguments, timeout=600)


@contextmanager
def second_platform(cli: Outside, folder: Path, charts: tuple[str, ...] = ()) -> Iterator[Second]:
    """What is needed to make one; whatever was made of it is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "platform.yaml"
    file.write_text(renamed(LOCK.read_text(), load_lock().namespaces.model_dump().values()))
    made = Second(replace(cli, home=folder / "home"), file, charts)
    try:
        yield made
    finally:
        made.teardown("--delete-models", "--delete-data")
        left = cli.run("kubectl", "get", "namespaces", "--output", "name").stdout
        assert PREFIX not in left, left


def renamed(text: str, namespaces: Any) -> str:
    """Pure: a lock with other names for its namespaces, also in the addresses of what stands in them."""
    for name in sorted(namespaces, key=len, reverse=True):
        text = text.replace(f": {name} ", f": {PREFIX}{name} ")
        text = text.replace(f"namespace: {name}\n", f"namespace: {PREFIX}{name}\n")
        text = text.replace(f".{name}.svc", f".{PREFIX}{name}.svc")
    return text
