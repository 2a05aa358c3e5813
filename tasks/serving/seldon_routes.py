"""Where Istio is installed: the Gateway that a model's routes refer to."""

from collections.abc import Mapping
from typing import Any

from tasks.errors import PlatformError
from tasks.kubernetes import GATEWAY, VIRTUAL_SERVICE, Cluster

INSIDE_THE_MESH = "mesh"
"""Istio's word for every sidecar; it is no Gateway."""


def missing_gateways(cluster: Cluster, model: str) -> list[str]:
    """What is wrong with the routes that the operator wrote for `model`: nothing where there is no Istio."""
    try:
        route = cluster.get(VIRTUAL_SERVICE, model)  # the operator names it after the SeldonDeployment
        named = gateways_of(route, cluster.namespace)
        there = {name for name in named if cluster.get(GATEWAY, name[1], namespace=name[0]) is not None}
    except PlatformError as error:
        return [f"the routes through Istio could not be checked ({error})"]
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
