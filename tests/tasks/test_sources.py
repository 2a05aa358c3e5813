import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks import engines, sources, store
from tasks.errors import PreparationError, SourceError, SpecError
from tasks.settings import ROOT
from tests.tasks.shop import Shop, orders


def settle(path: Path) -> None:
    """Make the file look older than the second in which hashes are not remembered."""
    old = time.time() - 3600
    os.utime(path, (old, old))


def test_same_content_same_fingerprint_wherever_it_lies(shop: Shop, tmp_path: Path) -> None:
    shutil.copy(shop.folder / "orders.parquet", tmp_path / "elsewhere.parquet")
    spec = shop.spec()
    moved = sources.take_snapshot(spec, {"orders": str(tmp_path / "elsewhere.parquet")})
    assert moved.fingerprint == sources.take_snapshot(spec).fingerprint


def test_other_content_other_fingerprint(shop: Shop) -> None:
    before = shop.snapshot()
    orders(41).write_parquet(shop.folder / "orders.parquet")
    assert shop.snapshot().fingerprint != before.fingerprint


def test_a_touched_file_keeps_its_fingerprint(shop: Shop) -> None:
    before = shop.snapshot()
    settle(shop.folder / "orders.parquet")
    assert shop.snapshot().fingerprint == before.fingerprint


def test_an_unchanged_gigabyte_costs_milliseconds(shop: Shop) -> None:
    big = shop.folder / "orders.parquet"
    with big.open("r+b") as file:
        file.truncate(1 << 30)
    settle(big)
    spec = shop.spec()
    wait_until_settled(big)
    first = sources.take_snapshot(spec)
    start = time.perf_counter()
    assert sources.take_snapshot(spec).fingerprint == first.fingerprint
    assert time.perf_counter() - start < 0.1


def wait_until_settled(path: Path) -> None:
    """A changed inode is hashed again for one second: until the clock has passed it, nothing is remembered."""
    while time.time_ns() < os.stat(path).st_ctime_ns + sources.SETTLED * 1e9:
        time.sleep(0.05)


def test_a_rewrite_within_the_clocks_tick_is_seen(shop: Shop) -> None:
    file = shop.folder / "orders.parquet"
    stat = os.stat(file)
    before = sources.file_version(str(file))
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    with file.open("r+b") as target:
        target.write(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert sources.file_version(str(file)) != before


def test_a_damaged_memory_of_a_hash_is_replaced(shop: Shop, home: Path) -> None:
    file = shop.folder / "orders.parquet"
    settle(file)
    wait_until_settled(file)
    before = sources.file_version(str(file))
    (remembered,) = (home / "hashes").iterdir()
    remembered.write_text("{")
    assert sources.file_version(str(file)) == before
    assert json.loads(remembered.read_text())["version"] == before.version


def test_a_source_that_changes_while_it_is_read_is_an_error(shop: Shop) -> None:
    snapshot = shop.snapshot()
    orders(41).write_parquet(shop.folder / "orders.parquet")
    with pytest.raises(SourceError, match=r"orders.parquet: changed while this run read it"):
        sources.check_unchanged(snapshot)


def test_a_folder_is_all_its_files_but_hidden_ones(shop: Shop) -> None:
    folder = shop.folder / "parts" / "year=2026"
    folder.mkdir(parents=True)
    orders().head(30).write_parquet(folder / "a.parquet")
    orders().tail(10).write_parquet(folder / "b.parquet")
    (folder.parent / "_SUCCESS").write_text("")
    (folder / ".a.parquet.crc").write_text("x")
    source = shop.snapshot(sources={"orders": "parts", "shops": "shops.parquet"}).sources["orders"]
    assert [Path(file.uri).name for file in source.files] == ["a.parquet", "b.parquet"]
    assert engines.read("polars", source).collect().equals(orders())


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.write_bytes(b""), r"is empty \(0 bytes\)"),
        (lambda path: (path.unlink(), path.mkdir()), "holds no files"),
        (
            lambda path: (path.unlink(), path.mkdir(), (path / "a.txt").write_text("x")),
            r"holds files with \.txt",
        ),
    ],
)
def test_a_source_that_is_not_one(shop: Shop, write: Any, message: str) -> None:
    write(shop.folder / "orders.parquet")
    with pytest.raises(SourceError, match=f"orders.parquet: {message}"):
        shop.snapshot()


@pytest.mark.parametrize("engine", ["pandas", "polars"])
def test_unreadable_empty_and_uneven_files(shop: Shop, engine: Any) -> None:
    path = shop.folder / "orders.parquet"
    path.write_bytes(b"PAR1 this is no parquet PAR1")
    with pytest.raises(SourceError, match=r"orders.parquet: cannot be read as parquet"):
        engines.read(engine, shop.snapshot().sources["orders"])
    orders().clear().write_parquet(path)
    with pytest.raises(SourceError, match=r"orders.parquet: has no rows"):
        engines.read(engine, shop.snapshot().sources["orders"])
    path.unlink()
    path.mkdir()
    orders().write_parquet(path / "a.parquet")
    orders().with_columns(pl.col("size").cast(pl.String)).write_parquet(path / "b.parquet")
    with pytest.raises(SourceError, match=r"b\.parquet: differs .* in size: (large_)?string"):
        engines.read(engine, shop.snapshot().sources["orders"])


