"""Which prepared rows train and which test.

Random and group splits send a row to a side by a hash of its key columns (`row_hash.py`), so that a row never
changes side, whatever the engine, the order of rows and the snapshot. Time splits have a cut.
"""

import math
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal

from tasks.errors import DataError
from tasks.row_hash import below, row_hashes
from tasks.spec import TARGET, GroupSplit, ModelSpec, RandomSplit, Strict, TimeSplit

if TYPE_CHECKING:
    import pandas as pd

    from tasks.row_hash import Mask

VALIDATION = 0.2
"""Part of the training rows that a search or a choice between candidates is scored on."""


class ResolvedSplit(Strict):
    """A spec's split with its cut resolved to a time, so that any later run can find the same rows.

    `columns` are those that are hashed, or the one time column; `test` and `seed` belong to hashed splits,
    `cut` (with its zone) to time splits.
    """

    by: Literal["random", "group", "time"]
    columns: tuple[str, ...]
    test: float | None = None
    seed: int = 0
    cut: datetime | None = None


def resolve(spec: ModelSpec, frame: "pd.DataFrame") -> ResolvedSplit:
    """The split of `spec` for the rows of `frame`, proven to give two usable sides.

    Raises DataError if a split column cannot be used, a side is empty, or (with the target in `frame`) the
    target cannot be learnt.
    """
    split = _resolved(spec, frame)
    on_test = test_rows(split, frame)
    _both_sides(on_test, f"split by {split.by}", split)
    if TARGET in frame:
        check_target(spec, frame[TARGET], on_test)
    return split


def _resolved(spec: ModelSpec, frame: "pd.DataFrame") -> ResolvedSplit:
    match spec.split:
        case RandomSplit(test=test, seed=seed):
            return ResolvedSplit(by="random", columns=spec.key, test=test, seed=seed)
        case GroupSplit(columns=columns, test=test, seed=seed):
            return ResolvedSplit(by="group", columns=columns, test=test, seed=seed)
        case TimeSplit(column=column, cut=cut, last_days=last_days):
            if cut is not None:
                return ResolvedSplit(by="time", columns=(column,), cut=_utc(cut))
            if last_days is None:
                raise ValueError("a time split has a cut or last_days")
            if len(frame) == 0:
                raise DataError(f"column {column!r}", "there are no rows to split", "Look at `prepare`.")
            newest = _times(frame, column).max().to_pydatetime().replace(tzinfo=UTC)
            return ResolvedSplit(by="time", columns=(column,), cut=newest - timedelta(days=last_days))


def test_rows(split: ResolvedSplit, frame: "pd.DataFrame") -> "Mask":
    """(n,) True where a row of `frame` belongs to the test part."""
    if split.by == "time":
        if split.cut is None:
            raise ValueError("a resolved time split has a cut")
        return _at_or_after(_times(frame, split.columns[0]), split.cut)
    if split.test is None:
        raise ValueError("a resolved hash split has a fraction")
    return below(row_hashes(frame, split.columns, split.seed, "test"), split.test)


def common_test_rows(candidate: ResolvedSplit, champion: ResolvedSplit, frame: "pd.DataFrame") -> "Mask":
    """(n,) True for the rows that are test rows of both, which neither of the two has trained on.

    Raises DataError if there are none.
    """
    both = test_rows(candidate, frame) & test_rows(champion, frame)
    if not both.any():
        raise DataError(
            "test rows",
            f"none of them is a test row of the champion as well (its split: {described(champion)})",
            "Train under the champion's split once more, or release a first model under a new name.",
        )
    return both


def validation_rows(split: ResolvedSplit, frame: "pd.DataFrame") -> "Mask":
    """(n,) True for the training rows that a search is scored on.

    Hashed splits hash the same columns with another salt; time splits take the latest fifth of the training
    rows. Raises DataError if nothing is left to fit on, or nothing to score on.
    """
    import numpy as np

    training = ~test_rows(split, frame)
    if split.by == "time":
        times = _times(frame, split.columns[0]).to_numpy().astype("datetime64[us]").astype(np.int64)
        known = np.sort(times[training])
        cut = known[min(math.ceil(len(known) * (1 - VALIDATION)), len(known) - 1)] if len(known) else 0
        chosen: Mask = training & (times >= cut)
    else:
        hashes = row_hashes(frame, split.columns, split.seed, "validation")
        chosen = training & below(hashes, VALIDATION)
    _both_sides(chosen[training], "validation part of the training rows", split)
    return chosen


def check_target(spec: ModelSpec, target: "pd.Series[Any]", on_test: "Mask") -> None:
    """Raises DataError if the target is missing anywhere, not finite, or has one class to learn from."""
    import numpy as np

    missing = int(target.isna().sum())
    if missing:
        raise DataError("target", f"{missing} of {len(target)} rows have none", "Look at `target`.")
    if spec.problem == "regression":
        try:
            finite = bool(np.isfinite(target.to_numpy(dtype=float)).all())
        except (TypeError, ValueError) as error:
            raise DataError("target", f"is not numeric ({error})", "Regression needs numbers.") from error
        if not finite:
            raise DataError("target", "holds infinite values", "Look at `target`.")
        return
    for side, rows in (("training", target[~on_test]), ("test", target[on_test])):
        classes = rows.unique()
        if len(classes) < 2:
            raise DataError(
                "target",
                f"the {side} part has one class only ({classes[0]!r} in all {len(rows)} rows)",
                "Classification needs two classes on both sides: look at `target` and at the spec's split.",
            )


def described(split: ResolvedSplit) -> str:
    """One line for people."""
    if split.by == "time":
        return f"{split.columns[0]} at or after {split.cut:%Y-%m-%d %H:%M:%S} UTC"
    return f"{split.test:.0%} of the rows by a hash of {', '.join(split.columns)} (seed {split.seed})"


def _times(frame: "pd.DataFrame", column: str) -> "pd.Series[Any]":
    """The column as times in UTC without zone; DataError if it is not one, or has gaps."""
    import pandas as pd

    if column not in frame:
        raise DataError(
            f"column {column!r}",
            f"is the split's time column and missing; found {', '.join(map(str, frame.columns))}",
            "Return it from `prepare`.",
        )
    values = frame[column]
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    if values.dtype.kind != "M":
        raise DataError(
            f"column {column!r}",
            f"is the split's time column and of type {values.dtype}",
            "Return times from `prepare`, or split by random or group.",
        )
    if values.isna().any():
        raise DataError(
            f"column {column!r}",
            f"is the split's time column and missing in {int(values.isna().sum())} rows",
            "Drop these rows in `prepare`.",
        )
    return values


def _at_or_after(times: "pd.Series[Any]", cut: datetime) -> "Mask":
    import pandas as pd

    mask: Mask = (times >= pd.Timestamp(cut.astimezone(UTC).replace(tzinfo=None))).to_numpy()
    return mask


def _utc(moment: datetime | date) -> datetime:
    """A spec's cut: a date is its first instant, a time without a zone is UTC."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time.min)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _both_sides(chosen: "Mask", what: str, split: ResolvedSplit) -> None:
    count = int(chosen.sum())
    if count == 0 or count == len(chosen):
        raise DataError(
            what,
            f"{count} of {len(chosen)} rows are on one side and none on the other ({described(split)})",
            "Change the spec's split, or give more rows.",
        )
