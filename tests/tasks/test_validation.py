import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tasks.errors import DataError
from tasks.frames import PreparedColumn
from tasks.preparation import Prepared
from tasks.spec import ModelSpec
from tasks.validation import validate
from tests.tasks.specs import spec_of

COLUMNS = {
    "size": {"type": "float64", "nullable": True, "minimum": 0, "maximum": 10},
    "count": {"type": "int64", "minimum": 1},
    "colour": {"type": "string", "categories": ["red", "green"]},
    "level": {"type": "int64", "nullable": True, "categories": [1, 2, 3]},
    "open": {"type": "bool"},
    "seen": {"type": "datetime", "nullable": True},
}


def spec() -> ModelSpec:
    return spec_of(columns=COLUMNS, minimum_rows=50)


def frame(rows: int = 100, **changes: Any) -> pl.DataFrame:
    good = pl.DataFrame({"id": np.arange(rows)}).with_columns(
        size=pl.when(pl.col("id") % 5 > 0).then(pl.col("id") % 10 * 1.0),
        count=pl.col("id") + 1,
        colour=pl.when(pl.col("id") % 2 == 0).then(pl.lit("red")).otherwise(pl.lit("green")),
        level=pl.when(pl.col("id") % 7 > 0).then(pl.col("id") % 3 + 1),
        open=pl.col("id") % 3 == 0,
        seen=pl.lit("2026-01-01").str.to_datetime("%Y-%m-%d", time_unit="us"),
    )
    return good.with_columns(**changes)


def prepared(folder: Path, rows: pl.DataFrame) -> Prepared:
    file = folder / "part-00000.parquet"
    rows.write_parquet(file)
    columns = tuple(PreparedColumn(name, "int64", True) for name in rows.columns)
    return Prepared(str(folder), "key", rows.height, False, columns, (str(file),))


def test_good_rows_pass(tmp_path: Path) -> None:
    validate(spec(), prepared(tmp_path, frame()))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "above the range": (
        {"size": pl.when(pl.col("id") == 7).then(10.5).otherwise(pl.col("size"))},
        r"'size': must be at most 10: 1 of 100 rows break this, e\.g\. id=7, size=10\.5",
    ),
    "below the range": (
        {"count": pl.col("count") - 1},
        r"'count': must be at least 1: 1 of 100 rows .*id=0, count=0",
    ),
    "infinite": (
        {"size": pl.when(pl.col("id") == 3).then(float("inf")).otherwise(pl.col("size"))},
        r"'size': must be finite: 1 of 100 rows .*id=3, size=inf; also 'size' must be at most 10",
    ),
    "unknown category": (
        {"colour": pl.when(pl.col("id") > 96).then(pl.lit("blue")).otherwise(pl.col("colour"))},
        r"'colour': must be one of red, green: 3 of 100 .*id=97, colour=blue; id=98, colour=blue; id=99",
    ),
    "unknown number": ({"level": pl.col("level") + 1}, r"'level': must be one of 1, 2, 3: \d+ of 100 rows"),
    "null": (
        {"colour": pl.when(pl.col("id") != 5).then(pl.col("colour"))},
        r"'colour': must not be null: 1 of 100 rows break this, e\.g\. id=5, colour=None",
    ),
    "another type": ({"open": pl.col("id").cast(pl.Float64)}, r"'open': must be .*bool.*, is Float64"),
    "all null": ({"seen": pl.lit(None, pl.Datetime("us"))}, r"'seen': is null in every row"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_names_column_rule_and_rows(tmp_path: Path, case: str) -> None:
    changes, message = BROKEN[case]
    with pytest.raises(DataError, match=f"(?i){message}"):
        validate(spec(), prepared(tmp_path, frame(**changes)))


def test_too_few_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 49 rows; the spec's minimum_rows is 50"):
        validate(spec(), prepared(tmp_path, frame(49)))


def test_scoring_allows_new_categories_and_few_rows_but_no_broken_range(tmp_path: Path) -> None:
    new = frame(10, colour=pl.lit("blue"))
    validate(spec(), prepared(tmp_path, new), new_categories=True)
    with pytest.raises(DataError, match="'count': must be at least 1"):
        validate(spec(), prepared(tmp_path, new.with_columns(count=pl.lit(0, pl.Int64))), new_categories=True)


def test_it_is_quick(tmp_path: Path) -> None:
    rows = prepared(tmp_path, frame(336_776))
    validate(spec(), rows)  # pandera is imported
    start = time.perf_counter()
    validate(spec(), rows)
    assert time.perf_counter() - start < 1
