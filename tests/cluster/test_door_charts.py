"""What the charts render to where pages have hosts; the objects are put into a cluster by test_doors.py."""

from typing import Any

import pytest

from tasks import helm
from tasks.doors import Reach
from tasks.settings import ROOT
from tests.cluster.test_charts import Manifest, lock, render, rendered

NAMES = ("hub", "mlflow", "prefect")
SPACES = {"hub": "slipway-notebooks", "mlflow": "slipway", "prefect": "slipway"}
SERVICES = {"hub": ("proxy-public", 80), "mlflow": ("mlflow", 5000), "prefect": ("prefect", 4200)}
LISTENS = {"hub": 8000, "mlflow": 5000, "prefect": 4200}


def rendered_with(chart: str, **door: Any) -> list[Manifest]:
    """The chart, where each page has this door."""
    pages = {name: {"host": f"{name}.example.com", "let_in": ["ingress-nginx"], **door} for name in NAMES}
    return render(chart, lock().model_copy(update={"reach": Reach.model_validate(pages, strict=False)}))


def doors(made: list[Manifest], kind: str) -> dict[str, Manifest]:
    named = [each for each in made if each["kind"] == kind and each["metadata"]["name"].endswith("-door")]
    return {each["metadata"]["name"].removesuffix("-door"): each for each in named}


def test_without_hosts_there_is_nothing_of_them() -> None:
    assert not any(doors(list(rendered("base")), kind) for kind in ("NetworkPolicy", "Ingress", "Gateway"))
    assert "_PAGE" not in str([rendered(chart) for chart in ("base", "notebooks")])


def test_an_ingress_leads_from_the_host_to_the_service() -> None:
    made = rendered_with("base", ingress_class="nginx", tls="cert", annotations={"example.com/size": "0"})
    assert not doors(made, "Gateway")
    for name, ingress in doors(made, "Ingress").items():
        service, port = SERVICES[name]
        assert ingress["metadata"]["namespace"] == SPACES[name]
        assert ingress["metadata"]["annotations"] == {"example.com/size": "0"}
        assert ingress["spec"]["ingressClassName"] == "nginx"
        assert ingress["spec"]["tls"] == [{"hosts": [f"{name}.example.com"], "secretName": "cert"}]
        (rule,) = ingress["spec"]["rules"]
        assert rule["host"] == f"{name}.example.com"
        (path,) = rule["http"]["paths"]
        assert path["backend"] == {"service": {"name": service, "port": {"number": port}}}
    assert set(doors(made, "Ingress")) == set(NAMES)


@pytest.mark.parametrize(
    ("tls", "listens"), [("cert", (443, "HTTPS")), (None, (80, "HTTP"))], ids=["https", "http"]
)
def test_a_gateway_listens_for_the_host_and_its_route_leads_to_the_service(
    tls: str | None, listens: tuple[int, str]
) -> None:
    made = rendered_with("base", gateway_class="envoy", tls=tls)
    assert not doors(made, "Ingress")
    gateways, routes = doors(made, "Gateway"), doors(made, "HTTPRoute")
    assert set(gateways) == set(routes) == set(NAMES)
    for name in NAMES:
        (listener,) = gateways[name]["spec"]["listeners"]
        assert (listener["port"], listener["protocol"]) == listens
        assert listener["hostname"] == f"{name}.example.com"
        assert ("tls" in listener) is bool(tls)
        assert (
            gateways[name]["metadata"]["namespace"] == routes[name]["metadata"]["namespace"] == SPACES[name]
        )
        assert routes[name]["spec"]["parentRefs"] == [{"name": f"{name}-door"}]
        (rule,) = routes[name]["spec"]["rules"]
        assert tuple(rule["backendRefs"][0].values()) == SERVICES[name]


def test_the_network_lets_in_who_is_named_and_only_to_the_page() -> None:
    policies = doors(rendered_with("base", let_in=["ingress-nginx", "10.0.0.0/24"]), "NetworkPolicy")
    assert set(policies) == set(NAMES)
    for name, policy in policies.items():
        assert policy["metadata"]["namespace"] == SPACES[name]
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        assert policy["spec"]["ingress"] == [
            {
                "from": [
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}},
                    {"ipBlock": {"cidr": "10.0.0.0/24"}},
                ],
                "ports": [{"port": LISTENS[name], "protocol": "TCP"}],
            }
        ]


def container(chart: str, kind: str, **door: Any) -> Manifest:
    (found,) = [each for each in rendered_with(chart, **door) if each["kind"] == kind]
    made: Manifest = found["spec"]["template"]["spec"]["containers"][0]
    return made


def test_mlflow_answers_to_the_host_and_believes_its_own_page_alone() -> None:
    command = container("mlflow", "Deployment", tls="cert")["command"]
    (hosts,) = [each for each in command if each.startswith("--allowed-hosts=")]
    assert hosts.endswith(",127.0.0.1:*,mlflow.example.com")
    assert "--cors-allowed-origins=https://mlflow.example.com" in command
    assert "cors" not in str(rendered("mlflow"))


def test_links_of_prefect_lead_to_the_host_and_its_page_asks_below_its_own_address() -> None:
    told = {
        each["name"]: each.get("value") for each in container("prefect", "StatefulSet", tls="cert")["env"]
    }
    assert told["PREFECT_UI_URL"] == "https://prefect.example.com"
    assert told["PREFECT_UI_API_URL"] == "/api"


def test_runs_and_the_trigger_know_what_a_person_opens() -> None:
    maps = [each["data"] for each in rendered_with("base", tls="cert") if each["kind"] == "ConfigMap"]
    for data in (each for each in maps if "SLIPWAY_PLATFORM" in each):
        assert data["SLIPWAY_MLFLOW_PAGE"] == "https://mlflow.example.com"
        assert data["SLIPWAY_PREFECT_PAGE"] == data["PREFECT_UI_URL"] == "https://prefect.example.com"
    models = helm.Wanted(
        "base", ROOT / "infra/charts/base", "slipway", lock().values("istio", "https://m.example.com")
    )
    found = [each["data"] for each in helm.render(models).objects if each["kind"] == "ConfigMap"]
    assert "https://m.example.com" in {data.get("SLIPWAY_MODELS_PAGE") for data in found}
    (trigger,) = [each for each in rendered_with("notebooks", tls="cert") if each["kind"] == "Deployment"]
    told = trigger["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "SLIPWAY_PREFECT_PAGE", "value": "https://prefect.example.com"} in told


def test_bootstrap_may_ask_the_hubs_proxy() -> None:
    (policy,) = [each for each in rendered("notebooks") if each["metadata"]["name"] == "proxy-verification"]
    assert policy["spec"]["ingress"][0]["ports"] == [{"port": 8000, "protocol": "TCP"}]
