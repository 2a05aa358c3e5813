"""The client's encoding: what the server decodes is what was meant, over both protocols."""

import json
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.golden import Golden, GoldenColumn
from tasks.inference import Answer, grpc_answer, grpc_request, rest_answer, rest_request
from tasks.serving import Endpoint, Served
from tasks.smoke import curl_line
from tasks.spec import ColumnType

VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "int64": st.integers(-(2**53), 2**53),
    "bool": st.booleans(),
    "string": st.text(),
    "datetime": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(datetime.isoformat),
}


@st.composite
def goldens(draw: st.DrawFn) -> Golden:
    """Rows with a column of every type; every value may be missing."""
    rows = draw(st.integers(1, 6))
    columns = {
        kind: GoldenColumn(
            type=kind, values=tuple(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)))
        )
        for kind, values in VALUES.items()
    }
    return Golden(problem="regression", columns=columns, labels=(0.0,) * rows)


def decoded(tensors: list[Any], golden: Golden) -> dict[str, list[Any]]:
    """What the model server's own decoder makes of `tensors`: values, None for missing."""
    from slipway_model_server.codec import Decoder
    from slipway_model_server.trust import Served as Column

    columns = {name: Column(column.type, nullable=True) for name, column in golden.columns.items()}
    frame = Decoder(columns).frame(tensors)
    found: dict[str, list[Any]] = {}
    for name, column in golden.columns.items():
        values = [
            None if gone else value for value, gone in zip(frame[name], frame[name].isna(), strict=True)
        ]
        if column.type == "datetime":
            values = [value and value.to_pydatetime().isoformat() for value in values]
        found[name] = values
    return found


@settings(deadline=None)
@given(goldens())
def test_rest_and_grpc_requests_mean_the_same_rows(golden: Golden) -> None:
    expected = {name: list(column.values) for name, column in golden.columns.items()}
    body = json.loads(json.dumps(rest_request(golden)))
    rest = [SimpleNamespace(parameters=None, **tensor) for tensor in body["inputs"]]
    grpc = [
        SimpleNamespace(
            name=tensor.name,
            datatype=tensor.datatype,
            shape=list(tensor.shape),
            data=[value for _, values in tensor.contents.ListFields() for value in values],
            parameters=SimpleNamespace(
                missing=tensor.parameters["missing"].string_param if "missing" in tensor.parameters else None
            ),
        )
        for tensor in grpc_request("m", golden).inputs
    ]

    assert decoded(rest, golden) == expected
    assert decoded(grpc, golden) == expected


@settings(deadline=None)
@given(goldens(), st.data())
def test_one_row_is_that_row(golden: Golden, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(golden) - 1))

    row = golden.only(index)

    assert len(row) == 1
    assert row.row(0) == golden.row(index)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.tuples(st.floats(0, 1), st.floats(0, 1))), min_size=1, max_size=5))
def test_both_protocols_answers_are_read_alike(rows: list[tuple[str, tuple[float, float]]]) -> None:
    from tritonclient.grpc import service_pb2 as pb

    labels = [label for label, _ in rows]
    flat = [number for _, row in rows for number in row]
    expected = {
        "served": Served(7, "sha256:ab"),
        "labels": tuple(labels),
        "probability": tuple(row for _, row in rows),
        "classes": ("a", "ł"),
    }
    body = {
        "parameters": {"version": "7", "digest": "sha256:ab"},
        "outputs": [
            {"name": "prediction", "datatype": "BYTES", "shape": [len(rows), 1], "data": labels},
            {
                "name": "probability",
                "datatype": "FP64",
                "shape": [len(rows), 2],
                "data": flat,
                "parameters": {"classes": '["a", "ł"]'},
            },
        ],
    }
    message = pb.ModelInferResponse()
    message.parameters["version"].string_param = "7"
    message.parameters["digest"].string_param = "sha256:ab"
    prediction, probability = message.outputs.add(), message.outputs.add()
    prediction.name, prediction.datatype = "prediction", "BYTES"
    prediction.contents.bytes_contents.extend(label.encode() for label in labels)
    probability.name, probability.datatype = "probability", "FP64"
    probability.contents.fp64_contents.extend(flat)
    probability.parameters["classes"].string_param = '["a", "ł"]'

    assert rest_answer(json.loads(json.dumps(body))) == Answer(protocol="REST", **expected)  # type: ignore[arg-type]
    assert grpc_answer(message) == Answer(protocol="gRPC", **expected)  # type: ignore[arg-type]


def test_probabilities_that_do_not_divide_among_the_rows_are_no_answer() -> None:
    outputs = [
        {"name": "prediction", "data": ["a", "b"]},
        {"name": "probability", "data": [0.1, 0.2, 0.7], "parameters": {"classes": "[]"}},
    ]
    with pytest.raises(ValueError, match="3 probabilities do not divide among 2 rows"):
        rest_answer({"outputs": outputs})


def test_the_curl_line_is_quoted_for_a_shell() -> None:
    import shlex

    golden = Golden(
        problem="regression",
        columns={"colour": GoldenColumn(type="string", values=(None, 'it\'s $HOME "x" `y`'))},
        labels=(0.0, 1.0),
    )

    words = shlex.split(curl_line(Endpoint("m", "http://127.0.0.1:9", "127.0.0.1:8"), golden))

    assert words[:5] == ["curl", "-s", "--noproxy", "*", "http://127.0.0.1:9/v2/models/m/infer"]
    assert json.loads(words[-1])["inputs"][0]["data"] == ['it\'s $HOME "x" `y`']
