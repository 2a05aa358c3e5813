"""Golden rows: which are chosen, that they survive their file, and what counts as an equal answer."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import RegistryError
from tasks.golden import CATEGORIES, Golden, GoldenColumn, choose_rows, differences, plain, read_golden


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Frames as prepared data has them, with few and with many distinct values."""
    rows = draw(st.integers(1, 120))
    values = st.lists(st.integers(0, draw(st.integers(0, 100))), min_size=rows, max_size=rows)
    whole = np.array(draw(values))
    gaps = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    return pd.DataFrame(
        {
            "whole": whole,
            "number": np.where(gaps, np.nan, whole / 7),
            "text": [None if gap else f"c{value}" for value, gap in zip(whole, gaps, strict=True)],
            "flag": whole % 2 == 0,
            "time": pd.Series(pd.to_datetime(whole, unit="D")).astype("datetime64[us]").mask(pd.Series(gaps)),
        }
    )


@settings(deadline=None)
@given(frames())
def test_golden_rows_cover_categories_and_missing_values(frame: pd.DataFrame) -> None:
    chosen = choose_rows(frame, frame.columns)

    assert chosen == sorted(set(chosen))
    assert len(chosen) >= min(20, len(frame))
    rows = frame.iloc[chosen]
    for name in frame:
        assert rows[name].isna().any() == frame[name].isna().any(), name
        if frame[name].nunique() <= CATEGORIES:
            assert set(rows[name].dropna()) == set(frame[name].dropna()), name


def test_rows_with_infinite_numbers_are_left_out() -> None:
    frame = pd.DataFrame({"number": [1.0, math.inf, 2.0, -math.inf, math.nan]})

    assert choose_rows(frame, ["number"]) == [0, 2, 4]


def test_a_large_column_does_not_make_a_large_file() -> None:
    frame = pd.DataFrame({"number": np.arange(10_000.0), "text": [f"t{row}" for row in range(10_000)]})

    assert len(choose_rows(frame, frame.columns)) == 20


def test_plain_values() -> None:
    times = pd.Series(pd.to_datetime(["2026-02-03T04:05:06.000007", None])).astype("datetime64[us]")

    assert plain(times, "datetime") == ["2026-02-03T04:05:06.000007", None]
    assert plain(pd.Series([1.0, np.nan]), "int64") == [1, None]
    assert plain(pd.Series([True, None], dtype=object), "bool") == [True, None]


labels = st.one_of(
    st.lists(st.text(), min_size=1, max_size=5),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=1, max_size=5),
)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(labels, st.data())
def test_golden_rows_survive_their_file(found: list[str | int | bool], data: st.DataObject) -> None:
    column = data.draw(st.lists(st.none() | numbers, min_size=len(found), max_size=len(found)))
    rows = data.draw(
        st.lists(
            st.lists(numbers, min_size=2, max_size=2).map(tuple), min_size=len(found), max_size=len(found)
        )
    )
    golden = Golden(
        problem="classification",
        columns={"a": GoldenColumn(type="float64", values=tuple(column))},
        labels=tuple(found),
        probability=tuple(rows),
        classes=("x", "y"),
    )

    again = Golden.model_validate_json(golden.model_dump_json())

    assert again == golden
    assert [type(label) for label in again.labels] == [type(label) for label in found]
    assert differences(golden, again.labels, again.probability, again.classes) == []


def a_golden() -> Golden:
    return Golden(
        problem="classification",
        columns={"a": GoldenColumn(type="float64", values=(1.0, None))},
        labels=("x", "y"),
        probability=((0.75, 0.25), (0.5, 0.5)),
        classes=("x", "y"),
    )


@pytest.mark.parametrize(
    ("labels", "probability", "classes", "expected"),
    [
        (["x", "y"], [[0.75, 0.25], [0.5, 0.5 + 4e-10]], ["x", "y"], []),
        (["x", "x"], [[0.75, 0.25], [0.5, 0.5]], ["x", "y"], ["row 1, prediction: expected 'y', got 'x'"]),
        (
            ["x", "y"],
            [[0.75, 0.25], [0.5, 0.500000001]],
            ["x", "y"],
            ["row 1, probability of 'y': expected 0.5, got 0.500000001"],
        ),
        (
            ["x", "y"],
            [[0.75, 0.25], [0.5, math.nan]],
            ["x", "y"],
            ["row 1, probability of 'y': expected 0.5, got nan"],
        ),
        (["x"], [[0.75, 0.25], [0.5, 0.5]], ["x", "y"], ["row 1, prediction: expected 'y', got None"]),
        (
            ["x", "y"],
            [[0.75, 0.25]],
            ["x", "y"],
            [
                "row 1, probability of 'x': expected 0.5, got None",
                "row 1, probability of 'y': expected 0.5, got None",
            ],
        ),
        (["x", "y"], None, None, ["output probability is missing"]),
        (
            ["x", "y"],
            [[0.25, 0.75], [0.5, 0.5]],
            ["y", "x"],
            ["classes of probability: expected ('x', 'y'), got ['y', 'x']"],
        ),
    ],
)
def test_what_counts_as_a_difference(labels, probability, classes, expected) -> None:  # type: ignore[no-untyped-def]
    assert differences(a_golden(), labels, probability, classes) == expected


def test_values_of_a_regression_have_a_tolerance_and_labels_do_not() -> None:
    columns = {"a": GoldenColumn(type="float64", values=(1.0,))}
    value = Golden(problem="regression", columns=columns, labels=(2.0,))
    label = Golden(problem="classification", columns=columns, labels=(2.0,))

    assert differences(value, [2.0 + 1e-10], None, None) == []
    assert differences(value, [2.0 + 1e-8], None, None) != []
    assert differences(label, [2.0 + 1e-10], None, None) != []
    assert differences(label, [2], None, None) != []  # an integer is another label than a float


def test_a_golden_file_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="iris version 3: has no golden rows"):
        read_golden(tmp_path, "iris version 3")
    (tmp_path / "extra_files").mkdir()
    (tmp_path / "extra_files" / "golden.json").write_text('{"labels": []}')
    with pytest.raises(RegistryError, match=r"its extra_files/golden\.json cannot be read"):
        read_golden(tmp_path, "iris version 3")


def test_columns_and_labels_must_have_one_length() -> None:
    with pytest.raises(ValueError, match="2 labels, but other lengths in: a"):
        Golden(
            problem="regression", columns={"a": GoldenColumn(type="int64", values=(1,))}, labels=(1.0, 2.0)
        )
