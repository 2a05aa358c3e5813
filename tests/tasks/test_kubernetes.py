"""Access to the Kubernetes API: what is asked, and what refusals and failures become."""

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import kubernetes
from tasks.errors import PlatformError
from tasks.kubernetes import GATEWAY, NAMESPACE, POD, SECRET, SELDON_DEPLOYMENT, Cluster, client


@dataclass
class Api:
    """Answers requests in turn from `answers` (status, document); 200 and an object when there are none left."""

    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)

    def refuse(self, status: int, message: str, times: int = 1) -> None:
        document = {"kind": "Status", "code": status, "message": message}
        self.answers += [(status, document)] * times


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A server that a kubeconfig of the test's own names."""
    state = Api()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.asked.append((self.command, self.path))
            state.accounts.append(self.headers["Authorization"])
            state.sent.append(json.loads(body) if body else None)
            default = {"metadata": {"name": "x"}, "items": []}
            status, document = state.answers.pop(0) if state.answers else (200, default)
            log = "/log" in self.path and status == 200
            content = b"first\nlast\n" if log else json.dumps(document).encode()
            self.send_response(status)
            plain = log or not document
            self.send_header("Content-Type", "text/plain" if plain else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    config = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "test", "user": {"token": "t"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(kubernetes, "PAUSE", 0.0)
    client.cache_clear()
    yield state
    client.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.fixture
def cluster(api: Api) -> Cluster:
    return client("serving")


def test_what_is_not_there_is_none(cluster: Cluster, api: Api) -> None:
    api.refuse(404, 'pods "p" not found', times=2)
    assert cluster.get(POD, "p") is None
    assert cluster.delete(POD, "p") is False


def test_a_kind_that_the_cluster_does_not_have_is_none(cluster: Cluster, api: Api) -> None:
    """The API server answers an unknown path in plain text."""
    api.answers += [(404, {})] * 2
    assert cluster.get(GATEWAY, "main") is None
    assert cluster.list(GATEWAY) == []


def test_manifests_are_applied_as_they_are(cluster: Cluster, api: Api) -> None:
    """Fields that a typed model of the API would not know go through."""
    manifest = {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "iris"},
        "spec": {"predictors": [{"name": "v1", "something": {"new": 1}}]},
    }
    cluster.apply(manifest)
    ((method, path),) = api.asked
    assert method == "PATCH"
    assert path.startswith("/apis/machinelearning.seldon.io/v1/namespaces/serving/seldondeployments/iris?")
    assert "fieldManager=slipway" in path
    assert "force=true" in path
    assert api.sent == [manifest]


def test_paths_of_namespaced_global_and_named_objects(cluster: Cluster, api: Api) -> None:
    cluster.get(NAMESPACE, "slipway")
    cluster.get(GATEWAY, "main", namespace="istio-system")
    cluster.list(POD, {"seldon-app": "iris-v1"})
    cluster.merge(SELDON_DEPLOYMENT, "iris", {"spec": None})
    assert [path.partition("?")[0] for _, path in api.asked] == [
        "/api/v1/namespaces/slipway",
        "/apis/networking.istio.io/v1beta1/namespaces/istio-system/gateways/main",
        "/api/v1/namespaces/serving/pods",
        "/apis/machinelearning.seldon.io/v1/namespaces/serving/seldondeployments/iris",
    ]
    assert "labelSelector=seldon-app%3Diris-v1" in api.asked[2][1]


def test_the_end_of_a_log(cluster: Cluster, api: Api) -> None:
    assert cluster.logs("p", "iris", lines=2) == "first\nlast\n"
    assert "tailLines=2" in api.asked[0][1]
    api.refuse(400, "container is waiting to start")
    assert cluster.logs("p", "iris") == ""


def test_a_refusal_names_the_verb_and_the_kind(cluster: Cluster, api: Api) -> None:
    api.refuse(403, 'secrets "s" is forbidden: User "system:serviceaccount:serving:model" cannot get it')
    with pytest.raises(PlatformError) as caught:
        cluster.get(SECRET, "s")
    assert caught.value.obj == "Secret s"
    assert "may not get secrets" in caught.value.observed
    assert "system:serviceaccount:serving:model" in caught.value.observed
    assert "the verb get on secrets" in caught.value.next_step


def test_a_failure_for_a_moment_is_asked_again(cluster: Cluster, api: Api) -> None:
    api.refuse(500, "etcdserver: leader changed", times=2)
    assert cluster.get(POD, "x") is not None
    assert len(api.asked) == 3


def test_a_webhook_that_is_away_is_tried_for_a_bounded_time(cluster: Cluster, api: Api) -> None:
    api.refuse(500, 'failed calling webhook "v1.vseldondeployment.kb.io": no endpoints', times=20)
    with pytest.raises(PlatformError, match="failed calling webhook") as caught:
        cluster.merge(SELDON_DEPLOYMENT, "iris", {})
    assert len(api.asked) == kubernetes.ATTEMPTS
    assert "operator behind this webhook" in caught.value.next_step


def test_what_a_webhook_objects_to_is_not_tried_again(cluster: Cluster, api: Api) -> None:
    api.refuse(
        422, 'admission webhook "v1.vseldondeployment.kb.io" denied the request: Traffic must sum to 100'
    )
    with pytest.raises(PlatformError, match="Traffic must sum to 100"):
        cluster.merge(SELDON_DEPLOYMENT, "iris", {})
    assert len(api.asked) == 1


def test_no_server_and_no_configuration(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    document = yaml.safe_load((tmp_path / "config").read_text())
    document["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    client.cache_clear()
    with pytest.raises(PlatformError, match="the API server does not answer"):
        client("serving").get(POD, "x")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    client.cache_clear()
    with pytest.raises(PlatformError, match="no usable configuration"):
        client("serving")


PLUGIN = """
import json, os
told = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
version = told["apiVersion"].rpartition("/")[2]
token = f"{os.environ['WHO']} by {version}, interactive: {told['spec']['interactive']}"
print(json.dumps({"apiVersion": told["apiVersion"], "kind": "ExecCredential", "status": {"token": token}}))
"""


def with_plugin(file: Path, version: str, command: str) -> None:
    document = yaml.safe_load(file.read_text())
    document["users"][0]["user"] = {"exec": {
        "apiVersion": f"client.authentication.k8s.io/{version}", "command": command, "args": ["-c", PLUGIN],
        "env": [{"name": "WHO", "value": "anna"}], "interactiveMode": "IfAvailable",
    }}  # fmt: skip
    file.write_text(yaml.safe_dump(document))
    client.cache_clear()


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_credential_plugin_is_asked_in_its_own_version(api: Api, tmp_path: Path, version: str) -> None:
    with_plugin(tmp_path / "config", version, sys.executable)
    client("serving").get(POD, "x")
    assert api.accounts == [f"Bearer anna by {version}, interactive: False"]


def test_a_credential_plugin_that_is_not_there_is_named(api: Api, tmp_path: Path) -> None:
    with_plugin(tmp_path / "config", "v1", "no-such-plugin")
    with pytest.raises(PlatformError, match=r"no-such-plugin.*See whether `kubectl get nodes` works"):
        client("serving").get(POD, "x")


def test_a_kind_that_is_not_known_is_named(cluster: Cluster) -> None:
    with pytest.raises(PlatformError, match="manifest of v1/Potato"):
        cluster.apply({"apiVersion": "v1", "kind": "Potato", "metadata": {"name": "x"}})
