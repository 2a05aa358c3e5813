"""`slipway bootstrap` from nothing, and again on what it made: what that costs beyond an empty flow.

A platform in namespaces of its own, so that nothing of the one that stays is touched; its images are on the node.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.report import figure
from tests.bench.timing import in_turn, seconds
from tests.cluster.outside import Outside
from tests.cluster.platform_state import empty_flow
from tests.cluster.second import Second, second_platform

TURNS = 1
UNCHANGED_TURNS = 3
LIMIT = 10.0
"""Seconds that an unchanged platform may cost beyond an empty flow."""


def measure(cli: Outside) -> dict[str, Any]:
    fresh, unchanged = [], {}
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        for turn in range(TURNS):
            with second_platform(cli, Path(folder) / str(turn)) as platform:
                fresh.append(seconds(platform.bootstrap))
                if turn == TURNS - 1:
                    unchanged = beyond_empty(platform)
    return {
        "from nothing": figure(statistics.median(fresh), "s", turns=TURNS),
        "unchanged, beyond an empty flow": unchanged,
    }


def beyond_empty(platform: Second) -> dict[str, Any]:
    def again() -> None:
        changed = platform.bootstrap()["changed"]
        if changed:
            raise RuntimeError(f"an unchanged platform was written to: {changed}")

    ours, empty = in_turn(again, lambda: empty_flow(platform.cli), UNCHANGED_TURNS)
    return figure(ours - empty, "s", LIMIT, unchanged_s=ours, empty_s=empty, turns=UNCHANGED_TURNS)
