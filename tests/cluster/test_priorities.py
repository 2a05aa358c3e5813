"""A full node: a training gives way to what is served, and waits for room itself."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.kubernetes import poll
from tasks.platform_lock import load_lock
from tasks.pods import Part, priority_class
from tests.cluster.outside import Outside
from tests.cluster.platform_state import get
from tests.cluster.pods import kubectl

SPACES = load_lock().namespaces
PLATFORM, TRAINING, SERVING = SPACES.platform, SPACES.training, SPACES.serving
FREE = 200
"""Thousandths of a processor that the first training leaves of the node with the most room."""


def pod(name: str, part: Part, cpu: int) -> dict[str, Any]:
    namespace = {"training": TRAINING, "serving": SERVING, "platform": PLATFORM}[part]
    container = {
        "name": "room",
        "image": load_lock().image("flow"),
        "command": ["sleep", "600"],
        "resources": {"requests": {"cpu": f"{cpu}m"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"slipway-test": "room"}},
        "spec": {
            "priorityClassName": priority_class(PLATFORM, part),
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }


def apply(place: Outside, manifest: dict[str, Any]) -> None:
    file = place.home / f"{manifest['metadata']['name']}.json"
    file.write_text(json.dumps(manifest))
    kubectl(place, "apply", "--filename", str(file))


def milli(cpu: str) -> int:
    return int(cpu[:-1]) if cpu.endswith("m") else int(float(cpu) * 1000)


def room(place: Outside) -> int:
    """Thousandths of a processor that nobody asked for, on the node that has most."""
    nodes = json.loads(kubectl(place, "get", "nodes", "--output", "json"))["items"]
    pods = json.loads(kubectl(place, "get", "pods", "--all-namespaces", "--output", "json"))["items"]
    free = {node["metadata"]["name"]: milli(node["status"]["allocatable"]["cpu"]) for node in nodes}
    for each in pods:
        if each["spec"].get("nodeName") in free and each["status"]["phase"] in ("Pending", "Running"):
            for container in each["spec"]["containers"]:
                asked = container.get("resources", {}).get("requests", {}).get("cpu", "0")
                free[each["spec"]["nodeName"]] -= milli(asked)
    return max(free.values())


def phase(place: Outside, namespace: str, name: str) -> str:
    """`Scheduled` also while it starts; empty if it is gone."""
    (found,) = get(place, namespace, "pods", "--field-selector", f"metadata.name={name}") or [None]
    if found is None or "deletionTimestamp" in found["metadata"]:
        return ""
    return "Scheduled" if found["spec"].get("nodeName") else "Pending"


@pytest.fixture
def place(platform_up: Outside) -> Iterator[Outside]:
    yield platform_up
    for namespace in (TRAINING, SERVING):
        kubectl(platform_up, "--namespace", namespace, "delete", "pods", "--selector", "slipway-test=room")


def test_on_a_full_node_a_training_gives_way_to_a_model_and_waits_itself(place: Outside) -> None:
    apply(place, pod("room-first", "training", room(place) - FREE))
    assert poll(lambda: phase(place, TRAINING, "room-first") == "Scheduled" or None, 60)

    apply(place, pod("room-second", "training", 2 * FREE))
    assert poll(lambda: phase(place, TRAINING, "room-second") == "Scheduled" or None, 10) is None
    assert phase(place, TRAINING, "room-first") == "Scheduled"

    apply(place, pod("room-model", "serving", 2 * FREE))
    assert poll(lambda: phase(place, SERVING, "room-model") == "Scheduled" or None, 60)
    assert phase(place, TRAINING, "room-first") == ""
