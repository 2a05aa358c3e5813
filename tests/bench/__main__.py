"""`make bench`: on the embedded platform; writes bench.json and prints a table.

Arguments name the parts to measure (default: all): retrain synthetic unchanged preparation release served.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from tests.bench import preparation, release, report, retrain, served
from tests.bench.report import Part

OUTPUT = Path("bench.json")
PARTS: dict[str, Part] = {
    "retrain": retrain.measure_flights,
    "synthetic": retrain.measure_synthetic,
    "unchanged": retrain.measure_unchanged,
    "preparation": preparation.measure,
    "release": release.measure,
    "served": served.measure,
}


def main(names: list[str]) -> None:
    names = report.chosen(names, PARTS)
    with platform(Console(stderr=True).print):
        report.measure(names, PARTS, OUTPUT, "Slipway benchmark")


@contextmanager
def platform(say: Callable[[str], None]) -> Iterator[None]:
    """The embedded platform in a folder of the benchmark's own, known to this process."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as home:
        os.environ["SLIPWAY_HOME"] = home
        from infra.local import down, up
        from tasks.settings import connect, settings

        settings.cache_clear()
        try:
            up(Path(home), say)
            connect()
            yield
        finally:
            down(Path(home), say)


if __name__ == "__main__":
    main(sys.argv[1:])
