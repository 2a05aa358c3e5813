"""Which prepared rows train and which test.

Random and group splits send a row to a side by a hash of its key columns, so that a row never changes side,
whatever the engine, the order of rows and the snapshot. The hash is part of what Slipway promises; changing
it would let tomorrow's candidates train on rows that judged today's champion. It is, per row:

1. Each key column becomes a 64-bit number: integers, booleans and whole floats are their two's complement;
   other floats the bits of their IEEE 754 double; times the microseconds since 1970 (UTC); strings the
   SipHash-2-4 of their UTF-8 bytes under the key `b"slipway-split-v1"`; a missing value is `MISSING`.
2. `h = mix(seed xor salt)`, then for each column in the spec's order `h = mix(h xor mix(number))`, where
   `mix` is the output function of SplitMix64 (Steele, Lea and Flood 2014).
3. The row is on the chosen side if `(h >> 11) * 2**-53 < fraction`.
"""

import math
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal

from tasks.errors import DataError
from tasks.spec import TARGET, GroupSplit, ModelSpec, RandomSplit, Strict, TimeSplit

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
    Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]

STRING_KEY = "slipway-split-v1"
MISSING = 0x9AE16A3B2F90404F
SALTS = {"test": 0, "validation": 0x76616C6964617465}
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
            return ResolvedSplit(by="random", columns=spec.keys, test=test, seed=seed)
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
        chosen = training & (times >= cut)
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


def row_hashes(frame: "pd.DataFrame", columns: tuple[str, ...], seed: int, part: str) -> "Hashes":
    """(n,) uint64 hashes of the values in `columns`, as the module's docstring defines them."""
    import numpy as np

    start = np.uint64((seed ^ SALTS[part]) & 0xFFFFFFFFFFFFFFFF)
    hashes = np.broadcast_to(_mix(np.asarray([start], dtype=np.uint64)), (len(frame),))
    for column in columns:
        if column not in frame:
            raise DataError(
                f"column {column!r}",
                f"is needed by the split and missing; found {', '.join(map(str, frame.columns))}",
                "Return it from `prepare`.",
            )
        hashes = _mix(hashes ^ _mix(_numbers(frame[column])))
    return hashes


def below(hashes: "Hashes", fraction: float) -> "Mask":
    import numpy as np

    chosen: Mask = (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53 < fraction
    return chosen


def described(split: ResolvedSplit) -> str:
    """One line for people."""
    if split.by == "time":
        return f"{split.columns[0]} at or after {split.cut:%Y-%m-%d %H:%M:%S} UTC"
    return f"{split.test:.0%} of the rows by a hash of {', '.join(split.columns)} (seed {split.seed})"


def _mix(numbers: "Hashes") -> "Hashes":
    """Output function of SplitMix64; unsigned arithmetic that wraps around."""
    import numpy as np

    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = z ^ (z >> np.uint64(31))
    return mixed


def _numbers(values: "pd.Series[Any]") -> "Hashes":
    """(n,) uint64: step 1 of the hash."""
    import numpy as np
    import pandas as pd

    kind = values.dtype.kind if isinstance(values.dtype, np.dtype) else "O"
    if kind in "iub":
        return values.to_numpy().astype(np.int64).view(np.uint64)
    if kind == "f":
        return _float_numbers(values.to_numpy())
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        kind = "M"
    missing = values.isna().to_numpy()
    if kind == "M":
        numbers = values.to_numpy().astype("datetime64[us]").astype(np.int64).view(np.uint64)
    else:
        numbers = _object_numbers(values[~missing], len(values), ~missing)
    return np.where(missing, np.uint64(MISSING), numbers)


def _float_numbers(values: Any) -> "Hashes":
    import numpy as np

    values = values.astype(np.float64)
    whole = np.isfinite(values) & (np.abs(values) < 2.0**63) & (np.trunc(values) == values)
    integers = np.where(whole, values, 0).astype(np.int64).view(np.uint64)
    numbers = np.where(whole, integers, values.view(np.uint64))
    return np.where(np.isnan(values), np.uint64(MISSING), numbers)


def _object_numbers(known: "pd.Series[Any]", n: int, where: "Mask") -> "Hashes":
    import numpy as np
    import pandas as pd

    numbers = np.zeros(n, dtype=np.uint64)
    kind = pd.api.types.infer_dtype(known, skipna=False)
    if kind == "empty":
        return numbers
    if kind == "string":
        numbers[where] = pd.util.hash_array(known.to_numpy(dtype=object), hash_key=STRING_KEY)
    elif kind in ("boolean", "integer"):
        numbers[where] = known.to_numpy().astype(np.int64).view(np.uint64)
    elif kind in ("floating", "mixed-integer-float"):
        numbers[where] = _float_numbers(known.to_numpy().astype(np.float64))
    elif kind in ("date", "datetime", "datetime64"):
        times = pd.to_datetime(known, utc=True).dt.tz_localize(None).to_numpy()
        numbers[where] = times.astype("datetime64[us]").astype(np.int64).view(np.uint64)
    else:
        raise DataError(
            f"column {known.name!r}",
            f"holds values of kind {kind}, which a split cannot hash",
            "Return integers, strings, booleans or times from `prepare`.",
        )
    return numbers


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
