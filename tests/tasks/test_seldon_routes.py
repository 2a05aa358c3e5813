"""The routes to models, as the Gateway API has them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.doors import ModelsDoor
from tasks.errors import PlatformError
from tasks.kubernetes import CRD, GATEWAY, GATEWAY_OF_THE_API, HTTP_ROUTE, VIRTUAL_SERVICE, Kind
from tasks.platform_lock import PlatformLock, parse_lock
from tasks.serving import seldon_manifest as manifests
from tasks.serving.seldon import SeldonServing
from tasks.serving.seldon_routes import (
    NAME,
    Routes,
    check_gateway,
    ensure_gateway,
    find_routes,
    gateway_made,
    http_route,
    of_istio,
    of_the_api,
    route_findings,
)
from tests.tasks.test_platform_lock import content
from tests.tasks.test_seldon_serving import NEEDS, Asked, Memory, version

GATEWAY_API = {"HTTPRoute", "Gateway"}


class Routed(Memory):
    """A cluster in memory that has the Gateway API."""

    def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["kind"] != HTTP_ROUTE.name:
            applied = super().apply(manifest)
            applied["metadata"].setdefault("namespace", self.namespace)
            return applied
        rest = manifest["spec"]["rules"][0]["backendRefs"]
        self.written.append(f"route { ({each['name']: each['weight'] for each in rest}) }")
        self.stored["HTTPRoute", manifest["metadata"]["name"]] = manifest
        return manifest


@pytest.fixture
def memory() -> Routed:
    return Routed()


@pytest.fixture
def server(memory: Routed, monkeypatch: pytest.MonkeyPatch) -> SeldonServing:
    monkeypatch.setattr("tasks.serving.seldon.OPERATOR_SECONDS", 0.0)
    monkeypatch.setattr("tasks.serving.seldon.LOOK", 0.01)
    image = "model-server@sha256:aa"
    return Asked(memory, image, "slipway-serving", True, 0.05, routes="gateway-api")  # type: ignore[arg-type]


def release(server: SeldonServing, number: int) -> None:
    server.start_candidate("iris", version(number), NEEDS)
    server.move_traffic("iris", version(number))
    server.retire_candidates("iris")


def test_the_route_follows_the_weights_before_the_stable_address_does(
    server: SeldonServing, memory: Routed
) -> None:
    release(server, 1)
    release(server, 2)
    assert memory.written == [
        "weights {'v1': 100}",
        "route {'iris-v1': 100}",
        "selector iris-v1",
        "weights {'v1': 100, 'v2': 0}",
        "route {'iris-v1': 100, 'iris-v2': 0}",
        "weights {'v1': 0, 'v2': 100}",
        "route {'iris-v1': 0, 'iris-v2': 100}",
        "selector iris-v2",
        "weights {'v2': 100}",
        "route {'iris-v2': 100}",
    ]


def test_a_release_again_puts_a_lost_route_back_and_writes_nothing_else(
    server: SeldonServing, memory: Routed
) -> None:
    release(server, 1)
    del memory.stored["HTTPRoute", "iris"]
    memory.written.clear()
    release(server, 1)
    assert [each for each in memory.written if not each.startswith("selector")] == ["route {'iris-v1': 100}"]


def test_a_lost_route_and_a_missing_gateway_are_findings(server: SeldonServing, memory: Routed) -> None:
    release(server, 1)
    (gateway,) = server.findings("iris")
    assert "refers to Gateway serving/seldon-gateway, which does not exist" in gateway
    memory.stored["Gateway", NAME] = {"metadata": {}}
    assert server.findings("iris") == []
    memory.stored["HTTPRoute", "iris"]["spec"]["rules"][0]["backendRefs"][0]["weight"] = 1
    assert server.findings("iris") == [
        "HTTPRoute iris says something else than the SeldonDeployment: run `slipway release iris`"
    ]
    del memory.stored["HTTPRoute", "iris"]
    assert server.findings("iris") == ["HTTPRoute iris is not there: run `slipway release iris`"]


def test_rest_and_grpc_are_asked_for_as_through_istio() -> None:
    deployment = manifests.deployment_manifest(
        "iris", "serving", [{"name": "v7", "traffic": 100}, {"name": "v8", "traffic": 0}]
    )
    deployment["metadata"]["uid"] = "u"
    route = http_route(deployment)
    rest, grpc = route["spec"]["rules"]
    assert rest["matches"] == [{"path": {"type": "PathPrefix", "value": "/seldon/serving/iris"}}]
    assert rest["backendRefs"] == [
        {"name": "iris-v7", "port": 9000, "weight": 100},
        {"name": "iris-v8", "port": 9000, "weight": 0},
    ]
    named = {each["name"]: each["value"] for each in grpc["matches"][0]["headers"]}
    assert named == {"seldon": "iris", "namespace": "serving"}
    assert [each["port"] for each in grpc["backendRefs"]] == [9500, 9500]
    (owner,) = route["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("SeldonDeployment", "iris", "u")


class Kinds:
    """A cluster that has these custom resources and nothing else."""

    namespace = "serving"

    def __init__(self, *names: str) -> None:
        self.names = names

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Any:
        assert kind in (CRD, VIRTUAL_SERVICE, HTTP_ROUTE, GATEWAY, GATEWAY_OF_THE_API)
        return {} if name in self.names else None


ISTIO, API = "virtualservices.networking.istio.io", "httproutes.gateway.networking.k8s.io"


@pytest.mark.parametrize(
    ("has", "routes"),
    [((), "none"), ((API,), "gateway-api"), ((ISTIO,), "istio"), ((ISTIO, API), "istio")],
)
def test_istio_comes_before_the_gateway_api(has: tuple[str, ...], routes: str) -> None:
    assert find_routes(Kinds(*has)) == routes  # type: ignore[arg-type]


def test_where_nothing_leads_to_models_nothing_is_found() -> None:
    deployment = {"metadata": {"name": "iris", "namespace": "serving"}}
    assert route_findings(Kinds(), deployment, "none") == []  # type: ignore[arg-type]
    assert route_findings(Kinds(), None, "gateway-api") == []  # type: ignore[arg-type]


def lock(gateway_class: str | None = None, installed: bool = True) -> PlatformLock:
    seldon = {"name": "seldon-core", "installed": installed}
    whole = content(components=[seldon], reach={"models": {"gateway_class": gateway_class}})
    return parse_lock(yaml.safe_dump(whole), Path("platform.yaml"))


@pytest.mark.parametrize(
    ("found", "routes", "kind"),
    [
        (lock(), "none", None),
        (lock(), "istio", GATEWAY),
        (lock(installed=False), "istio", None),
        (lock(), "gateway-api", None),
        (lock("envoy"), "gateway-api", GATEWAY_OF_THE_API),
    ],
)
def test_a_gateway_is_made_where_its_class_is_known(
    found: PlatformLock, routes: Routes, kind: Kind | None
) -> None:
    assert gateway_made(found, routes) == kind


def test_a_gateway_of_somebody_else_is_named() -> None:
    check_gateway(lock(), None)
    check_gateway(lock(), {"metadata": {"labels": manifests.MANAGED}})
    with pytest.raises(PlatformError, match=r"Gateway seldon-gateway in slipway-serving: is there already"):
        check_gateway(lock(), {"metadata": {}})


class Gateways:
    """A cluster that holds Gateways of both kinds."""

    def __init__(self, **there: Any) -> None:
        self.there = there
        self.written: list[str] = []

    def get(self, kind: Kind, name: str, namespace: str) -> Any:
        return self.there.get(kind.group.split(".")[1])

    def apply(self, manifest: dict[str, Any]) -> None:
        group = manifest["apiVersion"].split("/")[0].split(".")[1]
        self.written.append(f"apply {group}")
        self.there[group] = manifest

    def delete(self, kind: Kind, name: str, namespace: str) -> bool:
        group = kind.group.split(".")[1]
        self.written.append(f"delete {group}")
        return self.there.pop(group, None) is not None


def test_the_gateway_is_made_once_follows_the_lock_and_goes_with_it() -> None:
    cluster = Gateways()
    assert ensure_gateway(cluster, lock("envoy"), "gateway-api")  # type: ignore[arg-type]
    assert not ensure_gateway(cluster, lock("envoy"), "gateway-api")  # type: ignore[arg-type]
    assert ensure_gateway(cluster, lock("nginx"), "gateway-api")  # type: ignore[arg-type]
    assert ensure_gateway(cluster, lock("nginx"), "istio")  # type: ignore[arg-type]
    assert ensure_gateway(cluster, lock("nginx"), "none")  # type: ignore[arg-type]
    made, removed = cluster.written[:3], cluster.written[3:]
    assert made == ["apply networking", "apply networking", "apply istio"]
    assert removed == ["delete networking", "delete istio"]


def test_a_gateway_of_the_users_own_stays() -> None:
    cluster = Gateways(istio={"metadata": {}}, networking={"metadata": {}})
    assert not ensure_gateway(cluster, lock(), "none")  # type: ignore[arg-type]
    assert cluster.written == []


def test_host_and_certificate_are_the_gateways() -> None:
    door = ModelsDoor(host="models.example.com", tls="models", gateway_class="envoy")
    (server,) = of_istio(door)["servers"]
    assert server["hosts"] == ["models.example.com"]
    assert (server["port"]["number"], server["tls"]["credentialName"]) == (443, "models")
    (listener,) = of_the_api(door)["listeners"]
    assert (listener["hostname"], listener["port"]) == ("models.example.com", 443)
    assert listener["tls"]["certificateRefs"] == [{"name": "models"}]
    assert of_istio(ModelsDoor())["servers"][0]["hosts"] == ["*"]
