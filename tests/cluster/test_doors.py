"""Pages with a host of their own: what bootstrap makes of the lock, and that their servers answer to it.

No controller of Ingresses or Gateways is here: what one would read is there, and what it would send is sent from a
namespace that the lock lets in.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.platform_lock import LOCK, load_lock
from tests.cluster.outside import Outside
from tests.cluster.platform_state import written
from tests.cluster.pods import SETTLED, kubectl, run
from tests.cluster.routes import installed, make_gateway_class
from tests.cluster.test_door_charts import doors, rendered_with

pytestmark = pytest.mark.timeout(1500)
CONTROLLER = "doors-controller"
"""A namespace of the test's own, in place of a controller's."""
PLATFORM = load_lock().namespaces.platform
HOSTS = {"mlflow": "mlflow.example.com", "prefect": "prefect.example.com"}
REACH: dict[str, Any] = {
    "mlflow": {"host": HOSTS["mlflow"], "tls": "doors-cert", "ingress_class": "doors", "let_in": CONTROLLER},
    "prefect": {"host": HOSTS["prefect"], "gateway_class": "doors", "let_in": CONTROLLER},
}
INGRESS_CLASS = {
    "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "doors"},
    "spec": {"controller": "example.com/none"},
}  # fmt: skip
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CONTROLLER}}
CERTIFICATE = {
    "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "doors-cert", "namespace": PLATFORM},
    "type": "kubernetes.io/tls", "stringData": {"tls.crt": "", "tls.key": ""},
}  # fmt: skip
ASK = (
    SETTLED
    + """
import http.client, json

def ask(service, port, host, origin=None):
    'Status, and what is said, of a request as a controller hands it on.'
    connection = http.client.HTTPConnection(service, port, timeout=10)
    headers = {'Host': host, 'Content-Type': 'application/json', **({'Origin': origin} if origin else {})}
    path = '/ajax-api/2.0/mlflow/experiments/search' if origin else '/ui-settings' if port == 4200 else '/'
    connection.request('POST' if origin else 'GET', path, '{}' if origin else None, headers)
    answer = connection.getresponse()
    return [answer.status, answer.read().decode()[:500]]

mlflow, prefect = 'mlflow.{PLATFORM}.svc', 'prefect.{PLATFORM}.svc'
settled(mlflow, 5000)
settled(prefect, 4200)
print(json.dumps({
    'page': ask(mlflow, 5000, 'mlflow.example.com'),
    'another host': ask(mlflow, 5000, 'evil.example.com'),
    'own origin': ask(mlflow, 5000, 'mlflow.example.com', 'https://mlflow.example.com'),
    'another origin': ask(mlflow, 5000, 'mlflow.example.com', 'https://evil.example.com'),
    'prefect': ask(prefect, 4200, 'prefect.example.com'),
}))
""".replace("{PLATFORM}", PLATFORM)
)
NOT_LET_IN = """
import json, socket

def look(service, port):
    try:
        socket.create_connection((service, port), timeout=5).close()
    except OSError:
        return 'closed'
    return 'open'

print(json.dumps({'mlflow': look('mlflow.{PLATFORM}.svc', 5000), 'prefect': look('prefect.{PLATFORM}.svc', 4200)}))
""".replace("{PLATFORM}", PLATFORM)


def applied(cli: Outside, *manifests: dict[str, Any]) -> None:
    file = cli.home / "doors.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))
    kubectl(cli, "apply", "--server-side", "--filename", str(file))


@pytest.fixture(scope="module")
def api(platform_up: Outside, given_charts: tuple[str, ...]) -> Iterator[Outside]:
    """The cluster with the custom resources of the Gateway API; afterwards the platform has no doors."""
    with installed(platform_up, "gateway-api"):
        try:
            yield platform_up
        finally:
            done = platform_up.slipway("bootstrap", "--json", *given_charts, timeout=1500)
            kubectl(
                platform_up, "delete", "ingressclass/doors", f"namespace/{CONTROLLER}", "--ignore-not-found"
            )
            kubectl(platform_up, "delete", "gatewayclass/doors", "--ignore-not-found")
            kubectl(platform_up, "delete", "secret/doors-cert", "-n", PLATFORM, "--ignore-not-found")
    assert done.returncode == 0, done.stderr
    left = platform_up.run("kubectl", "get", "ingress,networkpolicy", "-A", "--output", "name").stdout
    assert "-door" not in left
    done = platform_up.slipway("bootstrap", "--json", *given_charts, timeout=1500)  # the API has gone
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lock, with hosts for two pages."""
    lock = yaml.safe_load(LOCK.read_text())
    lock["reach"] = REACH
    made: Path = tmp_path_factory.mktemp("doors") / "platform.yaml"
    made.write_text(yaml.safe_dump(lock, sort_keys=False))
    return str(made)


