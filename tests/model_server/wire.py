"""The wire contract, written down a second time: frames to requests and answers to arrays."""

import json
from typing import Any

import numpy as np
import pandas as pd
import tritonclient.grpc as triton

DATATYPES = {"f": "FP64", "i": "INT64", "b": "BOOL", "O": "BYTES", "M": "BYTES"}


FILLERS: dict[str, Any] = {"FP64": 0.0, "INT64": 0, "BOOL": False, "BYTES": ""}
"""What stands where a value is missing and only the parameter `missing` says so."""


def datatype(column: "pd.Series[Any]") -> str:
    """The column `wet` holds booleans and None, which no dtype tells."""
    return "BOOL" if column.name == "wet" else DATATYPES[column.dtype.kind]


def plain(value: Any) -> Any:
    """A cell as JSON has it: missing is None, a date ISO 8601."""
    if pd.isna(value):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


def rest_inputs(frame: pd.DataFrame, *, missing_parameter: bool = False) -> list[dict[str, Any]]:
    """One tensor a column; missing values are null, or with `missing_parameter` named by row."""
    inputs = []
    for name in frame:
        values = [plain(value) for value in frame[name].tolist()]
        tensor = {"name": name, "datatype": datatype(frame[name]), "shape": [len(values)], "data": values}
        if missing_parameter and None in values:
            filler = FILLERS[str(tensor["datatype"])]
            tensor["parameters"] = {
                "missing": json.dumps([i for i, value in enumerate(values) if value is None])
            }
            tensor["data"] = [filler if value is None else value for value in values]
        inputs.append(tensor)
    return inputs


ARRAYS = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}


def grpc_inputs(frame: pd.DataFrame) -> list[triton.InferInput]:
    """As tritonclient sends them: raw bytes, missing values named by row."""
    inputs = []
    for tensor in rest_inputs(frame, missing_parameter=True):
        values = tensor["data"]
        if tensor["datatype"] == "BYTES":
            values = [value.encode() for value in values]
        each = triton.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
        each.set_data_from_numpy(np.array(values, dtype=ARRAYS[tensor["datatype"]]))
        if "parameters" in tensor:
            each._get_tensor().parameters["missing"].string_param = tensor["parameters"]["missing"]
        inputs.append(each)
    return inputs


def rest_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """Output name -> array of the output's shape."""
    return {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in answer["outputs"]}


def grpc_answer(result: triton.InferResult) -> dict[str, Any]:
    """Output name -> array of the output's shape, texts decoded."""
    answer = {}
    for output in result.get_response().outputs:
        array = result.as_numpy(output.name)
        answer[output.name] = np.array([text.decode() for text in array]) if array.dtype == object else array
    return answer
