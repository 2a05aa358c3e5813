"""Latency of a served model: ours against MLServer's own MLflow runtime, with the same model and request body.

Both are MLServer 1.7, one client, one connection; requests go to the two in turn, so that whatever else the
machine does falls on both.
"""

import http.client
import json
import logging
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tritonclient.grpc as triton

from tests.model_server.server import Server, model_server

YARDSTICK = Path(__file__).parent / "mlserver-mlflow"
MLFLOW_RUNTIME = "mlserver_mlflow.MLflowRuntime"
REQUESTS = 200
WARM_UP = 30
DATATYPES = {"f": "FP64", "i": "INT64", "b": "BOOL", "O": "BYTES"}
ARRAYS = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}

Call = Callable[[], float]


def measure() -> dict[str, Any]:
    """Median milliseconds and ratios (ours / MLServer's runtime) for two models, both protocols, 1 and 100 rows.

    `{"linear": {"rest_1": {"ours_ms": ..., "mlserver_mlflow_ms": ..., "ratio": ...}, ...}, ...}`. Installs the
    yardstick's locked environment first if it is not there.
    """
    subprocess.run(["uv", "sync", "--frozen", "--quiet", "--project", YARDSTICK], check=True)
    command = (str(YARDSTICK / ".venv" / "bin" / "mlserver"),)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        folder = Path(name)
        with model_server(folder / "ours") as ours, model_server(folder / "theirs", command) as theirs:
            return {
                model: _compare(model, folder, ours, theirs, pipeline)
                for model, pipeline in _pipelines().items()
            }


def make_frame(rows: int) -> pd.DataFrame:
    """Twelve columns as in flight-delays: numbers, whole numbers, texts, a boolean."""
    rng = np.random.default_rng(rows)
    columns: dict[str, Any] = {f"number_{i}": rng.normal(size=rows) for i in range(5)}
    columns |= {f"count_{i}": rng.integers(0, 24, rows) for i in range(3)}
    columns |= {f"text_{i}": rng.choice(np.array([*"abcdefghij"], dtype=object), rows) for i in range(3)}
    return pd.DataFrame({**columns, "flag": rng.random(rows) < 0.5})


def _pipelines() -> dict[str, Any]:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    frame = make_frame(5000)
    target = np.where(frame.number_0 + (frame.text_0 == "a") > 0.2, "late", "on time").astype(object)
    numbers = [name for name in frame if name[0] in "nc"]
    texts = [name for name in frame if name[0] in "tf"]

    def pipeline(numeric: Any, categorical: Any, final: Any) -> Any:
        encode = ColumnTransformer([("numeric", numeric, numbers), ("categorical", categorical, texts)])
        return Pipeline([("encode", encode), ("model", final)]).fit(frame, target)

    return {
        "linear": pipeline(
            make_pipeline(SimpleImputer(), StandardScaler()),
            OneHotEncoder(handle_unknown="ignore"),
            LogisticRegression(max_iter=500),
        ),
        "boosting": pipeline(
            "passthrough",
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
            HistGradientBoostingClassifier(max_iter=100, random_state=0),
        ),
    }


def _compare(
    name: str, folder: Path, ours: Server, theirs: Server, pipeline: Any
) -> dict[str, dict[str, float]]:
    import mlflow.sklearn
    import skops.io

    stored = folder / name
    sample = make_frame(100)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whole numbers in a signature; nothing is missing here
        signature = mlflow.models.infer_signature(sample, pd.Series(pipeline.predict(sample)))
    mlflow.sklearn.save_model(
        pipeline,
        stored,
        serialization_format="skops",
        signature=signature,
        pip_requirements=["scikit-learn"],
        skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(pipeline)),
    )
    for answer in (ours.load(name, stored), theirs.load(name, stored, implementation=MLFLOW_RUNTIME)):
        answer.raise_for_status()
    result = {}
    for rows in (1, 100):
        frame = make_frame(rows)
        expected = pipeline.predict(frame).tolist()
        for protocol, make in (("rest", _rest), ("grpc", _grpc)):
            calls = [make(server, name, frame, expected) for server in (ours, theirs)]
            mine, yardstick = _medians(calls)
            result[f"{protocol}_{rows}"] = {
                "ours_ms": mine * 1e3,
                "mlserver_mlflow_ms": yardstick * 1e3,
                "ratio": mine / yardstick,
            }
    return result


def _medians(calls: list[Call]) -> list[float]:
    """Median seconds of each of `calls`, made in turn; which is first alternates."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(WARM_UP + REQUESTS):
        order = range(len(calls)) if turn % 2 else reversed(range(len(calls)))
        for index in order:
            took = calls[index]()
            if turn >= WARM_UP:
                times[index].append(took)
    return [statistics.median(each) for each in times]


def _tensors(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """As MLServer's runtime needs them: the whole is a frame (`pd`), texts are `str`. Ours does not look."""
    tensors = []
    for name in frame:
        datatype = DATATYPES[frame[name].dtype.kind]
        tensor = {"name": name, "datatype": datatype, "shape": [len(frame), 1], "data": frame[name].tolist()}
        tensors.append({**tensor, "parameters": {"content_type": "str"}} if datatype == "BYTES" else tensor)
    return tensors


def _rest(server: Server, name: str, frame: pd.DataFrame, expected: list[str]) -> Call:
    body = json.dumps({"parameters": {"content_type": "pd"}, "inputs": _tensors(frame)}).encode()
    headers = {"Content-Type": "application/json"}
    connection = http.client.HTTPConnection(server.rest.base_url.host, server.rest.base_url.port or 0)
    path = f"/v2/models/{name}/infer"

    def call() -> float:
        start = time.perf_counter()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        took = time.perf_counter() - start
        if answer.status != 200 or json.loads(content)["outputs"][0]["data"] != expected:
            raise RuntimeError(f"{name} answered {answer.status}: {content[:300]!r}")
        return took

    return call


def _grpc(server: Server, name: str, frame: pd.DataFrame, expected: list[str]) -> Call:
    inputs = []
    for tensor in _tensors(frame):
        values = np.array(tensor["data"], dtype=ARRAYS[tensor["datatype"]])
        each = triton.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
        each.set_data_from_numpy(values.reshape(tensor["shape"]))
        if "parameters" in tensor:
            each._get_tensor().parameters["content_type"].string_param = "str"
        inputs.append(each)

    def call() -> float:
        start = time.perf_counter()
        result = server.grpc.infer(name, inputs, parameters={"content_type": "pd"})
        took = time.perf_counter() - start
        output = result.get_response().outputs[0].name
        if [text.decode() for text in result.as_numpy(output).ravel()] != expected:
            raise RuntimeError(f"{name} answered {result.as_numpy(output)!r}")
        return took

    return call
