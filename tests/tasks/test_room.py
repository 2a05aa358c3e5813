from typing import Any

import pytest

from tasks.errors import PlatformError
from tasks.room import Needs, asked, check_room, free_on, takes_pods, wanted_by

GI = 2.0**30


def node(name: str, cpu: str = "2", memory: str = "4Gi", **spec: Any) -> dict[str, Any]:
    ready = [{"type": "Ready", "status": spec.pop("ready", "True")}]
    status = {"allocatable": {"cpu": cpu, "memory": memory, "pods": "10"}, "conditions": ready}
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def pod(cpu: str, memory: str, on: str = "a", phase: str = "Running") -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu, "memory": memory}}
    return {"spec": {"nodeName": on, "containers": [{"resources": resources}]}, "status": {"phase": phase}}


def workload(kind: str, name: str, replicas: int, memory: str) -> dict[str, Any]:
    spec = {"containers": [{"resources": {"requests": {"cpu": "500m", "memory": memory}}}]}
    return {
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "template": {"spec": spec}},
    }


def test_a_pod_asks_for_its_containers_together_or_its_largest_init_container() -> None:
    containers = [{"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}] * 2
    before = [{"resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}]
    assert asked({"containers": containers, "initContainers": before}) == Needs(3, 2 * GI)
    assert asked({"containers": [{}]}) == Needs(0, 0)


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        (node("a"), True),
        (node("a", unschedulable=True), False),
        (node("a", ready="Unknown"), False),
        (node("a", taints=[{"key": "control-plane", "effect": "NoSchedule"}]), False),
        (node("a", taints=[{"key": "spot", "effect": "PreferNoSchedule"}]), True),
    ],
)
def test_only_nodes_that_take_pods_count(found: dict[str, Any], taken: bool) -> None:
    assert takes_pods(found) is taken


def test_what_runs_takes_room_and_what_has_ended_does_not() -> None:
    pods = [pod("1", "1Gi"), pod("1", "2Gi", phase="Succeeded"), pod("1", "1Gi", on="elsewhere")]
    assert free_on([node("a")], pods) == {"a": Needs(1, 3 * GI, 9)}


def test_pods_are_spread_over_the_nodes_the_largest_first() -> None:
    wanted = wanted_by([workload("Deployment", "small", 2, "1Gi"), workload("StatefulSet", "big", 1, "3Gi")])
    assert list(wanted) == ["small-0", "small-1", "big-0"]
    check_room(wanted, free_on([node("a"), node("b", memory="1Gi")], []))


def test_each_pod_without_room_is_named_with_what_is_free() -> None:
    wanted = wanted_by([workload("Deployment", "big", 2, "3Gi")])
    with pytest.raises(PlatformError) as caught:
        check_room(wanted, free_on([node("a")], [pod("250m", "512Mi")]))
    assert caught.value.observed == (
        "have no room for big-1 (500m cpu and 3072Mi memory); free are: a 1750m cpu and 3584Mi memory"
    )
    with pytest.raises(PlatformError, match="there is none that takes pods"):
        check_room(wanted, {})
