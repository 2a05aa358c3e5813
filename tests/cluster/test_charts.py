"""What the charts render to: every pod hardened, nothing secret, nothing let through that was not meant to be."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest

from tasks import helm
from tasks.markers import markers
from tasks.platform_lock import PlatformLock, load_lock
from tasks.pods import Part, priority_class
from tasks.pools import POOLS, template
from tasks.serving.seldon_manifest import SERVICE_ACCOUNT
from tasks.settings import ROOT
from tasks.verification import ROLE

Manifest = dict[str, Any]
DIGEST = f"sha256:{'0' * 64}"
CHARTS = tuple(component.name for component in load_lock().components if component.chart)
SECRET_NAMES = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|AUTH_STRING|STORE_URI|CONNECTION_URL|TOKEN")
NAMES_OF_SECRETS = re.compile(r"_SECRET_(NAME|KEY)$")
WITH_PASSWORD = re.compile(r"://[^/\s:@]+:[^/\s@]+@")


def lock(**sections: dict[str, Any]) -> PlatformLock:
    """The committed lock with a digest for every image, and with `sections` changed."""
    found = load_lock()
    images = {name: image.model_copy(update={"digest": DIGEST}) for name, image in found.images.items()}
    changed = {name: getattr(found, name).model_copy(update=update) for name, update in sections.items()}
    return found.model_copy(update={"images": images, **changed})


@lru_cache
def rendered(name: str) -> tuple[Manifest, ...]:
    return tuple(render(name, lock()))


def render(name: str, found: PlatformLock) -> list[Manifest]:
    component = found.component(name)
    assert component.chart
    wanted = helm.Wanted(name, ROOT / component.chart, found.namespace(component), found.values())
    return helm.render(wanted).objects


def of_kind(kind: str, *charts: str) -> list[Manifest]:
    return [each for chart in charts for each in rendered(chart) if each["kind"] == kind]


def pods(chart: str) -> Iterator[tuple[str, Manifest]]:
    """Every pod template of the chart, by the name of what makes it."""
    for each in rendered(chart):
        if "template" in each.get("spec", {}):
            yield each["metadata"]["name"], each["spec"]["template"]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


@pytest.mark.parametrize("chart", CHARTS)
def test_the_pods_of_a_chart_keep_to_the_standard_restricted(chart: str) -> None:
    for name, pod in pods(chart):
        assert_restricted(name, pod)


def assert_restricted(name: str, pod: Manifest) -> None:
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all({"emptyDir", "configMap", "secret"} & volume.keys() for volume in spec["volumes"])
    assert spec["enableServiceLinks"] is False
    for container in containers(pod):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert container["image"].endswith(f"@{DIGEST}")
        assert container["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize("chart", CHARTS)
def test_the_platform_gives_way_to_nobody(chart: str) -> None:
    for _, pod in pods(chart):
        assert pod["spec"]["priorityClassName"] == priority_class("slipway", "platform")


def test_a_model_comes_before_a_training_which_evicts_nobody() -> None:
    classes = {each["metadata"]["name"]: each for each in of_kind("PriorityClass", "base")}
    names: list[Part] = ["platform", "serving", "training"]
    platform, serving, training = (classes.pop(priority_class("slipway", part)) for part in names)
    assert not classes
    assert platform["value"] > serving["value"] > 0 > training["value"] > -10
    assert training["preemptionPolicy"] == "Never"
    assert "preemptionPolicy" not in serving
    assert not any(each.get("globalDefault") for each in (platform, serving, training))


def test_what_a_model_goes_on_with_outlives_the_release_and_nothing_else_does() -> None:
    """`helm uninstall` leaves what carries this annotation; teardown removes it with the models."""
    kept = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"])
        for chart in CHARTS
        for each in rendered(chart)
        if (each["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep"
    }
    space = lock().namespaces.serving
    assert kept == {
        ("ServiceAccount", space, SERVICE_ACCOUNT),
        ("PriorityClass", "", priority_class("slipway", "serving")),
        *(("NetworkPolicy", space, name) for name in ("default-deny", "dns", "models")),
    }


@pytest.mark.parametrize("chart", CHARTS)
def test_only_workers_hold_a_token_of_the_api(chart: str) -> None:
    for _, pod in pods(chart):
        assert pod["spec"]["automountServiceAccountToken"] is (chart == "workers")


@pytest.mark.parametrize("chart", CHARTS)
def test_nothing_in_a_chart_is_secret(chart: str) -> None:
    assert all(each["kind"] != "Secret" for each in rendered(chart))
    assert not WITH_PASSWORD.search(str(rendered(chart)))
    for _, pod in pods(chart):
        for container in containers(pod):
            for entry in container.get("env", []):
                if SECRET_NAMES.search(entry["name"]) and not NAMES_OF_SECRETS.search(entry["name"]):
                    assert "secretKeyRef" in entry["valueFrom"], entry["name"]


POLICIES = ("base", "notebooks")
"""Charts with network policies."""


@pytest.mark.parametrize("role", ["platform", "training", "serving", "notebooks", "executors"])
def test_each_namespace_denies_what_no_policy_allows(role: str) -> None:
    namespace = getattr(lock().namespaces, role)
    policies = [
        each for each in of_kind("NetworkPolicy", *POLICIES) if each["metadata"]["namespace"] == namespace
    ]
    (deny,) = [each["spec"] for each in policies if each["metadata"]["name"] == "default-deny"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    wide = [
        each["metadata"]["name"]
        for each in policies
        if not each["spec"]["podSelector"]
        and any(rule.get("ports") != DNS for rule in each["spec"].get("egress", []))
    ]
    assert wide == []


DNS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]


def named(policies: list[Manifest], label: str) -> set[str]:
    """Values of `label` that the policies go by."""
    found = re.findall(rf"'{re.escape(label)}': '([^']+)'", str(policies))
    for part in re.findall(
        rf"'key': '{re.escape(label)}', 'operator': 'In', 'values': \[([^\]]+)\]", str(policies)
    ):
        found += re.findall(r"'([^']+)'", part)
    return set(found)


def test_every_label_that_a_policy_goes_by_is_the_label_of_a_pod() -> None:
    policies = of_kind("NetworkPolicy", *POLICIES)
    ours = {pod["metadata"]["labels"]["app.kubernetes.io/name"] for chart in CHARTS for _, pod in pods(chart)}
    assert named(policies, "app.kubernetes.io/name") == ours
    known = markers({"flow": "", "flow-spark": ""}, lock().namespaces.model_dump())
    jobs = {
        template(pool, "kubernetes", known)["job_configuration"]["job_manifest"]["spec"]["template"][
            "metadata"
        ]["labels"]["slipway.io/role"]
        for pool in POOLS
    }
    assert named(policies, "slipway.io/role") == jobs | {ROLE["slipway.io/role"], "spark-notebook"}


def test_every_service_and_port_of_the_lock_is_one_that_a_policy_lets_in() -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind("Service", *CHARTS)}
    let_in = {
        (policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"], port["port"])
        for policy in of_kind("NetworkPolicy", *POLICIES)
        for rule in policy["spec"].get("ingress", [])
        for port in rule.get("ports", [])
        if "app.kubernetes.io/name" in policy["spec"]["podSelector"].get("matchLabels", {})
    }
    for component in lock().components:
        if not (component.address and component.chart):
            continue
        host, port = component.address.removeprefix("http://").split(":")
        service = services[host.split(".")[0]]
        assert service["ports"][0]["port"] == int(port)
        assert (service["selector"]["app.kubernetes.io/name"], int(port)) in let_in


@pytest.mark.parametrize("kind", ["Role", "ClusterRole"])
def test_no_role_has_a_wildcard_or_hands_rights_on(kind: str) -> None:
    for role in of_kind(kind, *CHARTS):
        for rule in role["rules"]:
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
            assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"])
            assert "secrets" not in rule["resources"]


def test_two_renders_are_equal() -> None:
    found = lock()
    for component in found.components:
        if component.chart:
            assert tuple(render(component.name, found)) == rendered(component.name)


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("https://s3.example.com", 443), ("http://s3.example.com", 80), ("https://s3.example.com:9443", 9443)],
)
def test_a_store_of_the_users_own_can_be_reached(endpoint: str, port: int) -> None:
    found = render("base", lock(store={"external": True, "endpoint": endpoint}))
    policies = {
        (each["metadata"]["name"], each["metadata"]["namespace"]): each
        for each in found
        if each["kind"] == "NetworkPolicy"
    }
    out = policies["models", "slipway-serving"]["spec"]["egress"]
    assert out == [{"ports": [{"port": port, "protocol": "TCP"}]}]


def test_prefect_reaches_those_who_are_told_of_runs_and_nobody_without() -> None:
    for told, ports in (({}, []), ({"webhook": "hook", "ports": (443, 2525)}, [443, 2525])):
        (policy,) = [
            each
            for each in render("base", lock(notify=told))
            if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "prefect"
        ]
        postgres, *others = policy["spec"]["egress"]
        assert postgres["ports"] == [{"port": 5432, "protocol": "TCP"}]
        wide = [{"ports": [{"port": port, "protocol": "TCP"} for port in ports]}]
        assert others == (wide if ports else [])


def test_housekeeping_knows_and_reaches_the_registry_only_where_it_is_to_clean_it() -> None:
    """And only it: the pool `release` runs no code of a model."""
    found = load_lock()
    image = found.images["flow"].model_copy(update={"image": "example.com:5000/flow", "digest": DIGEST})
    cleaning = lock(registry={"clean": True})
    cleaning = cleaning.model_copy(update={"images": {**cleaning.images, "flow": image}})
    for told, cleans in ((lock(), False), (cleaning, True)):
        objects = {
            (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")): each
            for each in render("base", told)
        }
        spaces = told.namespaces
        settings = {
            space: "SLIPWAY_IMAGES" in objects["ConfigMap", "slipway-settings", space]["data"]
            for space in (spaces.training, spaces.serving)
        }
        assert settings == {spaces.training: False, spaces.serving: cleans}
        rules = objects["Role", "housekeeping", spaces.training]["rules"]
        assert ({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]} in rules) is cleans
        out = objects["NetworkPolicy", "release", spaces.serving]["spec"]["egress"]
        assert ({"ports": [{"port": 5000, "protocol": "TCP"}]} in out) is cleans


def test_a_postgres_of_the_users_own_can_be_reached() -> None:
    found = render("base", lock(postgres={"external": True, "host": "db.example.com", "port": 6432}))
    (policy,) = [
        each for each in found if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "prefect"
    ]
    assert policy["spec"]["egress"] == [{"ports": [{"port": 6432, "protocol": "TCP"}]}]
