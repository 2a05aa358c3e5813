"""A pod of one's own in the cluster under test, to see what may be done from where it stands."""

import json
import textwrap
import time
import uuid
from typing import Any

from tasks.platform_lock import load_lock
from tests.cluster.outside import Outside

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"

API = f"""
import json, os, ssl, urllib.error, urllib.request

def ask(method, path, body=None):
    'Status of a request to the Kubernetes API with this pod\\'s token, and what it says.'
    request = urllib.request.Request(
        'https://kubernetes.default.svc' + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={{'Authorization': 'Bearer ' + open('{TOKEN}/token').read(), 'Content-Type': 'application/json'}},
    )
    trusted = ssl.create_default_context(cafile='{TOKEN}/ca.crt')
    try:
        with urllib.request.urlopen(request, context=trusted) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
"""
"""Python for `run`: a function that asks the API as the pod's service account."""


SETTLED = """
import socket, time

def settled(host, port):
    'Waits until the network knows this new pod, and lets it connect.'
    until = time.monotonic() + 45
    while True:
        try:
            return socket.create_connection((host, port), timeout=3).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
"""
"""Python for `run`: what a pod of the platform gets from its clients' own retries."""


def run(
    cli: Outside,
    namespace: str,
    script: str,
    *,
    labels: dict[str, str] | None = None,
    account: str = "default",
    token: bool = False,
    environment: list[dict[str, Any]] | None = None,
    image: str = "flow",
) -> Any:
    """Run Python in a pod to its end, and remove the pod; what it printed last, read as JSON."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": account,
            "automountServiceAccountToken": token,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "test",
                    "image": load_lock().image(image),
                    "command": ["python", "-c", textwrap.dedent(script)],
                    "env": environment or [],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    file = cli.home / f"{name}.json"
    file.write_text(json.dumps(pod))
    try:
        kubectl(cli, "apply", "--filename", str(file))
        phase, until = "", time.monotonic() + 120
        while phase not in ("Succeeded", "Failed"):
            assert time.monotonic() < until, kubectl(cli, "describe", "pod", name, "--namespace", namespace)
            time.sleep(0.5)
            phase = kubectl(
                cli, "get", "pod", name, "--namespace", namespace, "--output", "jsonpath={.status.phase}"
            )
        log = kubectl(cli, "logs", name, "--namespace", namespace)
        assert phase == "Succeeded", log
        return json.loads(log.splitlines()[-1])
    finally:
        kubectl(cli, "delete", "pod", name, "--namespace", namespace, "--ignore-not-found", "--wait=false")
        file.unlink()


def kubectl(cli: Outside, *arguments: str) -> str:
    done = cli.run("kubectl", *arguments, timeout=60)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout
