"""The Deployment of one component spec: its pod as the user wrote it, and what the operator adds to it."""

from copy import deepcopy

from .defaults import is_server
from .environment import METRICS_PATH, MODEL_FOLDER, server_environment, unit_environment
from .names import LONGEST, Manifest, deployment_id, workload

INITIALIZER_IMAGE = "seldonio/rclone-storage-initializer:1.17.1"
DEFAULT_USER = 8888


def pod_deployment(resource: Manifest, spec: Manifest, predictor: Manifest, index: int) -> Manifest:
    component = predictor["componentSpecs"][index]
    name = workload(resource["metadata"]["name"], predictor, index)
    pod = deepcopy(component["spec"])
    pod.setdefault("securityContext", {"runAsUser": DEFAULT_USER})
    pod.setdefault("restartPolicy", "Always")
    pod.setdefault("dnsPolicy", "ClusterFirst")
    pod.setdefault("schedulerName", "default-scheduler")
    pod.setdefault("terminationGracePeriodSeconds", 20)
    volumes = pod.setdefault("volumes", [])
    if all(volume["name"] != "seldon-podinfo" for volume in volumes):
        reference = {"apiVersion": "v1", "fieldPath": "metadata.annotations"}
        items = [{"path": "annotations", "fieldRef": reference}]
        volumes.append({"name": "seldon-podinfo", "downwardAPI": {"defaultMode": 420, "items": items}})
    identity = {"seldon-deployment-id": deployment_id(resource["metadata"]["name"])}
    own = component.get("metadata") or {}
    labels = identity | {"app": name, "fluentd": "true"}
    labels |= predictor["labels"] | (own.get("labels") or {})
    annotations = (
        (spec.get("annotations") or {})
        | (predictor.get("annotations") or {})
        | (own.get("annotations") or {})
    )
    scraped = {"prometheus.io/path": METRICS_PATH, "prometheus.io/scrape": "true"}
    wanted: Manifest = {
        "selector": {"matchLabels": dict(identity)},
        # the real operator means 10 % and sends the number 0
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
        "template": {"metadata": {"labels": labels, "annotations": scraped | annotations}, "spec": pod},
    }
    replicas = (each.get("replicas") for each in (component, predictor, spec))
    first = next((count for count in replicas if count is not None), None)
    if first is not None:
        wanted["replicas"] = first
    if predictor.get("progressDeadlineSeconds") is not None:
        wanted["progressDeadlineSeconds"] = predictor["progressDeadlineSeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": resource["metadata"]["namespace"],
            "labels": dict(labels),
            "annotations": annotations,
        },
        "spec": wanted,
    }


def serve(
    resource: Manifest, spec: Manifest, predictor: Manifest, unit: Manifest, container: Manifest
) -> None:
    """Environment, ports, probes and lifecycle of one unit's container."""
    endpoint = unit["endpoint"]
    grpc = spec.get("transport") == "grpc" or endpoint.get("type") == "GRPC"
    name = resource["metadata"]["name"]
    probed = endpoint["grpcPort" if grpc else "httpPort"]
    container["ports"] = list(container.get("ports") or [])
    for key in ("http", "grpc"):
        if all(port.get("name") != key for port in container["ports"]):
            port = {"name": key, "containerPort": endpoint[f"{key}Port"], "protocol": "TCP"}
            container["ports"].append(port)
    for probe, delay in (("livenessProbe", 60), ("readinessProbe", 20)):
        container.setdefault(probe, {"tcpSocket": {"port": probed}} | _patience(delay))
    container.setdefault("lifecycle", {"preStop": {"exec": {"command": ["/bin/sh", "-c", "/bin/sleep 10"]}}})
    container["env"] = unit_environment(name, predictor, unit, container, grpc)
    if is_server(unit):
        namespace = resource["metadata"]["namespace"]
        container["env"] = server_environment(namespace, unit, container["env"])
        container["livenessProbe"] = _http_probe(container["livenessProbe"], "/v2/health/live")
        container["readinessProbe"] = _http_probe(container["readinessProbe"], "/v2/health/ready")
        # whatever ports the user declared, these are the server's
        container["ports"] = [
            {"name": key, "containerPort": endpoint[f"{key}Port"], "protocol": "TCP"}
            for key in ("grpc", "http")
        ]


def _patience(delay: int) -> Manifest:
    return {
        "initialDelaySeconds": delay,
        "periodSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": 3,
        "timeoutSeconds": 1,
    }


def _http_probe(probe: Manifest, path: str) -> Manifest:
    """The user's patience, the operator's question."""
    kept = {key: value for key, value in probe.items() if key not in {"exec", "grpc", "httpGet", "tcpSocket"}}
    return kept | {"httpGet": {"path": path, "port": "http", "scheme": "HTTP"}}


def bring_model(pod: Manifest, unit: Manifest, container: Manifest) -> None:
    """The init container that copies the model; one of that name in componentSpecs is left as it is."""
    volume = f"{container['name']}-provision-location"[:LONGEST].removesuffix("-")
    initializer = f"{container['name']}-model-initializer"[:LONGEST].removesuffix("-")
    mounts = container.setdefault("volumeMounts", [])
    if all(mount["name"] != volume for mount in mounts):
        mounts.append({"name": volume, "mountPath": MODEL_FOLDER, "readOnly": True})
    present = pod.setdefault("initContainers", [])
    if unit.get("serviceAccountName"):
        pod["serviceAccountName"] = unit["serviceAccountName"]
    if any(each["name"] == initializer for each in present):
        return
    pod["volumes"].append({"name": volume, "emptyDir": {}})
    made: Manifest = {
        "name": initializer,
        "image": unit.get("storageInitializerImage") or INITIALIZER_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [unit["modelUri"], MODEL_FOLDER],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": volume, "mountPath": MODEL_FOLDER}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "100Mi"},
            "limits": {"cpu": "1", "memory": "1Gi"},
        },
    }
    if unit.get("envSecretRefName"):
        made["envFrom"] = [{"secretRef": {"name": unit["envSecretRefName"]}}]
    present.append(made)
