"""flight-delays prepared on Spark with one executor and with two, each of a third of a core and 1 GiB.

The start of the session is told apart from the work. On a node of two cores that the servers share, two executors
are hardly faster: the figure is there to see that more of them cost no more than their start.
"""

import statistics
from typing import Any

from tests.bench.report import figure
from tests.bench.timing import turns
from tests.cluster import driving
from tests.cluster.driving import Driver
from tests.cluster.outside import Outside

TURNS = 3
PREPARE = """
from tasks import store
from tasks.settings import settings
spec = load_spec("flight-delays")
sources.seed_sources(spec)
snapshot = sources.take_snapshot(spec)
store.delete(store.join(settings().store_root, "prepared", spec.name))
began = time.monotonic()
with spark.working():
    session = spark.session()
    started = time.monotonic()
    prepared = preparation.prepare(spec, snapshot, "spark", with_target=True)
    ended = time.monotonic()
    executors = session.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1  # one is the driver's
give({"session": started - began, "prepare": ended - started, "executors": executors, "cached": prepared.cached})
"""


def measure(cli: Outside) -> dict[str, Any]:
    with driving.driver(cli) as driver:
        taken = turns({"1": lambda: prepare(driver, 1), "2": lambda: prepare(driver, 2)}, TURNS)
    medians = {
        name: {part: statistics.median(one[part] for one in each) for part in ("session", "prepare")}
        for name, each in taken.items()
    }
    return compared(medians["1"], medians["2"])


def compared(one: dict[str, float], two: dict[str, float]) -> dict[str, Any]:
    """Pure: seconds of each, and two executors against one."""
    figures = {
        name: figure(each["prepare"], "s", session_s=each["session"], turns=TURNS)
        for name, each in (("1 executor", one), ("2 executors", two))
    }
    return {**figures, "2 against 1": figure(two["prepare"] / one["prepare"], turns=TURNS)}


def prepare(driver: Driver, executors: int) -> dict[str, float]:
    found: dict[str, float] = driver.python(PREPARE, SLIPWAY_SPARK_EXECUTORS=str(executors))
    if found["cached"] or found["executors"] != executors:
        raise RuntimeError(f"the work of {executors} executors was to be measured: {found}")
    return found
