"""Whether the nodes have room for the pods of charts that are not installed yet. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.errors import PlatformError
from tasks.kubernetes import Manifest
from tasks.pods import ready
from tasks.resources import quantity, requested

KEEPS_AWAY = ("NoSchedule", "NoExecute")
"""Effects of a node's taints, which none of our pods tolerates."""


@dataclass(frozen=True)
class Needs:
    """What a pod asks for, or a node has free: processors, bytes, pods."""

    cpu: float = 0.0
    memory: float = 0.0
    pods: float = 1.0

    def fits(self, free: "Needs") -> bool:
        return self.cpu <= free.cpu + 1e-9 and self.memory <= free.memory and self.pods <= free.pods

    def less(self, other: "Needs") -> "Needs":
        return Needs(self.cpu - other.cpu, self.memory - other.memory, self.pods - other.pods)

    def __str__(self) -> str:
        return f"{max(0, round(self.cpu * 1000))}m cpu and {max(0, round(self.memory / 2**20))}Mi memory"


def check_room(wanted: dict[str, Needs], free: dict[str, Needs]) -> None:
    """Raise PlatformError naming the pods that no node has room for. `wanted`: by pod; `free`: by node."""
    left, without = dict(free), []
    for pod, needs in sorted(wanted.items(), key=lambda one: (-one[1].memory, -one[1].cpu, one[0])):
        node = next((name for name, room in left.items() if needs.fits(room)), None)
        if node is None:
            without.append(f"{pod} ({needs})")
        else:
            left[node] = left[node].less(needs)
    if without:
        nodes = ", ".join(f"{name} {room}" for name, room in free.items()) or "there is none that takes pods"
        raise PlatformError(
            "the cluster's nodes",
            f"have no room for {', '.join(without)}; free are: {nodes}",
            "Add a node, remove what is not needed (`kubectl describe nodes`), or lower `resources` in the "
            "values.yaml of these charts.",
        )


def wanted_by(objects: Iterable[Manifest]) -> dict[str, Needs]:
    """Every pod that the workloads among `objects` make."""
    found: dict[str, Needs] = {}
    for each in objects:
        if each["kind"] in ("Deployment", "StatefulSet"):
            needs = asked(each["spec"]["template"]["spec"])
            for number in range(int(each["spec"].get("replicas", 1))):
                found[f"{each['metadata']['name']}-{number}"] = needs
    return found


def free_on(nodes: Iterable[Manifest], pods: Iterable[Manifest]) -> dict[str, Needs]:
    """What is left on each node that takes pods."""
    free = {node["metadata"]["name"]: of_node(node) for node in nodes if takes_pods(node)}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node in free and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            free[node] = free[node].less(asked(pod["spec"]))
    return free


def of_node(node: Manifest) -> Needs:
    has = node["status"]["allocatable"]
    return Needs(quantity(has["cpu"]), quantity(has["memory"]), quantity(has.get("pods", "110")))


def takes_pods(node: Manifest) -> bool:
    taints = node["spec"].get("taints") or ()
    kept_away = any(each["effect"] in KEEPS_AWAY for each in taints)
    return ready(node) and not kept_away and not node["spec"].get("unschedulable", False)


def asked(pod: Manifest) -> Needs:
    """What the scheduler reckons for a pod."""
    found = requested(pod)
    return Needs(found.cpu, found.memory)
