import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.spec import TARGET
from tasks.split import (
    ResolvedSplit,
    common_test_rows,
    described,
    resolve,
    test_rows,
    validation_rows,
)
from tests.tasks.specs import frame_of, spec_of

test_rows.__test__ = False  # not a test, whatever its name looks like to pytest

TIME = {"by": "time", "column": "when"}


def timed(n: int = 100) -> pd.DataFrame:
    frame = frame_of(n)
    frame["when"] = pd.date_range("2024-01-01", periods=n, freq="D").astype("datetime64[us]")
    return frame


def test_a_random_split_sends_rows_by_their_key() -> None:
    frame = frame_of(4000)
    split = resolve(spec_of(), frame)
    assert split == ResolvedSplit(by="random", columns=("id",), test=0.25)
    assert test_rows(split, frame).mean() == pytest.approx(0.25, abs=0.03)


def test_a_group_split_keeps_groups_together() -> None:
    frame = frame_of(4000)
    frame["customer"] = [f"c{i % 97}" for i in range(4000)]
    split = resolve(spec_of(split={"by": "group", "columns": ["customer"], "test": 0.3, "seed": 5}), frame)
    on_test = test_rows(split, frame)
    sides = pd.Series(on_test).groupby(frame["customer"].to_numpy()).nunique()
    assert (sides == 1).all()
    assert 0 < on_test.mean() < 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 10_000), unique=True, min_size=20, max_size=200), st.randoms())
