"""The custom resources of Istio and of the Gateway API, from the Go modules that go.mod locks. No controller comes
with them: what is written is what a controller would read."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl

MODULES = {
    "istio": ("istio.io/api", "kubernetes/customresourcedefinitions.gen.yaml"),
    "gateway-api": ("sigs.k8s.io/gateway-api", "config/crd/standard"),
}
DEFINITIONS = {
    "istio": ("virtualservices", "destinationrules", "gateways", ".networking.istio.io"),
    "gateway-api": ("httproutes", "gateways", "gatewayclasses", ".gateway.networking.k8s.io"),
}


@contextmanager
def installed(cli: Outside, kind: str) -> Iterator[None]:
    """The cluster with these custom resources, for as long as the block runs. One that has them is left alone."""
    *names, group = DEFINITIONS[kind]
    definitions = [f"customresourcedefinition/{name}{group}" for name in names]
    there = cli.run("kubectl", "get", *definitions, "--output", "name").returncode == 0
    if there:
        yield
        return
    files = ["--filename", str(source(kind))]
    try:
        kubectl(cli, "apply", "--server-side", *files)
        kubectl(cli, "wait", "--for=condition=Established", "--timeout=60s", *definitions)
        yield
    finally:
        kubectl(cli, "delete", "--ignore-not-found", "--timeout=50s", *files)


def make_gateway_class(cli: Outside, name: str) -> None:
    """A class of the Gateway API that no controller sees to."""
    manifest = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": name},
        "spec": {"controllerName": "example.com/none"},
    }
    file = cli.home / f"gateway-class-{name}.json"
    file.write_text(json.dumps(manifest))
    kubectl(cli, "apply", "--server-side", "--filename", str(file))


def source(kind: str) -> Path:
    """Where the Go module cache has them; go.sum vouches for what is fetched."""
    module, place = MODULES[kind]
    done = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["Dir"]) / place
