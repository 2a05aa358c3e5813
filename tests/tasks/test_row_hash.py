from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.row_hash import MISSING, STRING_KEY, below, row_hashes

WORD = 0xFFFFFFFFFFFFFFFF
NUMBERS = [16294208416658607535, 15204172177749531820, 10011781438195199310]
TEXTS = [1425975222553936553, 5979544494017235192, 989927444812681283]
ALL = [1520549279295423574, 15325670972907294443, 1040041296030745828]
SALTED = [17875754043409935555, 2525918389584258069, 11351731861236133628]


def mix(number: int) -> int:
    """One step of SplitMix64, written from its paper."""
    return scramble((number + 0x9E3779B97F4A7C15) & WORD)


def scramble(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def siphash_2_4(data: bytes, key: bytes) -> int:
    """SipHash-2-4, written from its paper (Aumasson and Bernstein 2012)."""
    k0, k1 = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def turn(number: int, by: int) -> int:
        return ((number << by) | (number >> (64 - by))) & WORD

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0], v[2] = (v[0] + v[1]) & WORD, (v[2] + v[3]) & WORD
            v[1], v[3] = turn(v[1], 13) ^ v[0], turn(v[3], 16) ^ v[2]
            v[0] = turn(v[0], 32)
            v[2], v[0] = (v[2] + v[1]) & WORD, (v[0] + v[3]) & WORD
            v[1], v[3] = turn(v[1], 17) ^ v[2], turn(v[3], 21) ^ v[0]
            v[2] = turn(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_the_reference_siphash_gives_the_vector_of_its_paper() -> None:
    assert siphash_2_4(bytes(range(15)), bytes(range(16))) == 0xA129CA6149BE45E5


def test_hashes_are_these_for_ever() -> None:
    frame = pd.DataFrame(
        {
            "number": [0, 1, -5],
            "text": ["", "EWR", "Łódź"],
            "when": pd.to_datetime(["1970-01-01T00:00:00", "2013-01-01T05:15:00", "1969-12-31T00:00:00"]),
        }
    )
    assert row_hashes(frame, ("number",), 0, "test").tolist() == NUMBERS
    assert row_hashes(frame, ("text",), 0, "test").tolist() == TEXTS
    assert row_hashes(frame, ("number", "text", "when"), 7, "test").tolist() == ALL
    assert row_hashes(frame, ("number",), 0, "validation").tolist() == SALTED


@given(st.integers(-(2**63), 2**63 - 1), st.text(), st.integers(-(2**31), 2**31))
def test_hashes_follow_the_documented_algorithm(number: int, text: str, seed: int) -> None:
    frame = pd.DataFrame({"n": np.array([number], dtype=np.int64), "s": np.array([text], dtype=object)})
    try:
        string = siphash_2_4(text.encode(), STRING_KEY.encode())
    except UnicodeEncodeError:  # a lone surrogate is in no UTF-8 file
        return
    expected = mix(mix(mix(seed & WORD) ^ mix(number & WORD)) ^ mix(scramble(string)))
    assert row_hashes(frame, ("n", "s"), seed, "test").tolist() == [expected]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pd.Series([1, 2], dtype="int32"), pd.Series([1, 2], dtype="int64")),
        (pd.Series([1, 2], dtype="int64"), pd.Series([1.0, 2.0])),
        (pd.Series([1, 0], dtype="int64"), pd.Series([True, False])),
        (pd.Series([True, False]), pd.Series([True, False], dtype=object)),
        (pd.Series([1, 2], dtype=object), pd.Series([1, 2])),
        (pd.Series([1, 2], dtype="Int64"), pd.Series([1, 2])),
        (pd.Series(["a", "b"], dtype=object), pd.Series(["a", "b"], dtype="category")),
        (pd.Series(["a", "b"], dtype=object), pd.Series(["a", "b"], dtype="string")),
        (
            pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])).astype("datetime64[s]"),
            pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])).astype("datetime64[ns]"),
        ),
        (
            pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])),
            pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])).dt.tz_localize("UTC"),
        ),
        (
            pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])),
            pd.Series([date(2020, 1, 1), date(2020, 1, 2)], dtype=object),
        ),
        (
            pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])),
            pd.Series([datetime(2020, 1, 1), datetime(2020, 1, 2)], dtype=object),
        ),
    ],
)
def test_one_value_hashes_equally_whatever_type_an_engine_gives_it(
    one: "pd.Series", other: "pd.Series"
) -> None:
    hashes = [row_hashes(pd.DataFrame({"k": values}), ("k",), 0, "test").tolist() for values in (one, other)]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([np.nan, 1.0]),
        pd.Series([None, "a"], dtype=object),
        pd.Series([pd.NaT, pd.Timestamp("2020-01-01")]),
        pd.Series([pd.NA, 1], dtype="Int64"),
    ],
)
def test_a_missing_value_has_one_hash(values: "pd.Series") -> None:
    hashes = row_hashes(pd.DataFrame({"k": values}), ("k",), 0, "test")
    assert hashes[0] == mix(mix(0) ^ mix(MISSING))


def test_floats_that_are_not_whole_differ() -> None:
    hashes = row_hashes(pd.DataFrame({"k": [0.1, 0.2, -0.1, 1e300, np.inf]}), ("k",), 0, "test")
    assert len(set(hashes.tolist())) == 5


def test_the_share_below_a_fraction_is_the_fraction() -> None:
    hashes = row_hashes(pd.DataFrame({"k": np.arange(100_000)}), ("k",), 3, "test")
    assert below(hashes, 0.2).mean() == pytest.approx(0.2, abs=0.005)
    assert below(hashes, 0.9).mean() == pytest.approx(0.9, abs=0.005)


def test_test_and_validation_sides_are_independent() -> None:
    frame = pd.DataFrame({"k": np.arange(100_000)})
    on_test = below(row_hashes(frame, ("k",), 0, "test"), 0.2)
    on_validation = below(row_hashes(frame, ("k",), 0, "validation"), 0.2)
    assert on_validation[~on_test].mean() == pytest.approx(0.2, abs=0.005)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match=r"column 'key'.*missing; found a, b"):
        row_hashes(pd.DataFrame({"a": [1], "b": [2]}), ("key",), 0, "test")


def test_values_that_cannot_be_hashed_are_refused() -> None:
    with pytest.raises(DataError, match=r"column 'k'.*mixed"):
        row_hashes(pd.DataFrame({"k": pd.Series(["a", 1], dtype=object)}), ("k",), 0, "test")
