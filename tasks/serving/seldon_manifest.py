"""The manifests of a served model, as pure functions from values to dicts.

Everything that the operator would otherwise choose by position or by a slow default is said here: what is
said once stays the same when predictors come and go, so that none of them is restarted by a release.
"""

import re
from collections.abc import Mapping
from typing import Any

from tasks.fields import holds
from tasks.pods import USER, confined, unprivileged
from tasks.serving import Predictor
from tasks.spec_schema import ServingSpec

Manifest = dict[str, Any]

HTTP, GRPC, METRICS = 9000, 9500, 6000
"""Ports of the model server: REST, gRPC, Prometheus."""
MODEL_FOLDER = "/mnt/models"
"""Where the operator wants the model to lie in the pod."""
RUNTIME = "slipway_model_server.runtime.Runtime"
INITIALIZER_IMAGE = "docker.io/seldonio/rclone-storage-initializer:1.17.1"
"""What Seldon Core 1.17.1 fetches models with, where the platform names no other."""
STORE_SECRET = "slipway-model-store"  # noqa: S105 - a name
"""Secret with rclone's configuration: an identity that may only read."""
SERVICE_ACCOUNT = "model"
DRAIN_SECONDS = 5
"""How long a pod that goes away still answers: until every node knows that it is gone."""
DRAIN_FILE = "/tmp/leaving"  # noqa: S108 - in a volume of the pod's own
"""While it is there, the server asks its clients to connect anew, which takes them elsewhere."""
DRAIN = f"touch {DRAIN_FILE} && sleep {DRAIN_SECONDS}"
START_SECONDS = 300
"""A server that does not listen after this long is started again."""
MANAGED = {"app.kubernetes.io/managed-by": "slipway"}
DEPLOYMENT_LABEL, PREDICTOR_LABEL = "seldon-deployment-id", "seldon-app"
"""Labels that the operator gives to a model's pods, and to a predictor's."""
QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)(|m|Mi|Gi|M|G)$")
NUMBERED = re.compile(r"^v(\d+)$")


def predictor_name(number: int) -> str:
    return f"v{number}"


def service_name(model: str, number: int) -> str:
    """The operator's Service of one predictor; its pods carry the same name as `seldon-app`."""
    return f"{model}-{predictor_name(number)}"


def live_name(model: str) -> str:
    """Our own Service: the address that stays."""
    return f"{model}-live"


def initializer_name(model: str) -> str:
    """The container that fetches the model. The operator leaves one of this name as it is."""
    return f"{model}-model-initializer"


def volume_name(model: str) -> str:
    return f"{model}-provision-location"


def predictor_manifest(
    model: str,
    predictor: Predictor,
    needs: ServingSpec,
    image: str,
    priority: str,
    initializer: str = INITIALIZER_IMAGE,
) -> Manifest:
    """One predictor of the SeldonDeployment, without traffic. `priority`: the PriorityClass of its pods."""
    pod = _pod(model, predictor, needs, image, initializer)
    return {
        "name": predictor_name(predictor.number),
        "replicas": needs.replicas,
        "traffic": 0,
        # Without Seldon's executor: it would cost half a core and 20 s, and a single model needs none.
        "annotations": {"seldon.io/no-engine": "true"},
        "labels": {"version": predictor_name(predictor.number), **MANAGED},
        "graph": {
            "name": model,
            "type": "MODEL",
            "implementation": "MLFLOW_SERVER",
            "modelUri": predictor.uri,
            "envSecretRefName": STORE_SECRET,
        },
        "componentSpecs": [{"spec": {**pod, "priorityClassName": priority}}],
    }


