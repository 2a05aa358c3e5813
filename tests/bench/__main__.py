"""`make bench`: every figure is a ratio or a difference within one run; writes bench.json and prints a table.

Arguments name the parts to measure (default: all): retrain synthetic unchanged preparation release served.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OUTPUT = Path("bench.json")
Part = Callable[[], dict[str, Any]]


def main(names: list[str]) -> None:
    parts = dict(all_parts())
    unknown = sorted(set(names) - set(parts))
    if unknown:
        raise SystemExit(f"no part {', '.join(unknown)}; parts: {', '.join(parts)}")
    console = Console(stderr=True)
    found: dict[str, Any] = {}
    with platform(console):
        for name in names or parts:
            console.print(f"measuring {name}")
            found[name] = parts[name]()
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n")
    Console().print(table(found))


def all_parts() -> Iterator[tuple[str, Part]]:
    from tests.bench import preparation, release, retrain, served

    yield "retrain", retrain.measure_flights
    yield "synthetic", retrain.measure_synthetic
    yield "unchanged", retrain.measure_unchanged
    yield "preparation", preparation.measure
    yield "release", release.measure
    yield "served", served.measure


@contextmanager
def platform(console: Console) -> Iterator[None]:
    """The embedded platform in a folder of the benchmark's own, known to this process."""
    import os

    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as home:
        os.environ["SLIPWAY_HOME"] = home
        from infra.local import down, up
        from tasks.settings import connect, settings

        settings.cache_clear()
        try:
            up(Path(home), console.print)
            connect()
            yield
        finally:
            down(Path(home), console.print)


def table(found: dict[str, Any]) -> Table:
    """A row for each `{"value": ..., "limit": ..., "unit": ...}` that the parts returned."""
    shown = Table("what", "measured", "limit", "kept", title="Slipway benchmark")
    for what, figure in figures(found):
        limit = figure["limit"]
        kept = "" if limit is None else "yes" if figure["value"] <= limit else "NO"
        unit = figure.get("unit", "x")
        shown.add_row(
            what, f"{figure['value']:.3g} {unit}", "" if limit is None else f"{limit:g} {unit}", kept
        )
    return shown


def figures(found: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every figure below `found` with its dotted path."""
    for name, value in found.items():
        here = f"{path} {name}".strip()
        if isinstance(value, dict) and "limit" in value:
            yield here, value
        elif isinstance(value, dict) and "ratio" in value:
            yield here, {"value": value["ratio"], "limit": value.get("ratio_limit", 1.05)}
        elif isinstance(value, dict):
            yield from figures(value, here)


if __name__ == "__main__":
    main(sys.argv[1:])
