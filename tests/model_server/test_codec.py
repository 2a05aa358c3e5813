"""What a client writes for a frame is the frame again at the model."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway_model_server.codec import BadRequest, Decoder, Encoder, UnservableLabels, label_datatype
from slipway_model_server.trust import ColumnType, Served

from tests.model_server.wire import FILLERS

DATATYPES = {"float64": "FP64", "int64": "INT64", "bool": "BOOL", "string": "BYTES", "datetime": "BYTES"}
VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "string": st.text(),
    "datetime": st.datetimes(),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, Served], dict[str, list[Any]]]:
    """Columns of any type and name, and their values; None where one is missing."""
    names = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5, unique=True))
    rows = draw(st.integers(1, 6))
    columns, table = {}, {}
    for name in names:
        kind = draw(st.sampled_from(sorted(VALUES)))
        nullable = draw(st.booleans())
        values = VALUES[kind] if not (nullable and kind == "int64") else st.integers(-(2**53), 2**53)
        cell = st.one_of(st.none(), values) if nullable else values
        columns[name] = Served(kind, nullable)
        table[name] = draw(st.lists(cell, min_size=rows, max_size=rows))
    return columns, table


def canonical(column: Served, values: list[Any]) -> Any:
    """The column as the training frame has it."""
    if column.type == "datetime":
        return np.array(values, dtype="datetime64[us]")
    if column.type == "string" or (column.type == "bool" and column.nullable):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    if column.type == "float64" or column.nullable:
        return np.array(values, dtype=float)
    return np.array(values, dtype=column.type)


def tensor(
    name: str, datatype: str, data: list[Any], missing: list[int] | None = None, wide: bool = False
) -> Any:
    parameters = None if missing is None else SimpleNamespace(missing=json.dumps(missing))
    shape = [len(data), 1] if wide else [len(data)]
    return SimpleNamespace(name=name, datatype=datatype, data=data, shape=shape, parameters=parameters)


def rest(columns: dict[str, Served], table: dict[str, list[Any]], wide: bool) -> list[Any]:
    """As JSON brings it: missing is null."""
    tensors = []
    for name, values in table.items():
        plain = [v.isoformat() if columns[name].type == "datetime" and v is not None else v for v in values]
        data = json.loads(json.dumps([[v] for v in plain] if wide else plain))
        tensors.append(tensor(name, DATATYPES[columns[name].type], data, wide=wide))
    return tensors


def grpc(columns: dict[str, Served], table: dict[str, list[Any]]) -> list[Any]:
    """As gRPC brings it: texts are bytes, and what is missing is named by row."""
    tensors = []
    for name, values in table.items():
        datatype = DATATYPES[columns[name].type]
        data = [FILLERS[datatype] if v is None else v for v in values]
        if datatype == "BYTES":
            data = [(v if isinstance(v, str) else v.isoformat()).encode() for v in data]
        tensors.append(tensor(name, datatype, data, [i for i, v in enumerate(values) if v is None]))
    return tensors


@settings(deadline=None)
@given(tables(), st.booleans())
def test_a_frame_survives_the_way_over_both_protocols(
    case: tuple[dict[str, Served], dict[str, list[Any]]], wide: bool
) -> None:
    columns, table = case
    expected = pd.DataFrame({name: canonical(columns[name], values) for name, values in table.items()})
    decoder = Decoder(columns)
    for tensors in (rest(columns, table, wide), grpc(columns, table)):
        pd.testing.assert_frame_equal(decoder.frame(tensors[::-1]), expected)


@settings(deadline=None)
@given(tables(), st.data())
def test_a_missing_value_is_refused_where_training_had_none(
    case: tuple[dict[str, Served], dict[str, list[Any]]], data: st.DataObject
) -> None:
    columns, table = case
    name = data.draw(st.sampled_from(sorted(columns)))
    columns[name] = Served(columns[name].type, nullable=False)
    table[name] = [None, *table[name][1:]]
    for tensors in (rest(columns, table, False), grpc(columns, table)):
        with pytest.raises(BadRequest, match="has a missing value") as raised:
            Decoder({name: columns[name]}).frame([each for each in tensors if each.name == name])
        assert repr(name) in str(raised.value)


@settings(deadline=None)
@given(tables(), st.data())
def test_a_column_too_few_or_too_many_is_named(
    case: tuple[dict[str, Served], dict[str, list[Any]]], data: st.DataObject
) -> None:
    columns, table = case
    gone = data.draw(st.sampled_from(sorted(columns)))
    extra = data.draw(st.text(min_size=1, max_size=5).filter(lambda name: name not in columns))
    tensors = [each for each in rest(columns, table, False) if each.name != gone]
    with pytest.raises(BadRequest) as raised:
        Decoder(columns).frame([*tensors, tensor(extra, "FP64", [1.0])])
    assert str(raised.value).startswith(f"columns missing: {gone}; unexpected: {extra}; the model takes ")


@settings(deadline=None)
@given(st.lists(st.text(), min_size=2, max_size=5, unique=True), st.data())
def test_labels_and_probabilities_come_out_flat_with_their_classes(
    classes: list[str], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.sampled_from(classes), min_size=1, max_size=4))
    encoder = Encoder(classes)
    prediction = encoder.prediction(np.array(rows, dtype=object))
    assert (prediction.datatype, prediction.shape) == ("BYTES", [len(rows)])
    assert [text.decode() for text in prediction.data] == rows
    values = np.arange(len(rows) * len(classes), dtype=float).reshape(len(rows), len(classes))
    probability = encoder.probability(values)
    assert np.array_equal(np.reshape(probability.data, probability.shape), values)
    assert probability.parameters is not None
    assert json.loads(probability.parameters["classes"]) == classes


@pytest.mark.parametrize(
    ("classes", "datatype"),
    [(["a"], "BYTES"), ([True, False], "BOOL"), ([1, 2], "INT64"), ([0.5, 1.0], "FP64")],
)
def test_labels_have_the_datatype_of_their_type(classes: list[Any], datatype: str) -> None:
    assert label_datatype(classes) == datatype
    with pytest.raises(UnservableLabels, match="are not all"):
        label_datatype([*classes, None])
