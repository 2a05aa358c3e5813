"""Seconds by the clock, of one thing or of several in turn."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def turns(ways: Mapping[str, Callable[[], T]], count: int) -> dict[str, list[T]]:
    """What each way gave in `count` turns, taken alternately; one uncounted turn of each comes first."""
    found: dict[str, list[T]] = {name: [] for name in ways}
    for turn in range(count + 1):
        for name, way in ways.items():
            given = way()
            if turn:
                found[name].append(given)
    return found


def in_turn(first: Callable[[], Any], second: Callable[[], Any], count: int) -> tuple[float, float]:
    """Median seconds of each, run alternately; one uncounted turn of each comes first."""
    taken = turns({"first": lambda: seconds(first), "second": lambda: seconds(second)}, count)
    return statistics.median(taken["first"]), statistics.median(taken["second"])
