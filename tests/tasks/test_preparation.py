import dataclasses
import errno
import itertools
import json
import os
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from tasks import engines, preparation, sources, store
from tasks.errors import SlipwayError, SourceError
from tasks.settings import settings
from tasks.spec import TARGET, ModelSpec
from tests.tasks.shop import FUNCTIONS, Shop, orders


def rows(spec: ModelSpec, engine: Any = "polars", *, with_target: bool = False) -> pl.DataFrame:
    prepared = preparation.prepare(spec, sources.take_snapshot(spec), engine, with_target=with_target)
    return pl.read_parquet([str(file) for file in preparation.local_files(prepared)], glob=False)


EXPECTED = {
    "weight": pl.Float64, "size": pl.Int64, "per_shop": pl.Int64, "city": pl.String, "band": pl.String,
    "opened": pl.Boolean, "at": pl.Datetime("us"), "order": pl.Int64, TARGET: pl.Boolean,
}  # fmt: skip


def test_every_engine_gives_the_same_rows_types_and_order(shop: Shop, engine: Any) -> None:
    found = rows(shop.spec(), engine, with_target=True)
    assert dict(found.schema) == EXPECTED
    assert found["order"].to_list() == sorted(set(range(40)) - {39 - i for i in range(0, 40, 13)})
    assert found.equals(rows(shop.spec(), "polars", with_target=True))
    assert found["weight"].is_nan().sum() == 0
    assert found["weight"].null_count() == found["opened"].null_count() == 8


def test_scoring_keeps_rows_without_a_target_and_never_asks_for_it(shop: Shop, engine: Any) -> None:
    shop.functions(FUNCTIONS.split("def target")[0])
    orders().drop("paid").write_parquet(shop.folder / "orders.parquet")
    found = rows(shop.spec(target="paid"), engine)
    assert found.height == 40
    assert TARGET not in found.columns


def test_a_target_may_be_a_column_of_a_source(shop: Shop, engine: Any) -> None:
    found = rows(shop.spec(target="paid"), engine, with_target=True)
    assert found[TARGET].to_list() == [39 - n for n in found["order"].to_list()]
    assert found.schema[TARGET] == pl.Int64


NATIVE = {
    "pandas": "return orders.assign(size2=orders['size'] * 2)[['order', 'size2']]",
    "polars": "return orders.select('order', size2=orders.collect_schema().names()[3]).with_columns(size2=2)",
    "spark": "return orders.selectExpr('`order`', 'size * 2 AS size2')",
}


def test_native_frames_are_the_engines_own(shop: Shop, engine: Any) -> None:
    types = {"pandas": "pandas.core.frame", "polars": "polars.lazyframe.frame", "spark": "pyspark.sql"}
    check = f"assert type(orders).__module__.startswith({types[engine]!r}), type(orders)"
    shop.functions(f"def prepare(orders):\n    {check}\n    {NATIVE[engine]}\n")
    spec = shop.spec(frames="native", target="paid", columns={"size2": {"type": "int64", "nullable": True}})
    assert rows(spec, engine).columns == ["size2", "order"]


def test_time_zones_and_other_widths_are_brought_to_the_specs_types(shop: Shop, engine: Any) -> None:
    shop.functions("def prepare(orders):\n    return orders\n")
    source = orders().select(
        "order", pl.col("size").cast(pl.Int16), pl.col("weight").cast(pl.Float32),
        at=pl.col("at").dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Warsaw"),
        day=pl.col("at").dt.date(), whole=pl.col("order").cast(pl.Int32),
    )  # fmt: skip
    source.write_parquet(shop.folder / "orders.parquet")
    columns = {
        "size": {"type": "int64", "nullable": True},
        "weight": {"type": "float64", "nullable": True},
        "whole": {"type": "float64"},
        "at": {"type": "datetime"},
        "day": {"type": "datetime"},
    }
    found = rows(shop.spec(columns=columns, target="x"), engine)
    assert [str(dtype) for dtype in found.dtypes][:3] == ["Int64", "Float64", "Float64"]
    wanted = orders().sort("order")
    assert found["at"].equals(wanted["at"])
    assert found["day"].equals(wanted["at"].dt.truncate("1d"))


def test_prepared_once_found_again_until_something_changes(shop: Shop) -> None:
    def again(spec: ModelSpec, engine: Any = "polars", with_target: bool = True) -> preparation.Prepared:
        return preparation.prepare(spec, sources.take_snapshot(spec), engine, with_target=with_target)

    first = again(shop.spec())
    second = again(shop.spec())
    assert not first.cached
    assert second == dataclasses.replace(first, cached=True)
    assert json.loads(json.dumps(dataclasses.asdict(first)))["rows"] == first.rows
    keys = {first.key, again(shop.spec(), "pandas").key, again(shop.spec(), with_target=False).key}
    shop.functions(FUNCTIONS.replace("> 3.0", "> 4.0"))
    keys.add(again(shop.spec()).key)
    orders(50).write_parquet(shop.folder / "orders.parquet")
    keys.add(again(shop.spec()).key)
    assert len(keys) == 5


@pytest.mark.parametrize("damage", ["marker", "file", "truncated"])
def test_what_is_not_complete_is_built_again(shop: Shop, damage: str) -> None:
    spec = shop.spec()
    first = preparation.prepare(spec, sources.take_snapshot(spec), "polars", with_target=True)
    if damage == "marker":
        (Path(first.uri).parent / "_complete.json").unlink()
    elif damage == "file":
        Path(first.files[0]).unlink()
    else:
        os.truncate(first.files[0], 100)
    again = preparation.prepare(spec, sources.take_snapshot(spec), "polars", with_target=True)
    assert not again.cached
    assert preparation.read_prepared(again).shape[0] == first.rows


