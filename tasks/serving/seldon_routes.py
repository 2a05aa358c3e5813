"""How models are reached from outside the cluster, where it has a means for that.

With Istio the operator routes to them, through the Gateway that it was told. With the Gateway API the routes are
ours: one HTTPRoute a model, with the weights of its predictors. Paths and headers are the same in both.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from tasks.errors import PlatformError
from tasks.kubernetes import (
    CRD,
    GATEWAY,
    GATEWAY_OF_THE_API,
    HTTP_ROUTE,
    VIRTUAL_SERVICE,
    Cluster,
    Kind,
    Manifest,
)
from tasks.serving.seldon_manifest import GRPC, HTTP, MANAGED, predictors_of, says

if TYPE_CHECKING:
    from tasks.doors import ModelsDoor
    from tasks.platform_lock import PlatformLock

Routes = Literal["istio", "gateway-api", "none"]
NAME = "seldon-gateway"
"""Of the Gateway that models are reached through; it is in their namespace."""
INSIDE_THE_MESH = "mesh"
"""Istio's word for every sidecar; it is no Gateway."""
GRPC_SERVICE = "/inference.GRPCInferenceService"


def find_routes(cluster: Cluster) -> Routes:
    """What the cluster has. Where it has both, Istio: its routes come without any of ours."""
    if cluster.get(CRD, "virtualservices.networking.istio.io") is not None:
        return "istio"
    if cluster.get(CRD, "httproutes.gateway.networking.k8s.io") is not None:
        return "gateway-api"
    return "none"


def gateway_made(lock: "PlatformLock", routes: Routes) -> Kind | None:
    """Pure: the kind of Gateway that bootstrap makes for the models; None if it makes none."""
    if routes == "istio":
        return GATEWAY if lock.installs("seldon-core") else None
    return GATEWAY_OF_THE_API if routes == "gateway-api" and lock.reach.models.gateway_class else None


def check_gateway(lock: "PlatformLock", there: Manifest | None) -> None:
    """Pure: raise PlatformError if somebody else made a Gateway of the name."""
    if there is not None and not is_ours(there):
        raise PlatformError(
            f"Gateway {NAME} in {lock.namespaces.serving}",
            "is there already, and not made by bootstrap",
            "Delete it: bootstrap makes it anew from `reach.models` in infra/platform.yaml.",
        )


def is_ours(there: Manifest) -> bool:
    return MANAGED.items() <= dict(there["metadata"].get("labels") or {}).items()


def ensure_gateway(cluster: Cluster, lock: "PlatformLock", routes: Routes) -> bool:
    """Make the Gateway what the lock says, or remove one that it no longer asks for; False if all was so."""
    space, made = lock.namespaces.serving, gateway_made(lock, routes)
    wrong = False
    for kind in (GATEWAY, GATEWAY_OF_THE_API):
        there = cluster.get(kind, NAME, space)
        if kind == made:
            wanted = gateway(lock, kind)
            if there is None or not says(there["spec"], wanted["spec"]):
                cluster.apply(wanted)
                wrong = True
        elif there is not None and is_ours(there):
            wrong = cluster.delete(kind, NAME, space) or wrong
    return wrong


def gateway(lock: "PlatformLock", kind: Kind) -> Manifest:
    """Pure: the Gateway of the models, Istio's or the Gateway API's."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"name": NAME, "namespace": lock.namespaces.serving, "labels": MANAGED},
        "spec": of_istio(lock.reach.models) if kind == GATEWAY else of_the_api(lock.reach.models),
    }


def of_istio(door: "ModelsDoor") -> Manifest:
    server: Manifest = {
        "hosts": [door.host or "*"],
        "port": {"number": 80, "name": "http", "protocol": "HTTP"},
    }
    if door.tls:
        server["port"] = {"number": 443, "name": "https", "protocol": "HTTPS"}
        server["tls"] = {"mode": "SIMPLE", "credentialName": door.tls}
    return {"selector": door.istio, "servers": [server]}


def of_the_api(door: "ModelsDoor") -> Manifest:
    listener: Manifest = {
        "name": "models",
        "port": 443 if door.tls else 80,
        "protocol": "HTTPS" if door.tls else "HTTP",
        "allowedRoutes": {"namespaces": {"from": "Same"}},
    }
    if door.host:
        listener["hostname"] = door.host
    if door.tls:
        listener["tls"] = {"mode": "Terminate", "certificateRefs": [{"name": door.tls}]}
    return {"gatewayClassName": door.gateway_class, "listeners": [listener]}


def ensure_route(cluster: Cluster, deployment: Manifest) -> bool:
    """Make the model's HTTPRoute say what its SeldonDeployment does; False if it did."""
    wanted = http_route(deployment)
    there = cluster.get(HTTP_ROUTE, wanted["metadata"]["name"])
    if there is not None and leads(there, wanted):
        return False
    cluster.apply(wanted)
    return True


