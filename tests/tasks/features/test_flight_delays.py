"""One prepare function, the same rows from every engine: all flights, every column."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tasks import preparation, sources
from tasks.spec import TARGET, Engine, load_spec
from tasks.validation import validate

LEAKS = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}


def rows(engine: Engine, *, with_target: bool = True) -> pl.DataFrame:
    spec = load_spec("flight-delays")
    sources.seed_sources(spec)
    prepared = preparation.prepare(spec, sources.take_snapshot(spec), engine, with_target=with_target)
    if with_target:
        validate(spec, prepared)
    return pl.read_parquet([str(file) for file in preparation.local_files(prepared)], glob=False)


@pytest.mark.spark
def test_every_engine_gives_the_same_rows(home: Path) -> None:
    expected = rows("polars")
    assert expected.height == 327_346
    for engine in ("pandas", "spark"):
        found = rows(engine)
        assert found.schema == expected.schema
        assert_frame_equal(found, expected, check_exact=False, rel_tol=1e-12, abs_tol=1e-12)


def test_rows_are_what_the_tables_say(home: Path) -> None:
    found = rows("polars", with_target=False)
    assert found.height == 336_776
    assert TARGET not in found.columns
    assert not LEAKS & set(found.columns)
    uris = sources.source_uris(load_spec("flight-delays"))
    flights = pl.read_parquet(uris["flights"])
    local = flights.select(
        "time_hour",
        "carrier",
        "flight",
        weekday=pl.date("year", "month", "day").dt.weekday().cast(pl.Int64) % 7,
    ).sort("time_hour", "carrier", "flight")
    assert found["weekday"].equals(local["weekday"])
    noon = found.filter((pl.col("origin") == "JFK") & (pl.col("time_hour") == pl.datetime(2013, 7, 4, 16)))
    assert noon["departures"].to_list() == [noon.height] * noon.height
    late = rows("polars")[TARGET].sum()
    assert late == flights.filter(pl.col("arr_delay") > 15).height


def test_prepare_reads_nothing_that_is_only_known_afterwards(home: Path) -> None:
    """Same rows from sources in which these columns do not exist: not even a derived value of them is used."""
    spec = load_spec("flight-delays")
    expected = rows("polars", with_target=False)
    uri = sources.source_uris(spec)["flights"]
    pl.read_parquet(uri).drop(LEAKS).write_parquet(home / "known.parquet")
    snapshot = sources.take_snapshot(spec, {"flights": str(home / "known.parquet")})
    prepared = preparation.prepare(spec, snapshot, "polars", with_target=False)
    assert pl.read_parquet(prepared.files[0]).equals(expected)
