"""Seldon Core from its own chart: installed for one namespace, left alone, put right, renewed, taken away."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks import helm, seldon_core
from tasks.charts import find_charts, values
from tasks.markers import known_of
from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl
from tests.cluster.releasing import SERVING, Releaser, releaser
from tests.cluster.test_charts import DIGEST, lock

pytestmark = [pytest.mark.charts, pytest.mark.timeout(900)]
WEBHOOK = f"validatingwebhookconfiguration/{seldon_core.webhook_name(SERVING)}"
CERTIFICATE = f"secret/{seldon_core.CERTIFICATE}"
OPERATOR = "deployment/seldon-controller-manager"


def rendered(charts: Path, routes: Any = "none") -> helm.Chart:
    found = lock()
    component = found.component("seldon-core")
    told = values(component, found, known_of(found, routes))
    path = find_charts(found, charts)["seldon-core"]
    return helm.render(helm.Wanted("seldon-core", path, found.namespace(component), told))


def test_what_the_chart_renders_to_is_the_same_twice_and_stays_in_its_namespace(charts: Path) -> None:
    made = rendered(charts)
    assert made == rendered(charts)
    kinds = {each["kind"] for each in made.objects}
    assert not kinds & {
        "CustomResourceDefinition",
        "Secret",
        "ClusterRole",
        "ClusterRoleBinding",
        "Certificate",
    }
    outside = [each["kind"] for each in made.objects if each["metadata"].get("namespace") != SERVING]
    assert outside == ["ValidatingWebhookConfiguration"]
    assert "spartakus" not in made.manifest, "no usage metrics"


def test_the_operator_keeps_to_the_standard_restricted_and_every_image_is_locked(charts: Path) -> None:
    (deployment,) = [each for each in rendered(charts, "istio").objects if each["kind"] == "Deployment"]
    (manager,) = deployment["spec"]["template"]["spec"]["containers"]
    context = manager["securityContext"]
    assert (context["runAsNonRoot"], context["allowPrivilegeEscalation"]) == (True, False)
    assert (context["capabilities"], context["readOnlyRootFilesystem"]) == ({"drop": ["ALL"]}, True)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    told = {each["name"]: each.get("value") for each in manager["env"]}
    assert told["EXECUTOR_DEFAULT_CPU_REQUEST"] == "50m"
    assert (told["ISTIO_ENABLED"], told["ISTIO_GATEWAY"]) == ("true", f"{SERVING}/seldon-gateway")
    (config,) = [each for each in rendered(charts).objects if each["kind"] == "ConfigMap"]
    servers = json.loads(config["data"]["predictor_servers"])
    assert list(servers) == ["MLFLOW_SERVER"]
    images = [
        manager["image"],
        told["EXECUTOR_CONTAINER_IMAGE_AND_VERSION"],
        servers["MLFLOW_SERVER"]["protocols"]["v2"]["image"],
        json.loads(config["data"]["storageInitializer"])["image"],
    ]
    assert [image for image in images if not image.endswith(f"@{DIGEST}")] == []


@pytest.fixture(scope="module")
def place(charts: Path, platform_up: Outside) -> Outside:
    rows = {row["component"]: row for row in bootstrap(platform_up, charts)["components"]}
    if rows["seldon-core"]["did"] == "yours":
        pytest.skip("the cluster brings its own operator; without: SELDON_CHART=none make cluster")
    return platform_up


@pytest.fixture(scope="module")
def pod(place: Outside) -> Iterator[Releaser]:
    with releaser(place) as made:
        yield made


def bootstrap(cli: Outside, charts: Path) -> dict[str, Any]:
    done = cli.slipway("bootstrap", "--json", "--charts", str(charts), timeout=1500)
    assert done.returncode == 0, done.stderr + done.stdout
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def get(cli: Outside, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl(cli, "get", name, "--namespace", SERVING, "--output", "json"))
    return found


def refuses_and_accepts(cli: Outside, charts: Path) -> None:
    rows = {row["component"]: row for row in bootstrap(cli, charts)["components"]}
    assert "refused a bad SeldonDeployment" in rows["seldon-core"]["verified_by"]


def test_an_unchanged_bootstrap_writes_nothing_of_it(place: Outside, charts: Path) -> None:
    names = (
        WEBHOOK,
        CERTIFICATE,
        f"customresourcedefinition/{seldon_core.DEFINITION}",
        f"namespace/{SERVING}",
    )
    before = [get(place, name)["metadata"]["resourceVersion"] for name in names]
    generation = get(place, OPERATOR)["metadata"]["generation"]
    assert bootstrap(place, charts)["changed"] == []
    assert [get(place, name)["metadata"]["resourceVersion"] for name in names] == before
    assert get(place, OPERATOR)["metadata"]["generation"] == generation


def test_the_operator_has_no_rights_outside_its_namespace(place: Outside) -> None:
    account = f"system:serviceaccount:{SERVING}:seldon-manager"
    for verb, what in (("get", "secrets"), ("create", "deployments"), ("list", "seldondeployments")):
        inside = place.run("kubectl", "auth", "can-i", verb, what, "--as", account, "--namespace", SERVING)
        outside = place.run("kubectl", "auth", "can-i", verb, what, "--as", account, "--namespace", "slipway")
        assert (inside.stdout.strip(), outside.stdout.strip()) == ("yes", "no"), (verb, what)


def test_its_key_is_in_no_release_of_helm(place: Outside) -> None:
    key = base64.b64decode(get(place, CERTIFICATE)["data"]["tls.key"]).decode()
    done = place.run("helm", "get", "all", "seldon-core", "--namespace", SERVING)
    assert done.returncode == 0, done.stderr
    assert "PRIVATE KEY" in key
    assert "PRIVATE KEY" not in done.stdout
    assert base64.b64encode(key.encode()).decode()[:60] not in done.stdout


def test_a_trust_that_was_lost_is_put_back(place: Outside, charts: Path) -> None:
    change = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
    kubectl(place, "patch", WEBHOOK, "--type=json", "--patch", json.dumps(change))
    assert bootstrap(place, charts)["changed"] == ["seldon-core"]
    refuses_and_accepts(place, charts)
    assert bootstrap(place, charts)["changed"] == []


def test_an_expiring_certificate_is_renewed_and_the_webhook_answers_all_the_while(
    place: Outside, charts: Path
) -> None:
    last_year = datetime.now(UTC) - seldon_core.LIFETIME + timedelta(days=30)
    there = {key: base64.b64decode(value).decode() for key, value in get(place, CERTIFICATE)["data"].items()}
    old = seldon_core.certificate(SERVING, last_year, there)
    apply(place, seldon_core.trusting(SERVING, old))
    apply(place, seldon_core.secret_manifest(SERVING, old))
    assert bootstrap(place, charts)["changed"] == ["seldon-core"]
    renewed = {
        key: base64.b64decode(value).decode() for key, value in get(place, CERTIFICATE)["data"].items()
    }
    assert not seldon_core.certificate_fault(renewed, SERVING, datetime.now(UTC))
    assert renewed["tls.crt"] != old["tls.crt"]
    refuses_and_accepts(place, charts)
    assert bootstrap(place, charts)["changed"] == []


def apply(cli: Outside, manifest: dict[str, Any]) -> None:
    file = cli.home / "manifest.json"
    file.write_text(json.dumps(manifest))
    kubectl(
        cli, "apply", "--server-side", "--force-conflicts", "--field-manager=slipway", f"--filename={file}"
    )


def test_uninstalling_the_chart_takes_no_model_away(place: Outside, charts: Path, pod: Releaser) -> None:
    model = pod.model("kept")
    assert model.release(1).get("outcome") == "released"
    before = model.pods()
    done = place.run("helm", "uninstall", "seldon-core", "--namespace", SERVING, "--wait")
    assert done.returncode == 0, done.stderr
    assert model.pods() == before
    assert model.live()["version"] == 1
    assert bootstrap(place, charts)["changed"] == ["seldon-core"]
    assert model.pods() == before, "the operator that came back restarts nothing"
    again = model.release(1)
    assert again.get("outcome") == "already live", again
