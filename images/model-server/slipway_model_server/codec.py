"""Open Inference Protocol v2 tensors to the model's pandas frame, and predictions back to tensors.

A tensor here is anything with `name`, `datatype`, `shape`, `data` and `parameters`, as MLServer hands it over
from REST and gRPC alike. What can be known from the signature is worked out once, in `Decoder`; a request
then costs a few passes at C speed over each column.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from slipway_model_server.trust import Served


class BadRequest(ValueError):
    """A request that does not fit the model's signature; the message names the columns."""


class UnservableLabels(ValueError):
    """Labels of a classifier that no datatype carries."""


@dataclass(frozen=True)
class Output:
    """One output tensor; `data` is flat, in row-major order."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]
    parameters: dict[str, str] | None = None


class Decoder:
    """Turns a request's tensors into the frame that the model was trained on.

    The columns come in the signature's order as float64 (missing: NaN), int64, bool, object (str; missing:
    None), datetime64[us] (UTC; missing: NaT); a nullable int column is float64, a nullable bool object.
    """

    def __init__(self, columns: Mapping[str, Served]) -> None:
        self._columns = dict(columns)
        self._plan = [(name, column, *_plan(column)) for name, column in columns.items()]

    def frame(self, tensors: Sequence[Any]) -> pd.DataFrame:
        """The frame of `tensors`, one a column, shape (rows, columns). Raises BadRequest."""
        found = {tensor.name: tensor for tensor in tensors}
        if found.keys() != self._columns.keys() or len(found) != len(tensors):
            raise BadRequest(wrong_columns(list(self._columns), [tensor.name for tensor in tensors]))
        rows = rows_of(tensors)
        data: dict[str, Any] = {}
        for name, column, datatypes, convert in self._plan:
            tensor = found[name]
            if tensor.datatype not in datatypes:
                raise BadRequest(
                    f"column {name!r}: datatype {tensor.datatype}; a {column.type} column comes as "
                    f"{' or '.join(datatypes)}"
                )
            values, missing = values_of(tensor, rows)
            try:
                array, gaps = convert(values)
            except (TypeError, ValueError, OverflowError) as error:
                raise BadRequest(f"column {name!r}: {error}") from error
            if (gaps or missing) and not column.nullable:
                raise BadRequest(
                    f"column {name!r}: has a missing value, and the model was trained without any"
                )
            data[name] = array
        return pd.DataFrame(data, copy=False)


def wrong_columns(expected: Sequence[str], found: Sequence[str]) -> str:
    """What is wrong with the column names `found`."""
    problems = []
    for word, names in (
        ("missing", [name for name in expected if name not in found]),
        ("unexpected", sorted({name for name in found if name not in expected})),
        ("given twice", sorted({name for name in found if found.count(name) > 1})),
    ):
        if names:
            problems.append(f"{word}: {', '.join(names)}")
    return f"columns {'; '.join(problems)}; the model takes {', '.join(expected)}"


def rows_of(tensors: Sequence[Any]) -> int:
    """How many rows all `tensors` have. Raises BadRequest if a shape is not [n] or [n, 1], or they differ."""
    rows = -1
    for tensor in tensors:
        shape = tensor.shape
        if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
            raise BadRequest(f"column {tensor.name!r}: shape {list(shape)}; a column has shape [n] or [n, 1]")
        if rows < 0:
            rows = shape[0]
        elif shape[0] != rows:
            lengths = ", ".join(f"{each.name}: {each.shape[0]}" for each in tensors)
            raise BadRequest(f"columns of unequal length ({lengths})")
    if rows < 1:
        raise BadRequest("the request has no rows")
    return rows


def values_of(tensor: Any, rows: int) -> tuple[list[Any], bool]:
    """The values of `tensor`, with None where its `missing` parameter says so, and whether it says so."""
    values = getattr(tensor.data, "root", tensor.data)
    if not isinstance(values, list):
        raise BadRequest(f"column {tensor.name!r}: its data is a {type(values).__name__}, not a list")
    if values and type(values[0]) is list:
        if any(type(value) is not list or len(value) != 1 for value in values):
            raise BadRequest(f"column {tensor.name!r}: its data is not of shape [n] or [n, 1]")
        values = [value[0] for value in values]
    if len(values) != rows:
        raise BadRequest(f"column {tensor.name!r}: {len(values)} values, its shape says {rows}")
    missing = getattr(tensor.parameters, "missing", None)
    if missing is None:
        return values, False
    gaps = _indices(tensor.name, missing, rows)
    values = list(values)
    for index in gaps:
        values[index] = None
    return values, bool(gaps)


def _indices(name: str, missing: Any, rows: int) -> list[int]:
    try:
        indices = json.loads(missing) if isinstance(missing, str) else missing
    except ValueError:
        indices = None
    if not isinstance(indices, list) or not all(type(i) is int and 0 <= i < rows for i in indices):
        raise BadRequest(
            f"column {name!r}: parameter missing is {missing!r}; it must be a JSON list of "
            f"rows from 0 to {rows - 1}"
        )
    return indices


# Each converter gives the column's array and whether a value is missing in it. They raise ValueError and
# such; the caller adds the column's name.
Converter = Callable[[list[Any]], tuple[Any, bool]]
NoneType: type = type(None)


def _plan(column: Served) -> tuple[tuple[str, ...], Converter]:
    """The datatypes that `column` may come as, and what converts its values."""
    match column.type:
        case "float64":
            return ("FP64", "INT64"), _floats
        case "int64":
            # A column with missing values is float64 in the frame, so clients hold it as either.
            return (("INT64", "FP64"), _floats) if column.nullable else (("INT64",), _ints)
        case "bool":
            return ("BOOL",), _objects_of_bool if column.nullable else _bools
        case "string":
            return ("BYTES",), _strings
        case "datetime":
            return ("BYTES",), _dates


def _kinds(values: list[Any], allowed: frozenset[type], wanted: str) -> set[type]:
    kinds = set(map(type, values))
    if not kinds <= allowed:
        strange = next(value for value in values if type(value) not in allowed)
        raise BadRequest(f"found {strange!r}, wanted {wanted}")
    return kinds


NUMBERS: frozenset[type] = frozenset({int, float, NoneType})
INTS: frozenset[type] = frozenset({int, NoneType})
BOOLS: frozenset[type] = frozenset({bool, NoneType})
TEXTS: frozenset[type] = frozenset({str, bytes, NoneType})


def _floats(values: list[Any]) -> tuple[Any, bool]:
    _kinds(values, NUMBERS, "numbers")
    array = np.array(values, dtype=np.float64)
    return array, bool(np.isnan(array).any())


def _ints(values: list[Any]) -> tuple[Any, bool]:
    if NoneType in _kinds(values, INTS, "whole numbers"):
        return None, True
    return np.array(values, dtype=np.int64), False


def _bools(values: list[Any]) -> tuple[Any, bool]:
    if NoneType in _kinds(values, BOOLS, "true or false"):
        return None, True
    return np.array(values, dtype=np.bool_), False


def _objects_of_bool(values: list[Any]) -> tuple[Any, bool]:
    return _objects(values), NoneType in _kinds(values, BOOLS, "true or false")


def _strings(values: list[Any]) -> tuple[Any, bool]:
    kinds = _kinds(values, TEXTS, "text")
    if bytes in kinds:
        values = [_text(value) for value in values]
    return _objects(values), NoneType in kinds


def _dates(values: list[Any]) -> tuple[Any, bool]:
    kinds = _kinds(values, TEXTS, "ISO 8601 text")
    return np.array([_date(value) for value in values], dtype="datetime64[us]"), NoneType in kinds


def _objects(values: list[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value


def _date(value: str | bytes | None) -> datetime | None:
    """ISO 8601, with or without a zone, as UTC without a zone."""
    text = _text(value)
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


class Encoder:
    """Turns labels or values, and probabilities, into output tensors."""

    def __init__(self, classes: Sequence[Any] | None) -> None:
        self._texts: dict[Any, bytes] | None = None
        self._datatype: str | None = None
        self._parameters: dict[str, str] = {}
        if classes is not None:
            self._datatype = label_datatype(classes)
            self._parameters = {"classes": json.dumps(list(classes), ensure_ascii=False)}
            if self._datatype == "BYTES":
                self._texts = {label: label.encode() for label in classes}

    def prediction(self, predicted: Any) -> Output:
        """The tensor of `predicted`, labels or numbers of shape (rows,)."""
        values = predicted.tolist()
        if self._texts is not None:
            texts = self._texts
            values = [texts[value] for value in values]
        datatype = self._datatype or ("FP64" if predicted.dtype.kind == "f" else "INT64")
        return Output("prediction", datatype, [len(values)], values)

    def probability(self, probability: Any) -> Output:
        """The tensor of `probability`, shape (rows, classes); its parameters name the classes."""
        data = probability.ravel().tolist()
        return Output("probability", "FP64", list(probability.shape), data, self._parameters)


def label_datatype(classes: Sequence[Any]) -> str:
    """The datatype that carries all of `classes`. Raises UnservableLabels if none does."""
    kinds = {type(label) for label in classes}
    for kind, datatype in ((str, "BYTES"), (bool, "BOOL"), (int, "INT64"), (float, "FP64")):
        if kinds == {kind}:
            return datatype
    raise UnservableLabels(f"labels {list(classes)!r} are not all text, whole numbers, numbers or booleans")
