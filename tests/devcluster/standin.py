"""SeldonDeployments for the stand-in's tests, and what of its output they look at."""

from copy import deepcopy
from typing import Any

Manifest = dict[str, Any]


def predictor(name: str, traffic: int | None = None, **container: Any) -> Manifest:
    made: Manifest = {
        "name": name,
        "annotations": {"seldon.io/no-engine": "true"},
        "graph": {
            "name": "flights",
            "implementation": "MLFLOW_SERVER",
            "modelUri": f"s3://slipway/{name}",
            "envSecretRefName": "store",
        },
        "componentSpecs": [{"spec": {"containers": [{"name": "flights", "image": "server"} | container]}}],
    }
    return made if traffic is None else made | {"traffic": traffic}


def seldon_deployment(*predictors: Manifest, name: str = "flights", **spec: Any) -> Manifest:
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": name, "namespace": "serving", "uid": "u-1", "generation": 1},
        "spec": {"protocol": "v2", "predictors": [deepcopy(each) for each in predictors]} | spec,
    }


def environment(container: Manifest) -> dict[str, str]:
    names = [each["name"] for each in container["env"]]
    assert len(names) == len(set(names))
    return {each["name"]: each.get("value", "") for each in container["env"]}


def server(deployment: Manifest) -> Manifest:
    """The model server's container of a Deployment."""
    found: Manifest = deployment["spec"]["template"]["spec"]["containers"][0]
    return found
