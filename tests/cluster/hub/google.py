"""The stand-in for Google (tests/flows/hub/identity_provider.py) as a pod, in a namespace of its own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.forwarding import forwarded
from tasks.platform_lock import load_lock
from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl
from tests.flows.hub import identity_provider

NAMESPACE, NAME = "stand-in-google", "google"
SECRET = "slipway-google"
"""What infra/jupyterhub/google.yaml has the user make."""
LABELS = {"slipway.io/stand-in": NAME}


def manifests() -> list[dict[str, Any]]:
    program = Path(identity_provider.__file__).read_text()
    container = {
        "name": NAME,
        "image": load_lock().image("flow"),
        "command": ["python", "-c", program],
        "readinessProbe": {"tcpSocket": {"port": identity_provider.PORT}, "periodSeconds": 1},
    }
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": LABELS},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    ports = [{"port": 80, "targetPort": identity_provider.PORT}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        pod,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"selector": LABELS, "ports": ports},
        },
    ]


@contextmanager
def google_up(cli: Outside) -> Iterator[str]:
    """Where a browser on this machine finds it; the namespace is gone afterwards."""
    file = cli.home / "google.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests()}))
    try:
        kubectl(cli, "apply", "--filename", str(file))
        kubectl(
            cli, "wait", f"pod/{NAME}", "--namespace", NAMESPACE, "--for=condition=Ready", "--timeout=50s"
        )
        with forwarded(NAMESPACE, f"pod/{NAME}", identity_provider.PORT) as url:
            yield url
    finally:
        kubectl(cli, "delete", "namespace", NAMESPACE, "--ignore-not-found")


@contextmanager
def client_known(cli: Outside, namespace: str) -> Iterator[None]:
    """The Secret that its user makes, for the block."""
    keys = {"client-id": identity_provider.CLIENT, "client-secret": identity_provider.SECRET}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": namespace},
        "stringData": keys,
    }
    file = cli.home / "client.json"
    file.write_text(json.dumps(secret))
    kubectl(cli, "apply", "--filename", str(file))
    try:
        yield
    finally:
        kubectl(cli, "delete", "secret", SECRET, "--namespace", namespace, "--ignore-not-found")
