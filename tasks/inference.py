"""The client of a served model: Open Inference Protocol v2 over REST (httpx) and gRPC (tritonclient).

One tensor a column: FP64, INT64, BOOL, or BYTES for strings and ISO 8601 times. A missing value is null in
REST; in gRPC, which has no null, the tensor's parameter `missing` lists the rows, whose value is ignored.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import httpx
from slipway_model_server.trust import DATATYPES

from tasks.errors import ServingError
from tasks.golden import Golden, GoldenColumn
from tasks.serving import Endpoint, Served
from tasks.tls import tls

if TYPE_CHECKING:
    from tritonclient.grpc import service_pb2 as pb

Protocol = Literal["REST", "gRPC"]
PROTOCOLS: tuple[Protocol, ...] = ("REST", "gRPC")

_CONTENTS = {
    "FP64": "fp64_contents",
    "INT64": "int64_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}
_IGNORED: dict[str, Any] = {"FP64": 0.0, "INT64": 0, "BOOL": False, "BYTES": b""}


@dataclass(frozen=True)
class Answer:
    """What a server answered for n rows. `probability` is n x k in the order of `classes`."""

    protocol: Protocol
    served: Served | None
    labels: tuple[Any, ...]
    probability: tuple[tuple[float, ...], ...] | None
    classes: tuple[Any, ...] | None


def rest_request(rows: Golden) -> dict[str, Any]:
    """Pure: the JSON body that asks for `rows`."""
    return {
        "inputs": [
            {
                "name": name,
                "shape": [len(rows), 1],
                "datatype": DATATYPES[column.type],
                "data": list(column.values),
            }
            for name, column in rows.columns.items()
        ]
    }


def rest_answer(body: dict[str, Any]) -> Answer:
    """Pure: the inverse, for what the server sent. KeyError or ValueError if it is not an answer."""
    outputs = {output["name"]: output for output in body["outputs"]}
    probability = outputs.get("probability")
    return _answer(
        "REST",
        body.get("parameters") or {},
        outputs["prediction"]["data"],
        probability and probability["data"],
        probability and (probability.get("parameters") or {}).get("classes"),
    )


def grpc_request(model: str, rows: Golden) -> "pb.ModelInferRequest":
    """Pure: the message that asks `model` for `rows`."""
    from tritonclient.grpc import service_pb2 as pb

    request = pb.ModelInferRequest(model_name=model)
    for name, column in rows.columns.items():
        tensor = request.inputs.add()
        tensor.name, tensor.datatype = name, DATATYPES[column.type]
        tensor.shape.extend((len(rows), 1))
        _fill(tensor, column)
    return request


def _fill(tensor: "pb.ModelInferRequest.InferInputTensor", column: GoldenColumn) -> None:
    missing = [row for row, value in enumerate(column.values) if value is None]
    if missing:
        tensor.parameters["missing"].string_param = json.dumps(missing)
    ignored = _IGNORED[tensor.datatype]
    contents = getattr(tensor.contents, _CONTENTS[tensor.datatype])
    contents.extend(
        ignored if value is None else value.encode() if isinstance(value, str) else value
        for value in column.values
    )


def grpc_answer(response: "pb.ModelInferResponse") -> Answer:
    """Pure: the answer in a gRPC response. KeyError or ValueError if it is not one."""
    outputs = {output.name: output for output in response.outputs}
    probability = outputs.get("probability")
    return _answer(
        "gRPC",
        {name: parameter.string_param for name, parameter in response.parameters.items()},
        _contents(outputs["prediction"]),
        None if probability is None else _contents(probability),
        None if probability is None else probability.parameters["classes"].string_param,
    )


def _contents(output: "pb.ModelInferResponse.InferOutputTensor") -> list[Any]:
    values = list(getattr(output.contents, _CONTENTS[output.datatype]))
    return [value.decode() for value in values] if output.datatype == "BYTES" else values


def _answer(
    protocol: Protocol,
    parameters: dict[str, Any],
    labels: Sequence[Any],
    probability: Sequence[Any] | None,
    classes: str | None,
) -> Answer:
    """`probability` comes flat (row by row) or nested; `classes` as a JSON list."""
    names = None if classes is None else tuple(json.loads(classes))
    rows = None
    if probability is not None:
        flat = list(_flat(probability))
        width = len(flat) // max(len(labels), 1)
        if width * len(labels) != len(flat):
            raise ValueError(f"{len(flat)} probabilities do not divide among {len(labels)} rows")
        rows = tuple(tuple(flat[at : at + width]) for at in range(0, len(flat), width or 1))
    said = Served(int(parameters["version"]), parameters["digest"]) if "digest" in parameters else None
    return Answer(protocol, said, tuple(_flat(labels)), rows, names)


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


class Client:
    """Asks one endpoint over both protocols, each on one connection. Use it in a `with`.

    `timeout` seconds per request. Every failure is a ServingError that names the address and the protocol.
    """

    def __init__(self, endpoint: Endpoint, timeout: float = 30.0) -> None:
        import grpc
        from tritonclient.grpc import service_pb2_grpc

        self.endpoint, self.timeout = endpoint, timeout
        self._rest = httpx.Client(timeout=timeout, trust_env=False, verify=tls())
        # A proxy set for the outside must not be asked for an address of our own.
        self._channel = grpc.insecure_channel(endpoint.grpc, options=[("grpc.enable_http_proxy", 0)])
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rest.close()
        self._channel.close()

    def place(self, protocol: Protocol) -> str:
        address = self.endpoint.rest if protocol == "REST" else self.endpoint.grpc
        return f"{self.endpoint.name} at {address} ({protocol})"

    def ready(self, protocol: Protocol) -> bool:
        """Whether the server says that the model is ready."""
        import grpc
        from tritonclient.grpc import service_pb2 as pb

        if protocol == "REST":
            try:
                url = f"{self.endpoint.rest}/v2/models/{self.endpoint.name}/ready"
                return self._rest.get(url).is_success
            except httpx.HTTPError as error:
                raise self._silent("REST", error) from error
        try:
            request = pb.ModelReadyRequest(name=self.endpoint.name)
            return bool(self._stub.ModelReady(request, timeout=self.timeout).ready)
        except grpc.RpcError as error:
            raise self._silent("gRPC", error.details()) from error

    def ask(self, protocol: Protocol, rows: Golden) -> Answer:
        """The answer for `rows`."""
        answer = self._ask_rest(rows) if protocol == "REST" else self._ask_grpc(rows)
        if len(answer.labels) != len(rows):
            raise self._wrong(protocol, f"answered {len(answer.labels)} predictions for {len(rows)} rows")
        return answer

    def _ask_rest(self, rows: Golden) -> Answer:
        try:
            response = self._rest.post(self.endpoint.infer_url, json=rest_request(rows))
        except httpx.HTTPError as error:
            raise self._silent("REST", error) from error
        if not response.is_success:
            raise self._wrong(
                "REST", f"answered {response.status_code} {' '.join(response.text.split())[:500]}"
            )
        try:
            return rest_answer(response.json())
        except (KeyError, ValueError, TypeError) as error:
            raise self._wrong("REST", f"sent something else than an answer ({error!r})") from error

    def _ask_grpc(self, rows: Golden) -> Answer:
        import grpc

        try:
            response = self._stub.ModelInfer(grpc_request(self.endpoint.name, rows), timeout=self.timeout)
        except grpc.RpcError as error:
            raise self._wrong("gRPC", f"answered {error.code().name} {error.details()}") from error
        try:
            return grpc_answer(response)
        except (KeyError, ValueError) as error:
            raise self._wrong("gRPC", f"sent something else than an answer ({error!r})") from error

    def _silent(self, protocol: Protocol, why: object) -> ServingError:
        return ServingError(self.place(protocol), f"does not answer ({why})", "See the server's log.")

    def _wrong(self, protocol: Protocol, observed: str) -> ServingError:
        return ServingError(self.place(protocol), observed, "See the server's log.")
