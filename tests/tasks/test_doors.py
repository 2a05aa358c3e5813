"""Ways in from outside the cluster: what the lock may say of them, what must be there, what they are called."""

from typing import Any

import pytest

from tasks.components import Site, address
from tasks.door_checks import check_api, check_certificate, check_class, check_doors, wanted
from tasks.doors import told
from tasks.drift import plural
from tasks.errors import PlatformError
from tasks.kubernetes import CRD, GATEWAY_CLASS, INGRESS_CLASS, SECRET, Kind
from tasks.markers import filled, known_of
from tasks.platform import addresses, platform_settings
from tasks.platform_lock import PlatformLock, Refused
from tests.tasks.test_platform_lock import content, parsed

PAGE = {"host": "mlflow.example.com", "ingress_class": "nginx", "let_in": ["ingress-nginx"]}
NOTEBOOKS = [*content()["components"], {"name": "notebooks"}]


def lock(**reach: Any) -> PlatformLock:
    return parsed(reach=reach, components=NOTEBOOKS)


@pytest.mark.parametrize(
    ("reach", "key", "words"),
    [
        ({"mlflow": {**PAGE, "gateway_class": "envoy"}}, "mlflow.gateway_class", "take one of them out"),
        ({"mlflow": {"ingress_class": "nginx"}}, "mlflow.ingress_class", "asks for a `host`"),
        ({"prefect": {"gateway_class": "envoy"}}, "prefect.gateway_class", "asks for a `host`"),
        ({"prefect": {"let_in": "ingress-nginx"}}, "prefect.let_in", "asks for a `host`"),
        ({"prefect": {"tls": "t"}}, "prefect.tls", "certificate of a host"),
        ({"models": {"tls": "t"}}, "models.tls", "certificate of a host"),
        ({"mlflow": {**PAGE, "tls": "t", "tls_elsewhere": True}}, "mlflow.tls_elsewhere", "`tls` names one"),
        ({"mlflow": {"host": "a.b"}}, "mlflow.let_in", "is missing: the network lets nothing in"),
        ({"mlflow": {**PAGE, "host": "*.b"}}, "mlflow.host", "is many names"),
        (
            {"mlflow": {**PAGE, "ingress_class": None, "annotations": {"a": "b"}}},
            "mlflow.annotations",
            "without a class",
        ),
        ({"mlflow": PAGE, "prefect": PAGE}, "mlflow.host", "is the host of prefect already"),
        (
            {"mlflow": PAGE, "models": {"host": "mlflow.example.com"}},
            "models.host",
            "is the host of mlflow already",
        ),
        ({"models": {"ingress_class": "nginx"}}, "models.ingress_class", "name a `gateway_class`"),
        ({"mlflow": {**PAGE, "let_in": ["10.0.0.1/24"]}}, "mlflow.let_in.0", "has host bits set"),
        ({"mlflow": {**PAGE, "let_in": ["Nginx"]}}, "mlflow.let_in.0", "pattern"),
        ({"mlflow": {**PAGE, "let_in": ["10.0.0.1"]}}, "mlflow.let_in.0", "10.0.0.1 is no namespace"),
        ({"mlflow": {**PAGE, "let_in": ["nginx", "fd00::1"]}}, "mlflow.let_in.1", "such as 10.0.0.1/32"),
        ({"mlflow": {**PAGE, "let_in": ["a" * 64]}}, "mlflow.let_in.0", "is no namespace"),
        (
            {"mlflow": {**PAGE, "klass": "x"}},
            "mlflow.klass",
            "Allowed here: annotations, gateway_class, host",
        ),
    ],
)
def test_what_leads_nowhere_is_refused(reach: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        lock(**reach)
    assert refused.value.obj == f"platform.yaml: reach.{key}"
    assert words in str(refused.value)


def test_the_hub_has_a_door_where_there_is_a_hub() -> None:
    assert lock(hub=PAGE).reach.hub.url == "http://mlflow.example.com"
    with pytest.raises(Refused, match=r"reach\.hub\.host: leads to notebooks, which are not enabled"):
        parsed(reach={"hub": PAGE})


def test_without_a_host_nothing_is_told_nor_asked_of_the_cluster() -> None:
    assert told(lock().reach) == {}
    check_doors(Has(), lock(), "none")  # type: ignore[arg-type]


def test_charts_are_told_of_pages_and_who_is_let_in_by_kind() -> None:
    let_in = ["ingress-nginx", "10.0.0.0/24", "fd00::/64", "::/0"]
    (page,) = told(lock(mlflow={**PAGE, "tls": "cert", "let_in": let_in}).reach).values()
    assert page["url"] == "https://mlflow.example.com"
    assert page["namespaces"] == ["ingress-nginx"]
    assert page["addresses"] == ["10.0.0.0/24", "fd00::/64", "::/0"]
    assert told(lock(mlflow={**PAGE, "let_in": "one"}).reach)["mlflow"]["namespaces"] == ["one"]


@pytest.mark.parametrize(
    ("door", "url"),
    [
        ({}, "http://mlflow.example.com"),
        ({"tls": "cert"}, "https://mlflow.example.com"),
        ({"tls_elsewhere": True}, "https://mlflow.example.com"),
    ],
)
def test_an_address_is_https_where_there_is_a_certificate(door: dict[str, Any], url: str) -> None:
    assert lock(mlflow={**PAGE, **door}).reach.mlflow.url == url


MODELS = {"host": "models.example.com", "tls": "cert", "gateway_class": "envoy"}


def test_commands_are_told_where_pages_are_and_models_where_a_gateway_is_made() -> None:
    found = lock(mlflow={**PAGE, "tls": "cert"}, models=MODELS)
    assert addresses(found, "none") == {"mlflow": "https://mlflow.example.com"}
    assert addresses(found, "gateway-api")["models"] == "https://models.example.com"
    assert addresses(lock(models={**MODELS, "host": "*.example.com"}), "gateway-api") == {}
    told = platform_settings(found.model_copy(update={"images": IMAGES}), "gateway-api")
    assert (told["mlflow_page"], told["models_page"]) == (
        "https://mlflow.example.com", "https://models.example.com",
    )  # fmt: skip
    assert told["notebooks_namespace"] == "slipway-notebooks"
    assert "hub_page" not in told


IMAGES = {name: parsed().images["flow"] for name in ("model-server", "storage-initializer")}


def test_the_row_of_a_component_has_the_address_that_a_person_opens() -> None:
    components = [{"name": "mlflow", "address": "http://mlflow.slipway.svc:5000"}, {"name": "routes"}]
    found = parsed(reach={"mlflow": PAGE, "models": MODELS}, components=components)
    site = Site(None, found, {}, {}, {}, None, "gateway-api", False)  # type: ignore[arg-type]
    mlflow, routes = (address(site, each) for each in found.components)
    assert mlflow == "http://mlflow.example.com"
    assert routes == "https://models.example.com/seldon/slipway-serving/"
    inside = Site(None, parsed(components=components), {}, {}, {}, None, "none", False)  # type: ignore[arg-type]
    assert address(inside, found.components[0]) == "http://mlflow.slipway.svc:5000"


def test_google_sends_people_back_to_the_host_of_the_hub() -> None:
    known = known_of(lock(hub={**PAGE, "host": "hub.example.com", "tls": "cert"}))
    assert known["page:hub"] == "https://hub.example.com/"
    assert filled("@callback:hub", known, "google.yaml") == "https://hub.example.com/hub/oauth_callback"
    assert known_of(lock())["page:hub"] == ""
    with pytest.raises(PlatformError, match=r"google\.yaml: has the marker @callback:hub.*reach\.hub\.host"):
        filled("@callback:hub", known_of(lock()), "google.yaml")


class Has:
    """A cluster with these objects and nothing else."""

    def __init__(self, **there: Any) -> None:
        self.there = there
        self.asked: list[str] = []

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Any:
        self.asked.append(f"{kind.name} {namespace or ''}/{name}")
        return self.there.get(kind.name)

    def list(self, kind: Kind) -> Any:
        return self.there.get(kind.name, [])


CERTIFICATE = {"type": "kubernetes.io/tls"}
API = {"spec": {"versions": [{"name": "v1", "served": True}, {"name": "v1beta1", "served": True}]}}
OLD = {"spec": {"versions": [{"name": "v1", "served": False}, {"name": "v1beta1", "served": True}]}}
NGINX = {"metadata": {"name": "nginx"}}


def test_what_a_door_asks_for_is_looked_for_where_its_objects_will_be() -> None:
    has = Has(Secret=CERTIFICATE, IngressClass=[NGINX], GatewayClass=[{"metadata": {"name": "envoy"}}])
    has.there[CRD.name] = API
    hub = {**PAGE, "host": "hub.example.com", "tls": "hub-cert"}
    check_doors(has, lock(hub=hub, mlflow={**PAGE, "tls": "cert"}, models=MODELS), "gateway-api")  # type: ignore[arg-type]
    assert [each for each in has.asked if each.startswith(SECRET.name)] == [
        "Secret slipway-notebooks/hub-cert", "Secret slipway/cert", "Secret slipway-serving/cert",
    ]  # fmt: skip


def test_the_certificate_of_istios_gateway_lies_elsewhere() -> None:
    assert "models" in wanted(lock(models=MODELS), "none")
    assert "models" not in wanted(lock(models=MODELS), "istio")


def test_a_host_whose_way_is_the_users_own_asks_for_nothing() -> None:
    own = {**PAGE, "ingress_class": None, "tls": "theirs"}
    has = Has()
    check_doors(has, lock(mlflow=own), "none")  # type: ignore[arg-type]
    assert has.asked == []


@pytest.mark.parametrize(("there", "seen"), [(None, "is not there"), ({"type": "Opaque"}, "of type Opaque")])
def test_a_certificate_that_is_none_is_named_with_how_to_make_one(there: Any, seen: str) -> None:
    with pytest.raises(PlatformError) as caught:
        check_certificate("reach.hub", "cert", "slipway-notebooks", there)
    assert seen in str(caught.value)
    assert "kubectl -n slipway-notebooks create secret tls cert" in str(caught.value)
    check_certificate("reach.hub", "cert", "slipway-notebooks", CERTIFICATE)


@pytest.mark.parametrize(("there", "seen"), [([], "there is none"), ([NGINX], "there are nginx")])
def test_a_class_that_is_not_there_is_named_with_those_that_are(there: Any, seen: str) -> None:
    with pytest.raises(PlatformError, match=rf"IngressClass traefik: is not there \({seen}\)"):
        check_class("reach.mlflow", INGRESS_CLASS, "traefik", there)
    with pytest.raises(PlatformError, match=r"and reach\.mlflow\.gateway_class names it"):
        check_class("reach.mlflow", GATEWAY_CLASS, "traefik", there)


@pytest.mark.parametrize(("there", "seen"), [(None, "there are no HTTPRoutes"), (OLD, "it has v1beta1")])
def test_the_gateway_api_must_be_there_at_the_version_that_is_written(there: Any, seen: str) -> None:
    with pytest.raises(PlatformError, match=rf"Gateway API v1: is not in the cluster \({seen}\)"):
        check_api("reach.mlflow.gateway_class", "envoy", there)
    check_api("reach.mlflow.gateway_class", "envoy", API)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Ingress", "ingresses"), ("Gateway", "gateways"), ("HTTPRoute", "httproutes"),
        ("NetworkPolicy", "networkpolicies"),
    ],
)  # fmt: skip
def test_kinds_of_doors_are_asked_for_by_their_path(kind: str, path: str) -> None:
    assert plural(kind) == path
