"""A model of the tests' own: orders joined to shops, with a column of every type and missing values."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from tasks.sources import Snapshot, take_snapshot
from tasks.spec import ModelSpec, load_spec

FUNCTIONS = """
import narwhals as nw


def prepare(orders, shops):
    busy = orders.with_columns(per_shop=nw.len().over("shop"), opened=nw.col("weight") > 2.0)
    joined = busy.join(shops, on="shop", how="left")
    return joined.with_columns(
        band=nw.when(nw.col("weight") > 3.0).then(nw.lit("heavy")).otherwise(nw.lit("light")),
    )


def target(orders):
    return orders.select("order", answer=nw.col("paid") > 10)
"""

COLUMNS: dict[str, dict[str, Any]] = {
    "weight": {"type": "float64", "nullable": True},
    "size": {"type": "int64", "nullable": True},
    "per_shop": {"type": "int64", "minimum": 1},
    "city": {"type": "string", "nullable": True},
    "band": {"type": "string", "categories": ["heavy", "light"]},
    "opened": {"type": "bool", "nullable": True},
    "at": {"type": "datetime"},
}


def orders(rows: int = 40) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "order": list(range(rows))[::-1],
            "shop": [f"s{i % 4}" for i in range(rows)],
            "weight": [None if i % 7 == 0 else float("nan") if i % 11 == 0 else i / 5 for i in range(rows)],
            "size": [None if i % 5 == 0 else i for i in range(rows)],
            "paid": [None if i % 13 == 0 else i for i in range(rows)],
            "at": [datetime(2026, 1, 1) + timedelta(hours=i) for i in range(rows)],
        }
    )


def shops() -> pl.DataFrame:
    return pl.DataFrame({"shop": ["s0", "s1", "s2"], "city": ["Köln", None, "Łódź"]})


class Shop:
    """The folder of spec, functions and sources. `spec(**changes)` writes and loads the spec."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        orders().write_parquet(folder / "orders.parquet")
        shops().write_parquet(folder / "shops.parquet")
        self.functions(FUNCTIONS)

    def functions(self, text: str) -> None:
        (self.folder / "shop.py").write_text(text)

    def spec(self, **changes: Any) -> ModelSpec:
        content = {
            "name": "shop",
            "problem": "classification",
            "features": "shop.py",
            "sources": {"orders": "orders.parquet", "shops": "shops.parquet"},
            "key": ["order"],
            "columns": COLUMNS,
            "minimum_rows": 10,
            "split": {"by": "random"},
            "gate": {"metric": "accuracy", "minimum": 0.1},
            "candidates": {"tree": {"estimator": "sklearn.tree.DecisionTreeClassifier"}},
            **changes,
        }
        path = self.folder / "shop.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return load_spec(str(path))

    def snapshot(self, **changes: Any) -> Snapshot:
        return take_snapshot(self.spec(**changes))
