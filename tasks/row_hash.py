"""The hash that sends a row to a side of a split: stable for ever, whatever the engine and the snapshot.

It is part of what Slipway promises; changing it would let tomorrow's candidates train on rows that judged
today's champion. Per row:

1. Each key column becomes a 64-bit number: integers, booleans and whole floats are their two's complement;
   other floats the bits of their IEEE 754 double; times the microseconds since 1970 (UTC); strings
   `scramble` of the SipHash-2-4 of their UTF-8 bytes under the key `b"slipway-split-v1"` (what
   `pandas.util.hash_array` gives); a missing value is `MISSING`.
2. `h = mix(seed xor salt)`, then for each column in the spec's order `h = mix(h xor mix(number))`, where
   `mix(z) = scramble(z + 0x9e3779b97f4a7c15)` is one step of SplitMix64 (Steele, Lea and Flood 2014) and
   `scramble` its output function.
3. The row is on the chosen side if `(h >> 11) * 2**-53 < fraction`.
"""

from typing import TYPE_CHECKING, Any

from tasks.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Mask = npt.NDArray[np.bool_]
    Hashes = npt.NDArray[np.uint64]

STRING_KEY = "slipway-split-v1"
MISSING = 0x9AE16A3B2F90404F
SALTS = {"test": 0, "validation": 0x76616C6964617465}


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


def _mix(numbers: "Hashes") -> "Hashes":
    """One step of SplitMix64; unsigned arithmetic that wraps around."""
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
        integers: Hashes = values.to_numpy().astype(np.int64).view(np.uint64)
        return integers
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
    known = known.astype(object)
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
