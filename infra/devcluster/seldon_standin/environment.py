"""The environment of a server's container: what the user wrote, and what the operator adds.

Three rules decide who wins. Seldon's own identifiers are appended last, so they win over the user's. What
MLServer needs is the operator's unless the user set it. And the operator's helper for the ports, the
parameters and the model's place, when it finds that the user set the variable already, forgets every
variable gathered so far: one such variable in componentSpecs costs the container all the others.
"""

import json
from typing import Any

from .defaults import port_named
from .names import Manifest

Variables = list[dict[str, Any]]
MODEL_FOLDER = "/mnt/models"
METRICS_PATH = "/prometheus"
RUNTIMES = {
    "MLFLOW_SERVER": "mlserver_mlflow.MLflowRuntime",
    "SKLEARN_SERVER": "mlserver_sklearn.SKLearnModel",
    "XGBOOST_SERVER": "mlserver_xgboost.XGBoostModel",
    "HUGGINGFACE_SERVER": "mlserver_huggingface.HuggingFaceRuntime",
    "TEMPO_SERVER": "tempo.mlserver.InferenceRuntime",
}


def variable(name: str, value: str | int) -> dict[str, Any]:
    return {"name": name, "value": str(value)}


def unit_environment(
    deployment: str, predictor: Manifest, unit: Manifest, container: Manifest, grpc: bool
) -> Variables:
    """The container's variables before MLServer's own are merged in; `container` is as defaulted."""
    endpoint = unit["endpoint"]
    http_port, grpc_port = endpoint["httpPort"], endpoint["grpcPort"]
    variables: Variables = list(container.get("env") or [])
    if all(each["name"] != "PREDICTIVE_UNIT_SERVICE_PORT" for each in variables):
        variables.append(variable("PREDICTIVE_UNIT_SERVICE_PORT", grpc_port if grpc else http_port))
    variables = _offered(variables, "PREDICTIVE_UNIT_HTTP_SERVICE_PORT", http_port)
    variables = _offered(variables, "MLSERVER_HTTP_PORT", http_port)
    variables = _offered(variables, "PREDICTIVE_UNIT_GRPC_SERVICE_PORT", grpc_port)
    variables = _offered(variables, "MLSERVER_GRPC_PORT", grpc_port)
    if unit.get("parameters"):
        fields = [{key: each[key] for key in ("name", "value", "type")} for each in unit["parameters"]]
        parameters = json.dumps(fields, separators=(",", ":"))
        variables = _offered(variables, "PREDICTIVE_UNIT_PARAMETERS", parameters)
    if unit.get("modelUri"):
        variables = _offered(variables, "MLSERVER_MODEL_URI", MODEL_FOLDER)
    variables += [
        variable("PREDICTIVE_UNIT_ID", container["name"]),
        variable("MLSERVER_MODEL_NAME", container["name"]),
        variable("PREDICTIVE_UNIT_IMAGE", container.get("image", "")),
        variable("PREDICTOR_ID", predictor["name"]),
        variable("PREDICTOR_LABELS", json.dumps(predictor["labels"], separators=(",", ":"), sort_keys=True)),
        variable("SELDON_DEPLOYMENT_ID", deployment),
        variable("SELDON_EXECUTOR_ENABLED", "true"),
    ]
    metrics = port_named("metrics", container)
    if metrics is not None:
        variables += [
            variable("PREDICTIVE_UNIT_METRICS_SERVICE_PORT", metrics),
            variable("PREDICTIVE_UNIT_METRICS_ENDPOINT", METRICS_PATH),
            variable("MLSERVER_METRICS_PORT", metrics),
            variable("MLSERVER_METRICS_ENDPOINT", METRICS_PATH),
        ]
    return variables


def _offered(variables: Variables, name: str, value: str | int) -> Variables:
    """With the variable added; nothing at all when it was there already (see the module's text)."""
    if any(each["name"] == name for each in variables):
        return []
    return [*variables, variable(name, value)]


def server_environment(namespace: str, unit: Manifest, gathered: Variables) -> Variables:
    """MLServer's variables, each replaced or followed by what was gathered; the last of a name counts."""
    tempo = {
        "k8s_options": {"defaultRuntime": "tempo.seldon.SeldonKubernetesRuntime", "namespace": namespace}
    }
    offered = [
        variable("MLSERVER_HTTP_PORT", unit["endpoint"]["httpPort"]),
        variable("MLSERVER_GRPC_PORT", unit["endpoint"]["grpcPort"]),
        variable("MLSERVER_MODEL_IMPLEMENTATION", RUNTIMES[unit["implementation"]]),
        variable("MLSERVER_MODEL_NAME", unit["name"]),
        variable("MLSERVER_MODEL_VERSION", "v1"),
        variable("MLSERVER_MODEL_URI", MODEL_FOLDER),
        variable("TEMPO_RUNTIME_OPTIONS", json.dumps(tempo)),
    ]
    if unit["implementation"] == "HUGGINGFACE_SERVER":
        offered.append(variable("MLSERVER_PARALLEL_WORKERS", "0"))
        offered.append(variable("XDG_CACHE_HOME", "/opt/mlserver"))
    by_name = {each["name"]: each for each in offered}
    by_name.update({each["name"]: each for each in gathered})
    return list(by_name.values())
