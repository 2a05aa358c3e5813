"""How models are reached from outside: what is written where a cluster has Istio's or the Gateway API's kinds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.platform_lock import LOCK
from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl
from tests.cluster.releasing import SERVING, Releaser, releaser
from tests.cluster.routes import installed, make_gateway_class

pytestmark = pytest.mark.timeout(900)
NO_IMAGE = "docker.io/slipway/model-server@sha256:" + "0" * 64
GATEWAY = {"istio": "gateways.networking.istio.io", "gateway-api": "gateways.gateway.networking.k8s.io"}


@pytest.fixture(scope="module")
def pod(platform_up: Outside) -> Iterator[Releaser]:
    with releaser(platform_up) as made:
        yield made


def get(cli: Outside, kind: str, *names: str) -> list[dict[str, Any]]:
    found = json.loads(kubectl(cli, "get", kind, "--namespace", SERVING, "--output", "json", *names))
    items: list[dict[str, Any]] = found.get("items", [found])
    return items


def bootstrap(cli: Outside, charts: tuple[str, ...], *arguments: str) -> dict[str, Any]:
    done = cli.slipway("bootstrap", "--json", *charts, *arguments, timeout=1500)
    assert done.returncode == 0, done.stderr + done.stdout
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture
def with_a_class(tmp_path: Path) -> str:
    """The lock, with a class for the Gateway of the models."""
    lock = yaml.safe_load(LOCK.read_text())
    lock["reach"] = {"models": {"host": "models.example.com", "gateway_class": "test"}}
    file = tmp_path / "platform.yaml"
    file.write_text(yaml.safe_dump(lock, sort_keys=False))
    return str(file)


def weights(cli: Outside, model: str) -> list[dict[str, int]]:
    (route,) = get(cli, "httproutes", model)
    return [
        {each["name"].removeprefix(f"{model}-"): each["weight"] for each in rule["backendRefs"]}
        for rule in route["spec"]["rules"]
    ]


@pytest.mark.slow
def test_with_the_gateway_api_each_model_has_a_route_with_weights(
    platform_up: Outside, pod: Releaser, given_charts: tuple[str, ...], with_a_class: str
) -> None:
    with installed(platform_up, "gateway-api"):
        make_gateway_class(platform_up, "test")
        assert "routes" in bootstrap(platform_up, given_charts, "--lock", with_a_class)["changed"]
        assert bootstrap(platform_up, given_charts, "--lock", with_a_class)["changed"] == []
        (gateway,) = get(platform_up, GATEWAY["gateway-api"])
        assert gateway["metadata"]["name"] == "seldon-gateway"
        assert gateway["spec"]["gatewayClassName"] == "test"
        assert gateway["spec"]["listeners"][0]["hostname"] == "models.example.com"
        (settings,) = get(platform_up, "configmaps", "--field-selector=metadata.name=slipway-settings")
        assert settings["data"]["SLIPWAY_ROUTES"] == "gateway-api"

        model = pod.model("routed", versions=2)
        for number in (1, 2):
            released = model.release(number, SLIPWAY_ROUTES="gateway-api")
            assert released.get("outcome") == "released", released
            assert weights(platform_up, model.name) == [{f"v{number}": 100}] * 2
        failed = model.release(1, SLIPWAY_ROUTES="gateway-api", SLIPWAY_MODEL_SERVER_IMAGE=NO_IMAGE)
        assert "error" in failed
        assert weights(platform_up, model.name) == [{"v2": 100}] * 2

        kubectl(platform_up, "delete", "seldondeployment", model.name, "--namespace", SERVING)
        gone = ("--for=delete", f"httproute/{model.name}", "--namespace", SERVING, "--timeout=60s")
        kubectl(platform_up, "wait", *gone)  # it belongs to the SeldonDeployment
    assert "base" in bootstrap(platform_up, given_charts)["changed"], "what led to models has gone"
    assert bootstrap(platform_up, given_charts)["changed"] == []


@pytest.mark.charts
def test_with_istio_the_operator_routes_through_our_gateway(
    charts: Path, platform_up: Outside, pod: Releaser, given_charts: tuple[str, ...]
) -> None:
    rows = {row["component"]: row for row in bootstrap(platform_up, given_charts)["components"]}
    if rows["seldon-core"]["did"] == "yours":
        pytest.skip("the cluster brings its own operator: its routes are not ours to ask for")
    with installed(platform_up, "istio"):
        assert {"routes", "seldon-core"} <= set(bootstrap(platform_up, given_charts)["changed"])
        assert bootstrap(platform_up, given_charts)["changed"] == []
        (gateway,) = get(platform_up, GATEWAY["istio"])
        assert gateway["spec"]["servers"][0]["hosts"] == ["*"]

        model = pod.model("meshed", versions=2)
        for number in (1, 2):
            released = model.release(number, SLIPWAY_ROUTES="istio")
            assert released.get("outcome") == "released", released
        (service,) = get(platform_up, "virtualservices", model.name)
        assert service["spec"]["gateways"] == [f"{SERVING}/seldon-gateway"]
        prefix = service["spec"]["http"][0]["match"][0]["uri"]["prefix"]
        assert prefix == f"/seldon/{SERVING}/{model.name}/"
        for rule in service["spec"]["http"]:
            assert [each["destination"]["host"] for each in rule["route"] if each.get("weight")] == [
                f"{model.name}-v2.{SERVING}.svc.cluster.local"
            ]
        assert model.live()["disagreements"] == []

        kubectl(platform_up, "delete", GATEWAY["istio"], "seldon-gateway", "--namespace", SERVING)
        (finding,) = model.live()["disagreements"]
        assert "Gateway" in finding
        assert "does not exist" in finding
    bootstrap(platform_up, given_charts)
    assert bootstrap(platform_up, given_charts)["changed"] == []
