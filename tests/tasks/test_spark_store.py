"""Spark on the S3 store itself, as on a cluster: here its executors are this machine's.

SLIPWAY_TEST_S3A_JARS is a folder with the jars of `images/flow/s3a-jars.txt`, which `images/flow/add_spark.py`
fetches; without it these tests are skipped.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from botocore.exceptions import ClientError

from tasks import engines, preparation, scoring, sources, spark, store
from tasks.errors import PreparationError, SlipwayError, SourceError, SpecError
from tasks.preparation import Prepared, prepare
from tasks.scoring import Champion
from tasks.settings import settings
from tasks.spec import ModelSpec
from tests.tasks.shop import FUNCTIONS, Shop, orders, shops
from tests.tasks.test_scoring import stored_model

JARS = os.environ.get("SLIPWAY_TEST_S3A_JARS", "")
pytestmark = [pytest.mark.spark, pytest.mark.skipif(not JARS, reason="SLIPWAY_TEST_S3A_JARS is not set")]
SOURCES = {"orders": "s3://data/shop/orders.parquet", "shops": "s3://data/shop/shops.parquet"}


@pytest.fixture
def on_store(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Spark reads and writes the bucket, and nothing else is set for it than on a cluster."""
    monkeypatch.setenv("SLIPWAY_STORE", "s3://data/store")
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", f"--driver-class-path {JARS}/* pyspark-shell")
    monkeypatch.setattr(spark, "on_store", lambda: True)
    settings.cache_clear()
    spark.stop()
    with spark.working():
        yield
    assert spark._running.java is None


def put(frame: pl.DataFrame, uri: str, folder: Path) -> None:
    frame.write_parquet(folder / "put.parquet")
    store.copy_to_s3(str(folder / "put.parquet"), uri)


@pytest.fixture
def spec(shop: Shop, on_store: None, tmp_path: Path) -> ModelSpec:
    put(orders(), SOURCES["orders"], tmp_path)
    put(shops(), SOURCES["shops"], tmp_path)
    return shop.spec(sources=SOURCES)


def prepared(spec: ModelSpec, engine: Any = "spark") -> Prepared:
    return prepare(spec, sources.take_snapshot(spec), engine, with_target=False)


def test_prepared_rows_are_those_of_pandas(spec: ModelSpec) -> None:
    found = prepared(spec)
    assert all(file.startswith("s3://data/store/prepared/shop/") for file in found.files)
    assert not found.cached
    rows = preparation.read_prepared(found)
    assert rows.equals(preparation.read_prepared(prepared(spec, "pandas")))
    assert prepared(spec).cached
    place = found.uri.rpartition("/")[0]
    assert store.list_files(place) == sorted([f"{place}/_complete.json", *found.files])


def test_csv_is_converted_once_for_the_executors(spec: ModelSpec, shop: Shop, tmp_path: Path) -> None:
    shops().write_csv(tmp_path / "shops.csv")
    store.copy_to_s3(str(tmp_path / "shops.csv"), "s3://data/shop/shops.csv")
    spec = shop.spec(sources={**SOURCES, "shops": "s3://data/shop/shops.csv"})
    assert prepared(spec).rows == 40
    assert len(store.list_files("s3://data/store/converted")) == 1


def test_a_source_that_changes_meanwhile_leaves_nothing(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = engines.write

    def write_and_change(*arguments: Any) -> None:
        write(*arguments)
        put(orders(41), SOURCES["orders"], tmp_path)

    monkeypatch.setattr(engines, "write", write_and_change)
    with pytest.raises(SourceError, match=r"orders\.parquet: changed while this run read it"):
        prepared(spec)
    assert not store.list_files("s3://data/store/prepared")


def test_a_failing_function_leaves_nothing(spec: ModelSpec, shop: Shop) -> None:
    check = """busy = nw.from_native(busy.to_native().filter("assert_true(shop = 's9') is null"))"""
    shop.functions(FUNCTIONS.replace("joined = busy", f"{check}\n    joined = busy"))
    with pytest.raises(PreparationError, match="fails with"):
        prepared(spec)
    assert not store.list_files("s3://data/store/prepared")


def test_a_source_on_this_machine_is_refused(spec: ModelSpec, shop: Shop) -> None:
    with pytest.raises(SourceError, match=r"orders\.parquet: lies on the disk of the flow's pod"):
        prepared(shop.spec())


def test_a_source_that_is_not_parquet_is_named(spec: ModelSpec) -> None:
    store.write_bytes(SOURCES["shops"], b"no parquet at all")
    with pytest.raises(SourceError, match=r"shops\.parquet: cannot be read as parquet"):
        prepared(spec)


@pytest.fixture
def champion(spec: ModelSpec, tmp_path: Path) -> Champion:
    return stored_model(spec, tmp_path / "model")


def score(spec: ModelSpec, champion: Champion, run: str, destination: str = "s3://data/scores/shop") -> Any:
    return scoring.write_predictions(spec, prepared(spec), champion, "spark", destination, run, "abc")


def test_predictions_take_the_place_of_earlier_ones(
    spec: ModelSpec, champion: Champion, tmp_path: Path
) -> None:
    assert score(spec, champion, "first-run").rows == 40
    put(orders(50), SOURCES["orders"], tmp_path)
    assert score(spec, champion, "other-run").rows == 50
    files = store.list_files("s3://data/scores")
    assert files[0] == "s3://data/scores/shop/_run.json"
    assert all(file.startswith("s3://data/scores/shop/part-") and "-other-ru" in file for file in files[1:])
    for file in files[1:]:
        (tmp_path / file.rpartition("/")[2]).write_bytes(store.read_bytes(file))
    found = pl.read_parquet(tmp_path / "part-*.parquet").sort("order")
    assert found["order"].to_list() == list(range(50))


def test_a_failed_switch_loses_nothing(
    spec: ModelSpec, champion: Champion, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(spec, champion, "first-run")
    before = {file: store.read_bytes(file) for file in store.list_files("s3://data/scores")}
    copied = []

    def refused(source: str, uri: str) -> None:
        copied.append(uri)
        with store.writing(uri):
            raise ClientError({"Error": {"Code": "SlowDown", "Message": "later"}}, "CopyObject")

    monkeypatch.setattr(store, "copy_to_s3", refused)
    with pytest.raises(SlipwayError, match="SlowDown"):
        score(spec, champion, "other-run")
    assert copied
    assert {file: store.read_bytes(file) for file in store.list_files("s3://data/scores")} == before


def test_a_destination_on_this_machine_is_refused(
    spec: ModelSpec, champion: Champion, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match="lies on the disk of the flow's pod"):
        score(spec, champion, "first-run", str(tmp_path / "out"))