def http_route(deployment: Manifest) -> Manifest:
    """Pure: the route to a model, as a SeldonDeployment in the cluster says. It goes with that."""
    model, space = str(deployment["metadata"]["name"]), str(deployment["metadata"]["namespace"])
    headers = [
        {"type": "Exact", "name": "seldon", "value": model},
        {"type": "Exact", "name": "namespace", "value": space},
    ]
    owner = {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "name": model,
        "uid": deployment["metadata"]["uid"],
    }
    to_root = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
    return {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.name,
        "metadata": {"name": model, "namespace": space, "labels": MANAGED, "ownerReferences": [owner]},
        "spec": {
            "parentRefs": [{"name": NAME}],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": f"/seldon/{space}/{model}"}}],
                    "filters": [{"type": "URLRewrite", "urlRewrite": to_root}],
                    "backendRefs": backends(model, predictors_of(deployment), HTTP),
                },
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": GRPC_SERVICE}, "headers": headers}],
                    "backendRefs": backends(model, predictors_of(deployment), GRPC),
                },
            ],
        },
    }


def backends(model: str, predictors: list[Manifest], port: int) -> list[Manifest]:
    """Pure: the operator's Service of each predictor, with its weight."""
    return [
        {"name": f"{model}-{each['name']}", "port": port, "weight": each.get("traffic") or 0}
        for each in predictors
    ]


def leads(there: Manifest, wanted: Manifest) -> bool:
    """Pure: whether a route in the cluster, where every field has its default, leads where `wanted` does."""
    return says(there["spec"], wanted["spec"]) and weights(there) == weights(wanted)


def weights(route: Manifest) -> list[dict[str, int]]:
    """Pure: by rule, the weight of each Service; also of one that `wanted` no longer has."""
    rules = route["spec"].get("rules") or []
    return [{each["name"]: each["weight"] for each in rule.get("backendRefs") or []} for rule in rules]


def route_findings(cluster: Cluster, deployment: Manifest | None, routes: Routes) -> list[str]:
    """What is wrong with the routes to a model: nothing where there is neither Istio nor the Gateway API."""
    if deployment is None:
        return []
    try:
        if routes == "gateway-api":
            return _of_the_api(cluster, deployment)
        return missing_gateways(cluster, str(deployment["metadata"]["name"]))
    except PlatformError as error:
        return [f"the routes from outside could not be checked ({error})"]


def _of_the_api(cluster: Cluster, deployment: Manifest) -> list[str]:
    wanted, space = http_route(deployment), cluster.namespace
    model, found = wanted["metadata"]["name"], []
    there = cluster.get(HTTP_ROUTE, model)
    if there is None or not leads(there, wanted):
        wrong = "is not there" if there is None else "says something else than the SeldonDeployment"
        found.append(f"HTTPRoute {model} {wrong}: run `slipway release {model}`")
    if cluster.get(GATEWAY_OF_THE_API, NAME) is None:
        found.append(
            f"the route to {model} refers to Gateway {space}/{NAME}, which does not exist: create it, or set "
            "reach.models.gateway_class in infra/platform.yaml and run `slipway bootstrap`"
        )
    return found


def missing_gateways(cluster: Cluster, model: str) -> list[str]:
    """Gateways that the operator's routes to `model` refer to, and that are not there."""
    route = cluster.get(VIRTUAL_SERVICE, model)  # the operator names it after the SeldonDeployment
    named = gateways_of(route, cluster.namespace)
    there = {name for name in named if cluster.get(GATEWAY, name[1], namespace=name[0]) is not None}
    return [missing(model, name) for name in sorted(named - there)]


def gateways_of(route: Mapping[str, Any] | None, namespace: str) -> set[tuple[str, str]]:
    """Pure: (namespace, name) of every Gateway that the route refers to."""
    written = [] if route is None else route["spec"].get("gateways") or []
    split = [str(each).rpartition("/") for each in written if each != INSIDE_THE_MESH]
    return {(place or namespace, name) for place, _, name in split}


def missing(model: str, gateway: tuple[str, str]) -> str:
    return (
        f"the routes to {model} refer to Gateway {gateway[0]}/{gateway[1]}, which does not exist: create it, or "
        "set the operator's istio.gateway to one that does"
    )