def _pod(model: str, predictor: Predictor, needs: ServingSpec, image: str, initializer: str) -> Manifest:
    return {
        "serviceAccountName": SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": unprivileged(fsGroup=USER),
        "initContainers": [_initializer(model, predictor.uri, initializer)],
        "containers": [_server(model, predictor, needs, image)],
        "volumes": [
            {"name": volume_name(model), "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def _initializer(model: str, uri: str, image: str) -> Manifest:
    """The operator's own init container has no security context, which `restricted` namespaces refuse."""
    return {
        "name": initializer_name(model),
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [uri, MODEL_FOLDER],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - a volume of the pod's own
        "envFrom": [{"secretRef": {"name": STORE_SECRET}}],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": confined(),
        "terminationMessagePath": "/dev/termination-log",
        # A failed download says why in its last lines, also when its log is gone.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": volume_name(model), "mountPath": MODEL_FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _server(model: str, predictor: Predictor, needs: ServingSpec, image: str) -> Manifest:
    return {
        "name": model,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in server_environment(predictor).items()],
        # Declared, the port of the metrics is not given by position.
        "ports": [
            {"name": "http", "containerPort": HTTP, "protocol": "TCP"},
            {"name": "grpc", "containerPort": GRPC, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS, "protocol": "TCP"},
        ],
        "resources": {
            "requests": {"cpu": canonical(needs.cpu), "memory": canonical(needs.memory)},
            "limits": {"memory": canonical(needs.memory)},
        },
        "securityContext": confined(),
        # Of the readiness and the liveness probe the operator replaces the question, not the patience.
        "startupProbe": _probe("/v2/health/live", period=1, failures=START_SECONDS, timeout=5),
        "readinessProbe": _probe("/v2/health/ready", period=1, failures=3, timeout=5),
        "livenessProbe": _probe("/v2/health/live", period=10, failures=6, timeout=10),
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", DRAIN]}}},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": volume_name(model), "mountPath": MODEL_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def server_environment(predictor: Predictor) -> dict[str, str]:
    """What the model server is told beside the operator's own variables; these win over them."""
    return {
        "MLSERVER_MODEL_IMPLEMENTATION": RUNTIME,
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",  # no line in the log for each request
        "SLIPWAY_MODEL_DIGEST": predictor.digest,
        "SLIPWAY_MODEL_VERSION": str(predictor.number),
        "SLIPWAY_DRAIN_FILE": DRAIN_FILE,
        "OMP_WAIT_POLICY": "PASSIVE",  # OpenMP's threads would spin between two requests
        "HOME": "/tmp",  # noqa: S108
    }


def canonical(quantity: str) -> str:
    """A quantity as Kubernetes writes it: `1000m` is `1`, `0.5` is `500m`, `1024Mi` is `1Gi`."""
    found = QUANTITY.match(quantity)
    if found is None:
        return quantity
    number, unit = found.groups()
    if unit in ("", "m"):
        thousandths = round(float(number) * (1 if unit == "m" else 1000))
        return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)
    step, amount, units = (
        (1024, int(number), ("Mi", "Gi", "Ti"))
        if unit.endswith("i")
        else (1000, int(number), ("M", "G", "T"))
    )
    place = units.index(unit)
    while place < len(units) - 1 and amount % step == 0:
        place, amount = place + 1, amount // step
    return f"{amount}{units[place]}"


def _probe(path: str, *, period: int, failures: int, timeout: int) -> Manifest:
    """Every field is there: what the API server fills in looks like a change to the operator."""
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "initialDelaySeconds": 0,
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "successThreshold": 1,
        "failureThreshold": failures,
    }


def deployment_manifest(model: str, namespace: str, predictors: list[Manifest]) -> Manifest:
    """The SeldonDeployment of `model` with exactly these predictors."""
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": model, "namespace": namespace, "labels": MANAGED},
        "spec": {"name": model, "protocol": "v2", "predictors": predictors},
    }


def live_service(model: str, namespace: str, number: int) -> Manifest:
    """The stable address, answered by the predictor of version `number`."""
    ports = {"http": HTTP, "grpc": GRPC}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": live_name(model),
            "namespace": namespace,
            # Not the operator's label: it removes every Service with that one which it did not make.
            "labels": {**MANAGED, "slipway.io/model": model},
        },
        "spec": {
            "type": "ClusterIP",
            "selector": {PREDICTOR_LABEL: service_name(model, number)},
            "ports": [
                {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
                for name, port in ports.items()
            ],
        },
    }


def predictors_of(deployment: Manifest | None) -> list[Manifest]:
    """The predictors as they stand in the cluster, to be applied again as they are."""
    return [] if deployment is None else list(deployment["spec"].get("predictors") or [])


def number_of(predictor: Manifest) -> int | None:
    """The version of a predictor, or None if it is not one of ours."""
    found = NUMBERED.match(str(predictor.get("name")))
    return int(found[1]) if found else None


def find_predictor(deployment: Manifest | None, number: int) -> Manifest | None:
    return next((each for each in predictors_of(deployment) if number_of(each) == number), None)


def selected_number(service: Manifest | None, model: str) -> int | None:
    """The version that the stable Service selects, or None."""
    if service is None:
        return None
    selected = str((service["spec"].get("selector") or {}).get(PREDICTOR_LABEL, ""))
    if not selected.startswith(f"{model}-"):
        return None
    return number_of({"name": selected.removeprefix(f"{model}-")})


def read_predictor(model: str, predictor: Manifest) -> Predictor | None:
    """The inverse of `predictor_manifest`; None if it is not one of ours."""
    number, container = number_of(predictor), server_of(model, predictor)
    if number is None or container is None:
        return None
    digest = environment_of(container).get("SLIPWAY_MODEL_DIGEST", "")
    return Predictor(number, digest, str(predictor["graph"].get("modelUri", "")))


def server_of(model: str, predictor: Manifest) -> Manifest | None:
    """The model server's container in a predictor's manifest."""
    specs = predictor.get("componentSpecs") or []
    containers = [each for spec in specs for each in (spec.get("spec") or {}).get("containers") or []]
    return next((each for each in containers if each.get("name") == model), None)


def environment_of(container: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: str(each.get("value", "")) for each in container.get("env") or []}


def with_candidate(deployment: Manifest | None, candidate: Manifest, live: int | None) -> list[Manifest]:
    """`candidate`, without traffic, beside the predictor that is live, which is as it stands in the cluster.

    One of the candidate's name is kept if it already is what `candidate` asks for. Others are what killed
    releases left: they would take the room that the candidate needs.
    """
    predictors = predictors_of(deployment)
    kept = [each for each in predictors if live is not None and number_of(each) == live]
    standing = next((each for each in predictors if each["name"] == candidate["name"]), None)
    chosen = standing if standing is not None and holds(standing, candidate, but_for="traffic") else candidate
    others = [each for each in kept if each["name"] != candidate["name"]]
    return with_traffic([*others, chosen], live)


def with_traffic(predictors: list[Manifest], number: int | None) -> list[Manifest]:
    """All traffic to version `number`; to the first predictor if it is not there: the sum must be 100."""
    numbers = [number_of(each) for each in predictors]
    chosen = numbers.index(number) if number is not None and number in numbers else 0
    return [{**each, "traffic": 100 if place == chosen else 0} for place, each in enumerate(predictors)]
