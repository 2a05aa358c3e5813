"""What is in a cluster, so that a test can say that nothing was written, or that nothing is left."""

import json
import sys
from typing import Any

from tests.cluster.outside import Outside

KINDS = (
    "deployments,statefulsets,services,configmaps,secrets,serviceaccounts,roles,rolebindings,"
    "networkpolicies,jobs,persistentvolumeclaims,leases.coordination.k8s.io"
)
BY_GENERATION = ("Deployment", "StatefulSet", "Job")
"""Their resourceVersion also changes with their status."""
ELECTED = ".machinelearning.seldon.io"
"""Ends the name of what Seldon Core's operator renews every other second, because it leads."""
EMPTY_FLOW = """
from flows.cli_cluster import _alone
ready = _alone()
from prefect import flow
@flow
def empty() -> None: ...
ready()
empty()
"""


def empty_flow(place: Outside) -> None:
    """What bootstrap costs that does nothing: a process, a Prefect server for its time, a flow."""
    done = place.run(sys.executable, "-c", EMPTY_FLOW)
    assert done.returncode == 0, done.stderr


def written(place: Outside, *namespaces: str) -> dict[str, str]:
    """A version of every object that bootstrap may write, by kind, namespace and name; Helm revisions too."""
    found = {f"Namespace {name}": version(one(place, "namespace", name)) for name in namespaces}
    for namespace in namespaces:
        for item in get(place, namespace, KINDS):
            if item["metadata"]["name"].endswith(ELECTED):
                continue
            name = f"{item['kind']} {namespace}/{item['metadata']['name']}"
            found[name] = version(item)
    return found


def version(item: dict[str, Any]) -> str:
    metadata = item["metadata"]
    if item["kind"] in BY_GENERATION:
        return str(metadata.get("generation"))
    return str(metadata["resourceVersion"])


def get(place: Outside, namespace: str, kinds: str, *more: str) -> list[dict[str, Any]]:
    done = place.run("kubectl", "--namespace", namespace, "get", kinds, "--output", "json", *more)
    assert done.returncode == 0, done.stderr
    items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return items


def one(place: Outside, kind: str, name: str) -> dict[str, Any]:
    done = place.run("kubectl", "get", kind, name, "--output", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
