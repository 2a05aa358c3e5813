"""Sources, functions and frames that cannot be prepared: each refusal names what is wrong, and leaves nothing."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks import store
from tasks.errors import DataError, PreparationError, SourceError
from tests.tasks.shop import FUNCTIONS, Shop, orders
from tests.tasks.test_preparation import rows

BROKEN = {
    "prepare raises": ("def prepare(orders):\n    raise ValueError('no good')\n", "ValueError: no good"),
    "no frame": ("def prepare(orders):\n    return 3\n", "prepare: returns int"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_failing_function_is_named(shop: Shop, case: str) -> None:
    text, message = BROKEN[case]
    shop.functions(text)
    with pytest.raises(PreparationError, match=rf"shop.py.*{message}"):
        rows(shop.spec(target="paid"))


def test_a_missing_column_that_prepare_uses_is_a_source_error(shop: Shop, engine: Any) -> None:
    orders().drop("weight").write_parquet(shop.folder / "orders.parquet")
    with pytest.raises(
        SourceError, match=r"(?s)column that is missing: .*weight.*found: .*order, shop, size"
    ):
        rows(shop.spec(), engine)


def test_a_missing_column_in_native_pandas_is_a_source_error(shop: Shop) -> None:
    shop.functions("def prepare(orders):\n    return orders[['order', 'gone']]\n")
    with pytest.raises(SourceError, match=r"column that is missing: .*gone"):
        rows(shop.spec(frames="native", target="paid"), "pandas")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"weight": {"type": "string"}}, r"'weight': is Float64 .* the spec says string"),
        (
            {"weight": {"type": "int64", "nullable": True}},
            r"'weight': is Float64 .* becomes float in plain pandas",
        ),
        ({"height": {"type": "int64"}}, r"'height': is missing from what shop.py.prepare returns"),
    ],
)
def test_columns_that_are_not_what_the_spec_says(shop: Shop, columns: Any, message: str, engine: Any) -> None:
    with pytest.raises(DataError, match=message):
        rows(shop.spec(columns=columns), engine)
    assert not store.list_files(store.resolve("store://prepared", Path()))


def test_a_key_is_unique_and_not_null(shop: Shop, engine: Any) -> None:
    pl.concat([orders(), orders().tail(2)]).write_parquet(shop.folder / "orders.parquet")
    with pytest.raises(
        DataError, match=r"is shared by two rows: 2 of 42 rows, e\.g\. {'order': 0}; {'order': 1}"
    ):
        rows(shop.spec(), engine)
    nulled = orders().with_columns(pl.when(pl.col("order") != 3).then(pl.col("order")).alias("order"))
    nulled.write_parquet(shop.folder / "orders.parquet")
    with pytest.raises(DataError, match=r"key \(order\) .* is null: 1 of 40"):
        rows(shop.spec(), engine)


@pytest.mark.parametrize(
    ("problem", "target", "message"),
    [
        ("classification", "paid * 1.5", "is Float64; classification needs string or int64 or bool"),
        ("regression", "paid > 3", "is Boolean; regression needs float64 or int64"),
    ],
)
def test_a_target_must_fit_the_problem(shop: Shop, problem: str, target: str, message: str) -> None:
    metric = {"classification": "accuracy", "regression": "r2"}[problem]
    estimator = {
        "classification": "sklearn.linear_model.LogisticRegression", "regression": "sklearn.linear_model.Ridge",
    }[problem]  # fmt: skip
    expression = target.replace("paid", "nw.col('paid')")
    shop.functions(FUNCTIONS.replace('nw.col("paid") > 10', expression))
    with pytest.raises(DataError, match=message):
        rows(
            shop.spec(
                problem=problem,
                gate={"metric": metric, "minimum": 0.1},
                candidates={"one": {"estimator": estimator}},
            ),
            with_target=True,
        )


def test_a_target_column_is_looked_up_in_one_source(shop: Shop) -> None:
    with pytest.raises(DataError, match=r"target 'gone': 0 sources hold it .*orders: order, shop"):
        rows(shop.spec(target="gone"), with_target=True)


def test_a_target_function_returns_key_and_one_column(shop: Shop) -> None:
    shop.functions(FUNCTIONS.replace('"order", answer', '"order", "paid", answer'))
    with pytest.raises(DataError, match="target: returns 2 columns beside the key"):
        rows(shop.spec(), with_target=True)
    shop.functions(FUNCTIONS.replace('"order", answer', "answer"))
    with pytest.raises(DataError, match="target: returns no key column 'order'"):
        rows(shop.spec(), with_target=True)
