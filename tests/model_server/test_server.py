"""A real MLServer answers, over REST and gRPC, what the trained Pipeline answers."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tritonclient.grpc as triton
from grpc import ChannelConnectivity
from slipway_model_server.digest import artifact_digest
from slipway_model_server.serve import CONNECTION_SECONDS
from tritonclient.utils import InferenceServerException

from tasks.serving.seldon_manifest import DRAIN_SECONDS
from tests.model_server import wire
from tests.model_server.conftest import make_frame, make_pipeline, store
from tests.model_server.server import AS_IN_A_POD, Server, model_server


def assert_same(answer: dict[str, Any], pipeline: Any, frame: pd.DataFrame) -> None:
    np.testing.assert_array_equal(answer["prediction"], pipeline.predict(frame))
    np.testing.assert_allclose(answer["probability"], pipeline.predict_proba(frame), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 60])
@pytest.mark.parametrize("missing_parameter", [False, True])
def test_rest_answers_as_the_pipeline_does(
    served: Server, pipeline: Any, frame: pd.DataFrame, rows: int, missing_parameter: bool
) -> None:
    some = frame.tail(rows)
    answer = served.infer("flights", wire.rest_inputs(some, missing_parameter=missing_parameter))
    assert answer.status_code == 200, answer.text
    assert_same(wire.rest_answer(answer.json()), pipeline, some)


@pytest.mark.parametrize("rows", [1, 60])
def test_grpc_answers_as_the_pipeline_does(
    served: Server, pipeline: Any, frame: pd.DataFrame, rows: int
) -> None:
    some = frame.tail(rows)
    assert_same(wire.grpc_answer(served.grpc.infer("flights", wire.grpc_inputs(some))), pipeline, some)


def test_grpc_takes_tensor_contents_as_well_as_raw_bytes(
    served: Server, pipeline: Any, frame: pd.DataFrame
) -> None:
    from tritonclient.grpc import service_pb2 as pb

    fields = {
        "FP64": "fp64_contents",
        "INT64": "int64_contents",
        "BOOL": "bool_contents",
        "BYTES": "bytes_contents",
    }
    request = pb.ModelInferRequest(model_name="flights")
    for tensor in wire.rest_inputs(frame, missing_parameter=True):
        each = request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        values = [value.encode() if isinstance(value, str) else value for value in tensor["data"]]
        getattr(each.contents, fields[tensor["datatype"]]).extend(values)
        if "parameters" in tensor:
            each.parameters["missing"].string_param = tensor["parameters"]["missing"]
    response = served.grpc._client_stub.ModelInfer(request)
    outputs = {output.name: output for output in response.outputs}
    predicted = [text.decode() for text in outputs["prediction"].contents.bytes_contents]
    assert predicted == pipeline.predict(frame).tolist()
    np.testing.assert_allclose(
        np.reshape(outputs["probability"].contents.fp64_contents, outputs["probability"].shape),
        pipeline.predict_proba(frame),
        rtol=1e-9,
    )


def test_columns_may_come_in_any_order_and_as_a_column_of_rows(
    served: Server, pipeline: Any, frame: pd.DataFrame
) -> None:
    inputs = wire.rest_inputs(frame)[::-1]
    for tensor in inputs:
        tensor["shape"] = [len(frame), 1]
    inputs[0]["data"] = [[value] for value in inputs[0]["data"]]
    assert_same(wire.rest_answer(served.infer("flights", inputs).json()), pipeline, frame)


def test_an_answer_names_classes_version_and_digest(
    served: Server, stored: Path, pipeline: Any, frame: pd.DataFrame
) -> None:
    expected = {"version": "7", "digest": artifact_digest(stored)}
    answer = served.infer("flights", wire.rest_inputs(frame)).json()
    assert answer["parameters"] == expected
    [probability] = [each for each in answer["outputs"] if each["name"] == "probability"]
    assert probability["shape"] == [60, 3]
    assert json.loads(probability["parameters"]["classes"]) == pipeline.classes_.tolist()

    response = served.grpc.infer("flights", wire.grpc_inputs(frame)).get_response()
    assert {name: value.string_param for name, value in response.parameters.items()} == expected
    assert response.outputs[1].parameters["classes"].string_param == probability["parameters"]["classes"]


def test_the_servers_metadata_says_what_is_served_and_lists_the_columns(served: Server, stored: Path) -> None:
    metadata = served.rest.get("/v2/models/flights").json()
    assert metadata["parameters"] == {"version": "7", "digest": artifact_digest(stored)}
    inputs = {each["name"]: each for each in metadata["inputs"]}
    assert list(inputs) == ["carrier", "distance", "hour", "international", "wet", "landed", "seats"]
    assert inputs["landed"]["datatype"] == "BYTES"
    assert inputs["landed"]["parameters"] == {"type": "datetime", "nullable": True}
    assert inputs["hour"]["parameters"] == {"type": "int64", "nullable": False}
    assert served.grpc.get_model_metadata("flights").inputs[2].datatype == "INT64"


def test_dates_with_a_zone_are_taken_as_the_moment_they_name(served: Server, frame: pd.DataFrame) -> None:
    with_date = frame[frame.landed.notna()]
    plain = wire.rest_inputs(with_date)
    zoned = wire.rest_inputs(with_date)
    shifted = with_date.landed.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    zoned[5]["data"] = [moment.isoformat() for moment in shifted]
    assert zoned[5]["data"] != plain[5]["data"]
    assert (
        served.infer("flights", plain).json()["outputs"] == served.infer("flights", zoned).json()["outputs"]
    )


@pytest.mark.parametrize(
    "labels",
    [np.arange(60) % 3, np.arange(60) % 2 == 0, (np.arange(60) % 2) / 2, np.arange(60) % 3 + 10**15],
    ids=["ints", "bools", "halves", "large ints"],
)
def test_labels_keep_their_type(server: Server, frame: pd.DataFrame, tmp_path: Path, labels: Any) -> None:
    from sklearn.tree import DecisionTreeClassifier

    labels = labels.astype(str).astype(object) if labels.dtype.kind == "f" else labels
    pipeline = make_pipeline(DecisionTreeClassifier(random_state=0)).fit(frame, labels)
    assert server.load("labels", store(pipeline, tmp_path / "m", frame)).status_code == 200
    answer = server.infer("labels", wire.rest_inputs(frame)).json()
    assert answer["outputs"][0]["data"] == pipeline.predict(frame).tolist()
    assert_same(wire.grpc_answer(server.grpc.infer("labels", wire.grpc_inputs(frame))), pipeline, frame)


def test_a_regressor_answers_numbers_and_no_probability(
    server: Server, frame: pd.DataFrame, tmp_path: Path
) -> None:
    from sklearn.ensemble import RandomForestRegressor

    pipeline = make_pipeline(RandomForestRegressor(10, random_state=0)).fit(frame, frame.hour * 1.5)
    assert server.load("delay", store(pipeline, tmp_path / "m", frame)).status_code == 200
    rest = wire.rest_answer(server.infer("delay", wire.rest_inputs(frame)).json())
    grpc = wire.grpc_answer(server.grpc.infer("delay", wire.grpc_inputs(frame)))
    assert list(rest) == list(grpc) == ["prediction"]
    np.testing.assert_allclose(rest["prediction"], pipeline.predict(frame), rtol=1e-12)
    np.testing.assert_array_equal(rest["prediction"], grpc["prediction"])


def spoilt(frame: pd.DataFrame, column: str, **changes: Any) -> list[dict[str, Any]]:
    return [
        {**tensor, **changes} if tensor["name"] == column else tensor
        for tensor in wire.rest_inputs(frame.tail(2))
    ]


def test_wrong_columns_are_refused_by_name(served: Server, frame: pd.DataFrame) -> None:
    inputs = wire.rest_inputs(frame.rename(columns={"hour": "minute"}).drop(columns="seats"))
    answer = served.infer("flights", [*inputs, inputs[0]])
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "columns missing: hour, seats; unexpected: minute; given twice: carrier; "
        "the model takes carrier, distance, hour, international, wet, landed, seats"
    )
    with pytest.raises(InferenceServerException, match="missing: hour, seats; unexpected: minute") as raised:
        served.grpc.infer(
            "flights", wire.grpc_inputs(frame.rename(columns={"hour": "minute"}).drop(columns="seats"))
        )
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("column", "changes", "said"),
    [
        ("hour", {"datatype": "FP64"}, "column 'hour': datatype FP64; a int64 column comes as INT64"),
        (
            "distance",
            {"datatype": "BYTES"},
            "column 'distance': datatype BYTES; a float64 column comes as FP64",
        ),
        ("landed", {"datatype": "INT64"}, "column 'landed': datatype INT64"),
        ("hour", {"data": [1, 2.5]}, "column 'hour': found 2.5, wanted whole numbers"),
        ("hour", {"data": [1, "2"]}, "column 'hour': found '2', wanted whole numbers"),
        ("hour", {"data": [1, True]}, "column 'hour': found True, wanted whole numbers"),
        ("hour", {"data": [1, 2**63]}, "column 'hour': "),
        ("distance", {"data": ["1", 2]}, "column 'distance': found '1', wanted numbers"),
        ("carrier", {"data": ["AA", 3]}, "column 'carrier': found 3, wanted text"),
        ("international", {"data": [1, 0]}, "column 'international': found 1, wanted true or false"),
        ("landed", {"data": ["now", "2013-01-01"]}, "column 'landed': Invalid isoformat string: 'now'"),
        ("hour", {"data": [1, None]}, "column 'hour': has a missing value"),
        ("hour", {"parameters": {"missing": "[0]"}}, "column 'hour': has a missing value"),
        ("seats", {"parameters": {"missing": "[2]"}}, "column 'seats': parameter missing is '[2]'"),
        ("seats", {"parameters": {"missing": "x"}}, "column 'seats': parameter missing is 'x'"),
        ("hour", {"data": [1, 2, 3]}, "column 'hour': 3 values, its shape says 2"),
        ("hour", {"data": [1, 2, 3], "shape": [3]}, "unequal length (carrier: 2, distance: 2, hour: 3"),
        ("hour", {"shape": [2, 2]}, "column 'hour': shape [2, 2]; a column has shape [n] or [n, 1]"),
        ("hour", {"data": [[1, 2], [3]]}, "column 'hour': its data is not of shape [n] or [n, 1]"),
        ("hour", {"data": 3}, "column 'hour': its data is a int, not a list"),
    ],
)
def test_a_column_that_does_not_fit_is_refused_by_name(
    served: Server, frame: pd.DataFrame, column: str, changes: dict[str, Any], said: str
) -> None:
    answer = served.infer("flights", spoilt(frame, column, **changes))
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["error"]


def test_a_request_without_rows_is_refused(served: Server, frame: pd.DataFrame) -> None:
    answer = served.infer("flights", wire.rest_inputs(frame.head(0)))
    assert answer.status_code == 400
    assert answer.json()["error"] == "the request has no rows"


def test_grpc_refuses_as_rest_does(served: Server, frame: pd.DataFrame) -> None:
    inputs = wire.grpc_inputs(frame)
    wrong = triton.InferInput("hour", [len(frame)], "FP64")
    wrong.set_data_from_numpy(frame.hour.to_numpy(float))
    inputs[2] = wrong
    with pytest.raises(InferenceServerException, match="column 'hour': datatype FP64") as raised:
        served.grpc.infer("flights", inputs)
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    not_text = triton.InferInput("carrier", [len(frame)], "BYTES")
    not_text.set_data_from_numpy(np.array([b"\xff"] * len(frame), dtype=object))
    with pytest.raises(InferenceServerException, match="column 'carrier': 'utf-8' codec") as raised:
        served.grpc.infer("flights", [not_text, *wire.grpc_inputs(frame)[1:]])
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_value_that_the_model_refuses_is_the_callers_error(
    server: Server, frame: pd.DataFrame, tmp_path: Path
) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import OneHotEncoder

    pipeline = make_pipeline(Ridge())
    pipeline.named_steps["encode"].transformers[1] = ("categorical", OneHotEncoder(), ["carrier"])
    pipeline.fit(frame, frame.hour)
    assert server.load("strict", store(pipeline, tmp_path / "m", frame)).status_code == 200
    unseen = make_frame(3).assign(carrier="ZZ")
    answer = server.infer("strict", wire.rest_inputs(unseen))
    assert answer.status_code == 400
    assert "unknown categories ['ZZ']" in answer.json()["error"]


def test_digest_and_version_of_the_environment_win(stored: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    digest = artifact_digest(stored)
    variables = {"SLIPWAY_MODEL_DIGEST": digest, "SLIPWAY_MODEL_VERSION": "12"}
    with model_server(tmp_path / "server", variables=variables) as server:
        answer = server.load("flights", stored, digest="sha256:another")
        assert answer.status_code == 200, answer.text
        said = server.infer("flights", wire.rest_inputs(frame)).json()["parameters"]
        assert said == {"version": "12", "digest": digest}


def test_a_server_that_is_about_to_end_sends_its_rest_clients_elsewhere(
    stored: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """It still answers; over gRPC nothing changes, because there connections end by themselves (the next test)."""
    leaving = tmp_path / "leaving"
    with model_server(tmp_path / "server", variables={"SLIPWAY_DRAIN_FILE": str(leaving)}) as server:
        assert server.load("flights", stored).status_code == 200
        inputs = wire.rest_inputs(frame.head(1))
        before = server.infer("flights", inputs)
        leaving.touch()

        after = server.infer("flights", inputs)

        assert after.json()["outputs"] == before.json()["outputs"]
        assert after.json()["parameters"] == before.json()["parameters"]
        assert ("connection" in before.headers, after.headers["connection"]) == (False, "close")
        assert (
            server.grpc.infer("flights", wire.grpc_inputs(frame.head(1))).as_numpy("prediction") is not None
        )


def test_a_grpc_connection_is_asked_to_end_before_its_server_does_and_loses_nothing(
    stored: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    assert CONNECTION_SECONDS * 1.1 < DRAIN_SECONDS
    with model_server(tmp_path / "server", AS_IN_A_POD) as server:
        assert server.load("flights", stored).status_code == 200
        inputs, seen = wire.grpc_inputs(frame.head(1)), []
        server.grpc._channel.subscribe(seen.append)
        asked, until = 0, time.monotonic() + 3 * CONNECTION_SECONDS
        while time.monotonic() < until:
            server.grpc.infer("flights", inputs)  # raises if it is lost
            asked += 1
    assert asked > 100
    assert seen.count(ChannelConnectivity.READY) >= 3, seen