def test_csv_has_the_same_types_whatever_the_engine(shop: Shop, engine: Any) -> None:
    (shop.folder / "orders.csv").write_text("order,shop,size,paid\n0,s1,,1.5\n1,s2,3,\n")
    source = shop.snapshot(sources={"orders": "orders.csv", "shops": "shops.parquet"}).sources["orders"]
    frame = engines.read(engine, source)
    types = frame.collect_schema().dtypes() if engine == "polars" else dict(frame.dtypes).values()
    names = [str(dtype).lower() for dtype in types]
    assert [next(k for k in ("int", "string", "double", "float") if k in n) for n in names][:3] == [
        "int", "string", "int",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["order,shop\n", 'order,shop\n1,"open\n2,s1\n3,s2,s3,s4\n'], ids=["header only", "ragged"]
)
def test_a_csv_without_rows_or_form_is_an_error(shop: Shop, text: str) -> None:
    (shop.folder / "orders.csv").write_text(text)
    source = shop.snapshot(sources={"orders": "orders.csv", "shops": "shops.parquet"}).sources["orders"]
    with pytest.raises(SourceError, match=r"orders.csv: (has no rows|cannot be read as CSV)"):
        engines.read("polars", source)


def test_an_unknown_source_is_refused_by_name(shop: Shop) -> None:
    with pytest.raises(
        SpecError, match=r"'order': model shop has no such source. Name one of: orders, shops"
    ):
        sources.take_snapshot(shop.spec(), {"order": "x.parquet"})


def test_seed_writes_only_what_is_missing(shop: Shop) -> None:
    spec = shop.spec(
        seed="tasks.datasets:iris", sources={"orders": "iris/iris.parquet", "shops": "shops.parquet"}
    )
    kept = (shop.folder / "shops.parquet").read_bytes()
    assert sources.seed_sources(spec)
    assert not sources.seed_sources(spec)
    assert pl.read_parquet(shop.folder / "iris" / "iris.parquet").height == 150
    assert (shop.folder / "shops.parquet").read_bytes() == kept


def test_a_seed_that_is_missing_or_fails_is_named(shop: Shop) -> None:
    missing = {"orders": "gone.parquet", "shops": "shops.parquet"}
    with pytest.raises(SpecError, match=r"seed: 'tasks.datasets:none'"):
        sources.seed_sources(shop.spec(seed="tasks.datasets:none", sources=missing))
    with pytest.raises(PreparationError, match=r"seed tasks.datasets:flight_delays: KeyError: 'orders'"):
        sources.seed_sources(shop.spec(seed="tasks.datasets:flight_delays", sources=missing))


def test_importing_the_data_side_is_quick() -> None:
    heavy = ["pandas", "polars", "pyarrow", "pandera", "pyspark", "boto3", "sklearn", "mlflow", "prefect"]
    code = (
        "import sys, tasks.sources, tasks.preparation, tasks.validation, tasks.scoring, tasks.datasets;"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_s3_stand_in_is_pinned_by_version_etag_and_size(shop: Shop, bucket: Any) -> None:
    uri = "s3://data/shop/orders.parquet"
    store.write_bytes(uri, (shop.folder / "orders.parquet").read_bytes())
    uris = {"orders": uri, "shops": "shops.parquet"}
    before = shop.snapshot(sources=uris)
    assert shop.snapshot(sources=uris).fingerprint == before.fingerprint
    orders(41).write_parquet(shop.folder / "orders.parquet")
    store.write_bytes(uri, (shop.folder / "orders.parquet").read_bytes())
    assert shop.snapshot(sources=uris).fingerprint != before.fingerprint
    assert engines.read("polars", before.sources["orders"]).collect().equals(orders(40))


def test_s3_stand_in_without_versions_refuses_another_state(shop: Shop, bucket: Any) -> None:
    bucket.create_bucket(Bucket="plain")
    try:
        uri = "s3://plain/orders.parquet"
        store.write_bytes(uri, (shop.folder / "orders.parquet").read_bytes())
        before = shop.snapshot(sources={"orders": uri, "shops": "shops.parquet"})
        store.write_bytes(uri, (shop.folder / "shops.parquet").read_bytes())
        with pytest.raises(SourceError, match=f"{uri}: changed while this run read it"):
            engines.read("polars", before.sources["orders"])
    finally:
        store.delete("s3://plain/orders.parquet")
        bucket.delete_bucket(Bucket="plain")
