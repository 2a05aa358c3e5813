"""What narwhals costs: flight-delays prepared by Slipway's function, and by hand with pandas and polars.

Both read the same parquet files, join, cast, sort, write parquet, and see that the key is unique and not null.
The hand-written ones say in each engine's own words what `tasks/features/flight_delays.py` says once.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tasks import preparation, sources
from tasks.features.flight_delays import LATE, WEATHER
from tasks.sources import Snapshot
from tasks.spec import TARGET, Engine, ModelSpec, load_spec

ROUNDS = 15
LIMIT = 1.10
"""Highest accepted ratio."""
KEY = ["time_hour", "carrier", "flight"]
SCHEDULE = [*KEY, "tailnum", "origin", "dest", "month", "hour", "minute", "distance"]
COLUMNS = [
    *SCHEDULE[3:],
    "arrival_hour",
    "weekday",
    "departures",
    *WEATHER,
    "manufacturer",
    "engines",
    "seats",
]


def by_pandas(uris: dict[str, str], out: Path) -> None:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    flights, weather, planes = (
        pq.read_table(uris[name]).to_pandas(types_mapper=pd.ArrowDtype)
        for name in ("flights", "weather", "planes")
    )
    for column in weather.columns[weather.dtypes == pd.ArrowDtype(pa.float64())]:
        weather[column] = weather[column].where(weather[column] == weather[column])
    weekday = (flights["time_hour"] - pd.Timedelta(hours=5)).dt.weekday + 1
    rows = flights[SCHEDULE].assign(
        arrival_hour=flights["sched_arr_time"] // 100,
        weekday=weekday.where(weekday != 7, 0),
        departures=flights.groupby(["origin", "time_hour"])["flight"].transform("size"),
    )
    aircraft = planes[["tailnum", "manufacturer", "engines", "seats", "year"]]
    rows = rows.merge(weather[["origin", "time_hour", *WEATHER]], on=["origin", "time_hour"], how="left")
    rows = rows.merge(aircraft, on="tailnum", how="left")
    rows["plane_age"] = 2013 - rows["year"]
    rows = rows.drop(columns=["tailnum", "year"])
    target = flights[KEY].assign(**{TARGET: flights["arr_delay"] > LATE})
    rows = rows.merge(target[target[TARGET].notna()], on=KEY)
    table = pa.Table.from_pandas(rows, preserve_index=False).sort_by([(name, "ascending") for name in KEY])
    pq.write_table(table, out, row_group_size=65_536, compression="zstd")
    check_key(out)


def by_polars(uris: dict[str, str], out: Path) -> None:
    import polars as pl

    flights, weather, planes = (pl.scan_parquet(uris[name]) for name in ("flights", "weather", "planes"))
    weather = weather.fill_nan(None)
    weekday = (pl.col("time_hour") - pl.duration(hours=5)).dt.weekday()
    rows = flights.select(
        *SCHEDULE,
        arrival_hour=pl.col("sched_arr_time") // 100,
        weekday=pl.when(weekday == 7).then(0).otherwise(weekday).cast(pl.Int64),
        departures=pl.len().over("origin", "time_hour").cast(pl.Int64),
    )
    aircraft = planes.select("tailnum", "manufacturer", "engines", "seats", plane_age=2013 - pl.col("year"))
    rows = rows.join(weather.select("origin", "time_hour", *WEATHER), on=["origin", "time_hour"], how="left")
    rows = rows.join(aircraft, on="tailnum", how="left").drop("tailnum")
    target = flights.select(*KEY, (pl.col("arr_delay") > LATE).alias(TARGET))
    rows = rows.join(target.filter(pl.col(TARGET).is_not_null()), on=KEY)
    rows.sort(KEY).sink_parquet(out, row_group_size=65_536, engine="streaming")
    check_key(out)


def check_key(out: Path) -> None:
    import polars as pl

    keys = pl.scan_parquet(out).select(KEY)
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in KEY)
    null = pl.any_horizontal(pl.col(name).is_null() for name in KEY)
    assert keys.select((same | null).sum()).collect(engine="streaming").item() == 0


BY_HAND: dict[Engine, Callable[[dict[str, str], Path], None]] = {"pandas": by_pandas, "polars": by_polars}


def by_slipway(spec: ModelSpec, snapshot: Snapshot, engine: Engine) -> Path:
    """`prepare` as a run calls it, with nothing prepared yet."""
    prepared = preparation.prepare(spec, snapshot, engine, with_target=True)
    marker = Path(prepared.uri).parent / "_complete.json"
    marker.unlink()
    return Path(prepared.files[0])


def same_rows(one: Path, other: Path) -> None:
    import polars as pl
    from polars.testing import assert_frame_equal

    found = pl.read_parquet(one)
    assert_frame_equal(found, pl.read_parquet(other).select(found.columns), rel_tol=1e-12)


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """By engine: both ways taken in turns; the median ratio of the pairs (clock, processor time), and seconds."""
    spec = load_spec("flight-delays")
    sources.seed_sources(spec)
    snapshot, uris = sources.take_snapshot(spec), sources.source_uris(spec)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        return {
            engine: _compare(spec, snapshot, uris, engine, Path(folder) / f"{engine}.parquet", rounds)
            for engine in BY_HAND
        }


def _compare(
    spec: ModelSpec, snapshot: Snapshot, uris: dict[str, str], engine: Engine, out: Path, rounds: int
) -> dict[str, Any]:
    by_hand = BY_HAND[engine]
    by_hand(uris, out)
    same_rows(by_slipway(spec, snapshot, engine), out)
    runs: dict[str, list[Run]] = {"native": [], "narwhals": []}
    for _ in range(rounds):
        runs["native"].append(_timed(lambda: by_hand(uris, out)))
        runs["narwhals"].append(_timed(lambda: by_slipway(spec, snapshot, engine)))
    medians = {f"{name}_s": statistics.median(run.wall for run in each) for name, each in runs.items()}
    pairs = list(zip(runs["narwhals"], runs["native"], strict=True))
    return {
        "value": statistics.median(ours.wall / theirs.wall for ours, theirs in pairs),
        "limit": LIMIT,
        "unit": "x",
        "processor_time": statistics.median(ours.processor / theirs.processor for ours, theirs in pairs),
        **medians,
    }


class Run(NamedTuple):
    """Seconds by the clock, and of processor time over all threads: other work on the machine moves only one."""

    wall: float
    processor: float


def _timed(work: Callable[[], object]) -> Run:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Run(time.perf_counter() - wall, time.process_time() - processor)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
