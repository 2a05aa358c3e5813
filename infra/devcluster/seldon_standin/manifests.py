"""The Deployments and Services of a SeldonDeployment, as the real operator would write them.

Without an executor there is nothing to serve a graph, so only predictors that say they need none
(`seldon.io/no-engine`), of protocol v2, are built; everything else is refused with `Unsupported`.
"""

from copy import deepcopy
from dataclasses import dataclass

from .defaults import container_of, defaulted, is_server, unit_of
from .environment import METRICS_PATH, MODEL_FOLDER, server_environment, unit_environment
from .names import LONGEST, Manifest, container_service, deployment_id, predictor_service, workload

GROUP = "machinelearning.seldon.io"
INITIALIZER_IMAGE = "docker.io/seldonio/rclone-storage-initializer:1.17.1"
DEFAULT_USER = 8888
MANAGED = {"app.kubernetes.io/managed-by": "seldon-core"}
STANDIN_LABEL = {"app.kubernetes.io/name": "seldon-standin"}
STANDIN = {
    "slipway.io/stand-in": "made by the stand-in operator of the development cluster, not by Seldon Core"
}
"""Both are on everything that the stand-in makes, so that nobody takes it for the real operator's work."""


class Unsupported(Exception):
    """The stand-in cannot serve this SeldonDeployment; the real operator might."""


@dataclass(frozen=True)
class Components:
    deployments: list[Manifest]
    services: list[Manifest]
    endpoints: dict[str, dict[str, str]]
    """What status.serviceStatus says of each service."""
    address: str


def components(resource: Manifest) -> Components:
    """Everything that a SeldonDeployment (as stored) asks for."""
    try:
        return _components(resource)
    except (KeyError, TypeError, AttributeError) as error:
        raise Unsupported(f"the stand-in operator cannot read this SeldonDeployment: {error!r}") from error


def _components(resource: Manifest) -> Components:
    spec = defaulted(resource["spec"])
    name = resource["metadata"]["name"]
    deployments: list[Manifest] = []
    services: list[Manifest] = []
    for predictor in spec["predictors"]:
        _refuse_what_needs_more(spec, predictor)
        for index in range(len(predictor["componentSpecs"])):
            deployment, own = _component(resource, spec, predictor, index)
            deployments.append(deployment)
            services += own
    for made in [*deployments, *services]:
        made["metadata"]["ownerReferences"] = [_owner(resource)]
        made["metadata"]["labels"] |= STANDIN_LABEL
        made["metadata"]["annotations"] |= STANDIN
    endpoints = {service["metadata"]["name"]: _endpoint(service) for service in services}
    first = spec["predictors"][0]
    host, port = endpoints[predictor_service(name, first)]["httpEndpoint"].split(":")
    return Components(
        deployments=deployments,
        services=services,
        endpoints=endpoints,
        address=f"http://{host}.svc.cluster.local:{port}/v2/models/{first['graph']['name']}/infer",
    )


def _refuse_what_needs_more(spec: Manifest, predictor: Manifest) -> None:
    annotations = predictor.get("annotations") or {}
    if annotations.get("seldon.io/no-engine", "").lower() != "true":
        raise Unsupported(
            f'predictor "{predictor["name"]}": this is the stand-in operator of the development cluster, which '
            'has no executor. Set seldon.io/no-engine: "true" in the annotations of the predictor (not of the '
            "SeldonDeployment), or use the real Seldon Core."
        )
    wanted = [key for key in ("explainer", "ssl") if predictor.get(key)]
    wanted += [
        key
        for component in predictor.get("componentSpecs") or []
        for key in ("hpaSpec", "kedaSpec", "pdbSpec")
        if component.get(key)
    ]
    if predictor["graph"]["implementation"] in {"TRITON_SERVER", "TENSORFLOW_SERVER"}:
        wanted.append(predictor["graph"]["implementation"])
    if spec.get("protocol") not in {"v2", "kfserving"}:
        wanted.append(f"protocol {spec.get('protocol') or 'seldon'}")
    if container_of(predictor, predictor["graph"]["name"]) is None:
        wanted.append(f"a graph without a container named {predictor['graph']['name']}")
    if wanted:
        raise Unsupported(
            f'predictor "{predictor["name"]}": the stand-in operator knows nothing of {", ".join(wanted)}; '
            "the real Seldon Core does."
        )


def _owner(resource: Manifest) -> Manifest:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "SeldonDeployment",
        "name": resource["metadata"]["name"],
        "uid": resource["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _component(
    resource: Manifest, spec: Manifest, predictor: Manifest, index: int
) -> tuple[Manifest, list[Manifest]]:
    """The Deployment of one component spec, and the services of the graph's units in it."""
    name = resource["metadata"]["name"]
    deployment = _workload(resource, spec, predictor, index)
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    services = []
    for container in template["spec"]["containers"]:
        unit = unit_of(predictor, container["name"])
        if unit is None:
            continue  # a helper of the user's, without a service
        own = container_service(name, predictor, container["name"])
        entry = predictor_service(name, predictor)
        chosen = {f"seldon-app-svc-{container['name']}": own, "seldon-app": entry}
        deployment["spec"]["selector"]["matchLabels"] |= chosen
        marks = chosen | MANAGED | _type_label(unit)
        metadata["labels"] |= marks
        template["metadata"]["labels"] |= marks
        services.append(_service(resource, predictor, unit, own, f"seldon-app-svc-{container['name']}"))
        services.append(_service(resource, predictor, unit, entry, "seldon-app"))
        _serve(resource, spec, predictor, unit, container)
        if unit.get("modelUri"):
            _bring_model(template["spec"], unit, container)
    return deployment, services


def _type_label(unit: Manifest) -> dict[str, str]:
    kind = unit.get("type")
    return {f"seldon.io/{kind.lower().replace('_', '-')}": "true"} if kind and kind != "UNKNOWN_TYPE" else {}


def _service(resource: Manifest, predictor: Manifest, unit: Manifest, name: str, selector: str) -> Manifest:
    deployment = resource["metadata"]["name"]
    labels = {"seldon-deployment-id": deployment_id(deployment), selector: name}
    labels["seldon-app"] = predictor_service(deployment, predictor)
    ports = {"http": unit["endpoint"]["httpPort"], "grpc": unit["endpoint"]["grpcPort"]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": resource["metadata"]["namespace"],
            "labels": labels | MANAGED | _type_label(unit),
            "annotations": dict(predictor.get("annotations") or {}),
        },
        "spec": {
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "selector": {selector: name},
            "ports": [
                {"name": key, "protocol": "TCP", "port": port, "targetPort": port}
                for key, port in ports.items()
            ],
        },
    }


def _endpoint(service: Manifest) -> dict[str, str]:
    name = service["metadata"]["name"]
    http, grpc = (port["port"] for port in service["spec"]["ports"])
    host = f"{name}.{service['metadata']['namespace']}"
    return {"svcName": name, "httpEndpoint": f"{host}:{http}", "grpcEndpoint": f"{host}:{grpc}"}


def _workload(resource: Manifest, spec: Manifest, predictor: Manifest, index: int) -> Manifest:
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


def _serve(
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


def _bring_model(pod: Manifest, unit: Manifest, container: Manifest) -> None:
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
