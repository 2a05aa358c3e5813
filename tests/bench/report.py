"""What a benchmark prints and writes: every figure is a ratio or a difference within one run."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Part = Callable[[], dict[str, Any]]


def figure(value: float, unit: str = "x", limit: float | None = None, **more: float) -> dict[str, Any]:
    """One row of the table, with what it was computed from; `turns` is how many its medians are of."""
    return {"value": value, "limit": limit, "unit": unit, **more}


def chosen(names: list[str], parts: Mapping[str, Part]) -> list[str]:
    """The parts that the command line names; all of them if it names none."""
    unknown = sorted(set(names) - set(parts))
    if unknown:
        raise SystemExit(f"no part {', '.join(unknown)}; parts: {', '.join(parts)}")
    return names or list(parts)


def measure(names: list[str], parts: Mapping[str, Part], output: Path, title: str) -> None:
    """Measure the parts one after the other, write each to `output` as soon as it is known, print the table."""
    console, found = Console(stderr=True), dict[str, Any]()
    for name in names:
        console.print(f"measuring {name}")
        found[name] = parts[name]()
        output.write_text(json.dumps(found, indent=2) + "\n")
    Console().print(table(found, title))


def table(found: dict[str, Any], title: str) -> Table:
    """A row for each `{"value": ..., "limit": ..., "unit": ...}` that the parts returned."""
    shown = Table("what", "measured", "limit", "kept", "turns", title=title)
    for what, each in figures(found):
        limit = each["limit"]
        kept = "" if limit is None else "yes" if each["value"] <= limit else "NO"
        unit = each.get("unit", "x")
        bound = "" if limit is None else f"{limit:g} {unit}"
        shown.add_row(what, f"{each['value']:.3g} {unit}", bound, kept, str(each.get("turns", "")))
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