def test_writers_at_the_same_time_do_no_harm(shop: Shop) -> None:
    spec, results = shop.spec(), []
    snapshot = sources.take_snapshot(spec)
    start = threading.Barrier(4)

    def run() -> None:
        start.wait()
        results.append(preparation.prepare(spec, snapshot, "polars", with_target=True))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = [preparation.read_prepared(result) for result in results]
    assert len(frames) == 4
    assert all(frame.equals(frames[0]) for frame in frames)


def test_a_source_that_changes_meanwhile_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = shop.spec()
    snapshot = sources.take_snapshot(spec)
    write = engines.write

    def write_and_change(*arguments: Any) -> None:
        write(*arguments)
        orders(41).write_parquet(shop.folder / "orders.parquet")

    monkeypatch.setattr(engines, "write", write_and_change)
    with pytest.raises(SourceError, match="changed while this run read it"):
        preparation.prepare(spec, snapshot, "polars", with_target=True)
    assert not store.list_files(store.resolve("store://prepared", Path()))


def test_a_full_disk_leaves_no_marker_and_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spec = shop.spec()
    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(SlipwayError, match=r"the disk is full: [\d,.]+ MB free"):
            preparation.prepare(spec, sources.take_snapshot(spec), "pandas", with_target=True)
    assert not store.list_files(store.resolve("store://prepared", Path()))
    assert rows(spec, "pandas").height == 40


def test_a_small_disk_that_runs_full_leaves_no_marker(
    shop: Shop, small_disk: Path, monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    from tasks.settings import settings

    monkeypatch.setenv("SLIPWAY_STORE", str(small_disk))
    settings.cache_clear()
    orders(400_000).write_parquet(shop.folder / "orders.parquet")
    with pytest.raises(SlipwayError, match=r"disk/prepared/shop/\w+: the disk is full: [01]\.\d MB free"):
        rows(shop.spec(), engine)
    assert not store.list_files(str(small_disk))


def test_what_a_killed_writer_left_is_removed_a_day_later(shop: Shop) -> None:
    spec = shop.spec()
    first = preparation.prepare(spec, sources.take_snapshot(spec), "polars", with_target=True)
    place = Path(first.uri).parent
    (place / "_complete.json").unlink()
    (place / "rows-fresh").mkdir()
    os.utime(first.uri, (0, 0))
    again = preparation.prepare(spec, sources.take_snapshot(spec), "polars", with_target=True)
    assert {path.name for path in place.iterdir()} == {"_complete.json", "rows-fresh", Path(again.uri).name}


def test_the_canonical_frame_does_not_depend_on_the_rows(shop: Shop) -> None:
    spec = shop.spec()
    prepared = preparation.prepare(spec, sources.take_snapshot(spec), "polars", with_target=True)
    whole = preparation.read_prepared(prepared)
    assert {name: str(dtype) for name, dtype in whole.dtypes.items()} == {
        "weight": "float64", "size": "float64", "per_shop": "int64", "city": "object", "band": "object",
        "opened": "object", "at": "datetime64[us]", "order": "int64", TARGET: "bool",
    }  # fmt: skip
    assert set(whole["opened"]) == {True, False, None}
    assert None in set(whole["city"])
    batches = list(preparation.read_batches(prepared, 3))
    assert [len(batch) for batch in batches[:-1]] == [3] * (len(batches) - 1)
    assert all(batch.dtypes.equals(whole.dtypes) for batch in batches)
    pd.testing.assert_frame_equal(pd.concat(batches, ignore_index=True), whole)
    assert list(preparation.read_prepared(prepared, ["city", "order"])) == ["city", "order"]


def test_sources_and_store_on_the_s3_stand_in(bucket: Any, shop: Shop, engine: Any, monkeypatch: Any) -> None:

    monkeypatch.setenv("SLIPWAY_STORE", "s3://data/store")
    settings.cache_clear()
    for name in ("orders", "shops"):
        store.write_bytes(f"s3://data/in/{name}.parquet", (shop.folder / f"{name}.parquet").read_bytes())
    spec = shop.spec(sources={name: f"s3://data/in/{name}.parquet" for name in ("orders", "shops")})
    first = preparation.prepare(spec, sources.take_snapshot(spec), engine, with_target=True)
    assert first.uri.startswith("s3://data/store/prepared/shop/")
    second = preparation.prepare(spec, sources.take_snapshot(spec), engine, with_target=True)
    assert second.cached
    frame = preparation.read_prepared(second)
    assert list(itertools.islice(frame["order"], 3)) == [1, 2, 3]
    assert preparation.read_prepared(first).equals(frame)


def test_what_an_unfinished_writer_left_in_s3_goes_after_a_day(
    bucket: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_STORE", "s3://data/store")
    settings.cache_clear()
    spec = shop.spec()
    first = preparation.prepare(spec, shop.snapshot(), "polars", with_target=True)
    place = first.uri.rpartition("/")[0]
    store.write_bytes(f"{place}/rows-unfinished/part-00000.parquet", b"half")
    for day, left in ((86_400, True), (-60, False)):
        monkeypatch.setattr(store, "DAY", day)
        store.delete(f"{place}/_complete.json")
        again = preparation.prepare(spec, shop.snapshot(), "polars", with_target=True)
        assert store.exists(f"{place}/rows-unfinished") is left
        assert store.list_files(again.uri) == list(again.files)