def test_a_row_never_changes_side_from_one_snapshot_to_the_next(keys: list[int], chance: object) -> None:
    split = ResolvedSplit(by="random", columns=("id",), test=0.3)
    first = pd.DataFrame({"id": keys})
    sides = dict(zip(keys, test_rows(split, first).tolist(), strict=True))
    later = [*keys[: len(keys) // 2], *range(20_000, 20_050)]
    chance.shuffle(later)  # type: ignore[attr-defined]
    for key, side in zip(later, test_rows(split, pd.DataFrame({"id": later})).tolist(), strict=True):
        assert sides.get(key, side) == side


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_a_smaller_test_part_lies_inside_a_larger_one(one: float, other: float, seed: int) -> None:
    frame = pd.DataFrame({"id": range(300)})
    small, large = (
        test_rows(ResolvedSplit(by="random", columns=("id",), test=share, seed=seed), frame)
        for share in sorted([one, other])
    )
    assert not (small & ~large).any()


def test_a_time_split_cuts_at_a_fixed_time() -> None:
    frame = timed()
    for cut in ("2024-03-01", "2024-03-01T00:00:00", "2024-03-01T01:00:00+01:00"):
        split = resolve(spec_of(split={**TIME, "cut": cut}), frame)
        assert split.cut == datetime(2024, 3, 1, tzinfo=UTC)
        assert np.array_equal(test_rows(split, frame), (frame["when"] >= "2024-03-01").to_numpy())
    assert described(split) == "when at or after 2024-03-01 00:00:00 UTC"


def test_last_days_are_counted_from_the_newest_row_and_stay_there() -> None:
    frame = timed(100)
    split = resolve(spec_of(split={**TIME, "last_days": 10}), frame)
    assert split.cut == datetime(2024, 3, 30, tzinfo=UTC)
    assert test_rows(split, frame).sum() == 11
    later = timed(120)
    assert test_rows(split, later).sum() == 31


def test_times_with_a_zone_are_compared_in_utc() -> None:
    frame = timed()
    split = resolve(spec_of(split={**TIME, "cut": "2024-03-01"}), frame)
    zoned = frame.assign(when=frame["when"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    assert np.array_equal(test_rows(split, zoned), test_rows(split, frame))


@pytest.mark.parametrize(
    "split",
    [
        {"by": "random", "test": 0.25, "seed": 3},
        {"by": "group", "columns": ["colour"], "test": 0.4},
        {**TIME, "last_days": 7.5},
    ],
)
def test_a_resolved_split_survives_json(split: dict) -> None:
    frame = timed()
    frame["colour"] = [f"c{i}" for i in range(100)]
    resolved = resolve(spec_of(split=split), frame)
    again = ResolvedSplit.model_validate_json(resolved.model_dump_json())
    assert again == resolved
    assert np.array_equal(test_rows(again, frame), test_rows(resolved, frame))
    assert json.loads(resolved.model_dump_json())["by"] == split["by"]


def test_the_champion_is_judged_only_on_rows_that_neither_has_trained_on() -> None:
    frame = timed(1000)
    ours = resolve(spec_of(split={"by": "random", "test": 0.5}), frame)
    theirs = resolve(spec_of(split={**TIME, "last_days": 300}), frame)
    common = common_test_rows(ours, theirs, frame)
    assert np.array_equal(common, test_rows(ours, frame) & test_rows(theirs, frame))
    assert 0 < common.sum() < 301


def test_no_common_test_rows_is_an_error_that_names_the_champions_split() -> None:
    frame = timed(100)
    theirs = ResolvedSplit(by="time", columns=("when",), cut=datetime(2030, 1, 1, tzinfo=UTC))
    ours = resolve(spec_of(), frame)
    with pytest.raises(DataError, match=r"when at or after 2030-01-01"):
        common_test_rows(ours, theirs, frame)


@pytest.mark.parametrize("split", [{"by": "random", "test": 0.2}, {**TIME, "last_days": 20}])
def test_validation_rows_are_training_rows(split: dict) -> None:
    frame = timed(1000)
    resolved = resolve(spec_of(split=split), frame)
    chosen = validation_rows(resolved, frame)
    training = ~test_rows(resolved, frame)
    assert not (chosen & ~training).any()
    assert chosen.sum() / training.sum() == pytest.approx(0.2, abs=0.05)
    if split["by"] == "time":
        assert frame["when"][chosen].min() > frame["when"][training & ~chosen].max()


def test_equal_times_leave_nothing_to_validate_on() -> None:
    frame = timed(100)
    frame.loc[frame["when"] < "2024-03-01", "when"] = pd.Timestamp("2024-01-01")
    split = resolve(spec_of(split={**TIME, "cut": "2024-03-01"}), frame)
    with pytest.raises(DataError, match="validation part of the training rows"):
        validation_rows(split, frame)


@pytest.mark.parametrize("cut", ["2000-01-01", "2100-01-01"])
def test_an_empty_side_is_refused(cut: str) -> None:
    with pytest.raises(DataError, match=r"split by time: \d+ of 100 rows.*Change the spec's split"):
        resolve(spec_of(split={**TIME, "cut": cut}), timed())


def test_a_time_column_must_hold_times_without_gaps() -> None:
    spec = spec_of(split={**TIME, "last_days": 3})
    with pytest.raises(DataError, match=r"'when'.*missing; found size, count"):
        resolve(spec, frame_of(50))
    with pytest.raises(DataError, match=r"'when'.*of type int64"):
        resolve(spec, timed(50).assign(when=1))
    gaps = timed(50)
    gaps.loc[3, "when"] = pd.NaT
    with pytest.raises(DataError, match=r"'when'.*missing in 1 rows"):
        resolve(spec, gaps)
    with pytest.raises(DataError, match="no rows"):
        resolve(spec, timed(50).iloc[:0])


def test_a_target_with_one_class_is_refused() -> None:
    frame = frame_of(200)
    frame[TARGET] = "a"
    with pytest.raises(DataError, match=r"target: the training part has one class only \('a' in all"):
        resolve(spec_of(), frame)


def test_a_test_part_with_one_class_is_refused() -> None:
    frame = frame_of(200)
    on_test = test_rows(resolve(spec_of(), frame), frame)
    frame.loc[on_test, TARGET] = "a"
    with pytest.raises(DataError, match="the test part has one class only"):
        resolve(spec_of(), frame)


def test_a_target_with_gaps_or_without_numbers_is_refused() -> None:
    frame = frame_of(200)
    frame.loc[0, TARGET] = None
    with pytest.raises(DataError, match="target: 1 of 200 rows have none"):
        resolve(spec_of(), frame)
    with pytest.raises(DataError, match="not numeric"):
        resolve(spec_of("regression"), frame_of(200))
    numbers = frame_of(200, "regression")
    numbers.loc[0, TARGET] = np.inf
    with pytest.raises(DataError, match="infinite"):
        resolve(spec_of("regression"), numbers)
