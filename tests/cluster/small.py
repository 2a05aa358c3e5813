"""A platform of two small charts, in namespaces of its own: bootstrap's own behaviour, in seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tasks.platform_lock import load_lock
from tests.cluster.outside import Done, Outside

PLATFORM = "small"
CHARTS = "tests/cluster/charts"


@dataclass
class Small:
    """`cli` is the command line with a home of its own, `file` the lock."""

    cli: Outside
    file: Path
    region: str = "us-east-1"
    """What both charts are told: another one is an upgrade."""
    components: tuple[str, ...] = ("alpha", "beta")
    sections: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        self.file.write_text(yaml.safe_dump(self.lock()))

    def lock(self) -> dict[str, Any]:
        images = load_lock().model_dump(mode="json")["images"]
        return {
            "namespaces": {part: f"{PLATFORM}-{part}" for part in ("training", "serving")}
            | {"platform": PLATFORM},
            "store": {"bucket": "small", "endpoint": "http://s3.small.svc:8333", "region": self.region},
            "postgres": {"host": "postgres.small.svc"},
            "images": images,
            "components": [
                {
                    "name": name,
                    "chart": f"{CHARTS}/{name}",
                    "version": "0.1.0",
                    "images": ["flow"],
                    "timeout": 40,
                }
                for name in self.components
            ],
            **self.sections,
        }

    def run(self, *arguments: str) -> Done:
        self.write()
        command, *more = arguments
        return self.cli.slipway(command, "--json", "--lock", str(self.file), *more, timeout=900)

    def bootstrap(self, *arguments: str) -> dict[str, Any]:
        self.write()
        return self.cli.answer("bootstrap", "--lock", str(self.file), *arguments, timeout=900)

    def plan(self) -> dict[str, tuple[str, list[str]]]:
        """By part, what would be done to it, and why."""
        said = self.bootstrap("--plan")
        return {change["part"]: (change["does"], change["why"]) for change in said["changes"]}

    @property
    def namespaces(self) -> tuple[str, ...]:
        return (PLATFORM, f"{PLATFORM}-training", f"{PLATFORM}-serving")


@contextmanager
def small_platform(cli: Outside, folder: Path) -> Iterator[Small]:
    """What is needed to make one; whatever was made of it is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Small(replace(cli, home=folder / "home"), folder / "platform.yaml")
    try:
        yield made
    finally:
        made.sections, made.components = {}, ("alpha", "beta")
        done = made.run("teardown", "--delete-models", "--delete-data")
        assert done.returncode == 0, done.stderr
        kinds = "namespaces,priorityclasses"
        left = cli.run("kubectl", "get", kinds, "--output", "name").stdout
        assert f"/{PLATFORM}" not in left, left
