"""The Deployments and Services of a SeldonDeployment, as the real operator would write them.

Without an executor there is nothing to serve a graph, so only predictors that say they need none
(`seldon.io/no-engine`), of protocol v2, are built; everything else is refused with `Unsupported`.
"""

from dataclasses import dataclass

from .defaults import container_of, defaulted, unit_of
from .names import Manifest, container_service, deployment_id, predictor_service
from .pods import bring_model, pod_deployment, serve

GROUP = "machinelearning.seldon.io"
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
    deployment = pod_deployment(resource, spec, predictor, index)
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    services = []
    metadata["labels"] |= MANAGED | _shadow_label(predictor)
    template["metadata"]["labels"] |= MANAGED | _shadow_label(predictor)
    for container in template["spec"]["containers"]:
        unit = unit_of(predictor, container["name"])
        if unit is None:
            continue  # a helper of the user's, without a service
        own = container_service(name, predictor, container["name"])
        entry = predictor_service(name, predictor)
        chosen = {f"seldon-app-svc-{container['name']}": own, "seldon-app": entry}
        deployment["spec"]["selector"]["matchLabels"] |= chosen
        marks = chosen | _type_label(unit)
        metadata["labels"] |= marks
        template["metadata"]["labels"] |= marks
        services.append(_service(resource, predictor, unit, own, f"seldon-app-svc-{container['name']}"))
        services.append(_service(resource, predictor, unit, entry, "seldon-app"))
        serve(resource, spec, predictor, unit, container)
        if unit.get("modelUri"):
            bring_model(template["spec"], unit, container)
    return deployment, services


def _type_label(unit: Manifest) -> dict[str, str]:
    kind = unit.get("type")
    return {f"seldon.io/{kind.lower().replace('_', '-')}": "true"} if kind and kind != "UNKNOWN_TYPE" else {}


def _shadow_label(predictor: Manifest) -> dict[str, str]:
    return {"seldon.io/shadow": "true"} if predictor.get("shadow") else {}


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
            "labels": labels | MANAGED | _type_label(unit) | _shadow_label(predictor),
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