def refused(cli: Outside, *arguments: str) -> str:
    """The message of a bootstrap that must not write."""
    before = written(cli, PLATFORM)
    done = cli.slipway("bootstrap", "--json", *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert written(cli, PLATFORM) == before
    return str(json.loads(done.stdout)["error"]["message"])


@pytest.fixture(scope="module")
def opened(api: Outside, file: str, given_charts: tuple[str, ...]) -> Outside:
    """The platform with doors, after each thing that they ask for was missed in turn."""
    arguments = ("--lock", file, *given_charts)
    assert "IngressClass doors: is not there" in refused(api, *arguments)
    applied(api, INGRESS_CLASS, NAMESPACE)
    assert "Secret doors-cert" in refused(api, *arguments)
    applied(api, CERTIFICATE)
    assert "GatewayClass doors: is not there" in refused(api, *arguments)
    make_gateway_class(api, "doors")
    first = api.answer("bootstrap", *arguments, timeout=1500)
    assert {"base", "mlflow", "prefect"} <= set(first["changed"])
    rows = {row["component"]: row["address"] for row in first["components"]}
    assert (rows["mlflow"], rows["prefect"]) == ("https://mlflow.example.com", "http://prefect.example.com")
    return api


@pytest.mark.parametrize("key", ["ingress_class", "gateway_class"])
def test_the_api_server_takes_every_door(api: Outside, key: str) -> None:
    door: dict[str, Any] = {key: "doors", "tls": "doors-cert", "annotations": {"example.com/size": "0"}}
    made = rendered_with("base", **door)
    kinds = ("NetworkPolicy", "Ingress", "Gateway", "HTTPRoute")
    items = [each for kind in kinds for each in doors(made, kind).values()]
    rendered = api.home / "rendered.json"
    rendered.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    said = kubectl(
        api, "apply", "--server-side", "--dry-run=server", "--force-conflicts", "--field-manager=doors-test",
        "--filename", str(rendered),
    )  # fmt: skip
    assert said.count("-door") == len(items) == (6 if key == "ingress_class" else 9)


def test_an_unchanged_bootstrap_changes_nothing(
    opened: Outside, file: str, given_charts: tuple[str, ...]
) -> None:
    assert opened.answer("bootstrap", "--lock", file, *given_charts)["changed"] == []
    assert opened.slipway("bootstrap", "--check", "--lock", file, *given_charts).returncode == 0


def test_a_door_that_somebody_moved_is_put_right(
    opened: Outside, file: str, given_charts: tuple[str, ...]
) -> None:
    change = '[{"op": "replace", "path": "/spec/rules/0/host", "value": "moved.example.com"}]'
    kubectl(opened, "patch", "ingress", "mlflow-door", "-n", PLATFORM, "--type=json", "--patch", change)
    done = opened.slipway("bootstrap", "--check", "--json", "--lock", file, *given_charts)
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)["changes"]
    assert found["part"] == "base"
    assert "Ingress mlflow-door in" in found["why"][0]
    assert opened.answer("bootstrap", "--lock", file, *given_charts)["changed"] == ["base"]


def test_a_page_is_opened_at_its_host(opened: Outside) -> None:
    done = opened.slipway("open", "mlflow", BROWSER="true", timeout=60)
    assert done.returncode == 0, done.stderr
    assert "mlflow: https://mlflow.example.com" in done.stderr


def test_servers_answer_to_their_host_and_to_no_other(opened: Outside) -> None:
    said = run(opened, CONTROLLER, ASK)
    assert said["page"][0] == said["own origin"][0] == 401, "it is let through, and asked who it is"
    assert said["another host"][0] == said["another origin"][0] == 403
    assert "Invalid Host header" in said["another host"][1]
    assert json.loads(said["prefect"][1])["api_url"] == "/api"


def test_who_is_not_let_in_reaches_no_page(opened: Outside) -> None:
    said = run(opened, "default", NOT_LET_IN)
    assert said == {"mlflow": "closed", "prefect": "closed"}
