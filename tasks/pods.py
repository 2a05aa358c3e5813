"""Pods: which give way to which, and what is wrong with them in the words of the kubelet and the scheduler."""

from collections.abc import Callable, Iterable
from typing import Literal

from tasks.kubernetes import POD, Cluster, Manifest

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
ON_THE_WAY = ("PodInitializing", "ContainerCreating", "Completed")
Part = Literal["platform", "serving", "training"]
USER = 1000
"""Whom our images' programs run as."""


def confined() -> Manifest:
    """Security context of a container, for the Pod Security Standard `restricted`; its root is only read."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def unprivileged(**more: int) -> Manifest:
    """Security context of the pod of such containers."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
        **more,
    }


def priority_class(platform: str, part: Part) -> str:
    """Name of the PriorityClass of a platform's pods (`infra/charts/base/templates/priorities.yaml`).

    `platform`: its namespace, which tells it from another one of the cluster.
    """
    return f"{platform}-{part}"


def trouble(pods: list[Manifest]) -> str:
    """Pure: why pods are not ready, in the words of the kubelet and the scheduler."""
    said = []
    for pod in pods:
        status = pod.get("status") or {}
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                said.append(f"{pod['metadata']['name']}: {condition.get('message', '')}")
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            state = container.get("state") or {}
            about = state.get("waiting") or state.get("terminated")
            if about and about.get("reason") not in ON_THE_WAY:
                words = f"{about.get('reason', '')} {about.get('message', '')}".strip()
                said.append(f"{pod['metadata']['name']}/{container['name']}: {words}")
    return "; ".join(said)


def runs(pod: Manifest) -> bool:
    """Pure: whether one of the pod's containers is at work."""
    status = pod.get("status") or {}
    found = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return any("running" in (each.get("state") or {}) for each in found)


def selectors(objects: Iterable[Manifest]) -> list[dict[str, str]]:
    """Pure: the labels by which the workloads among `objects` know their pods."""
    found = [(each.get("spec") or {}).get("selector") for each in objects if each["kind"] in WORKLOADS]
    return [dict(each["matchLabels"]) for each in found if each]


def watch(cluster: Cluster, objects: Iterable[Manifest]) -> Callable[[], str]:
    """What is wrong with the pods of these workloads, now; with the log of one that crashes."""
    known = selectors(objects)

    def look() -> str:
        pods = [pod for labels in known for pod in cluster.list(POD, labels)]
        said = trouble(pods)
        for pod in pods:
            for container in failing(pod):
                log = cluster.logs(pod["metadata"]["name"], container, lines=15)
                said += f"\n{container} of {pod['metadata']['name']} says:\n{log}" if log else ""
        return said

    return look


def failing(pod: Manifest) -> list[str]:
    """Pure: the containers that ended badly, or were started again and are not ready: their log says why."""
    status = pod.get("status") or {}
    found = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return [
        each["name"]
        for each in found
        if not each["ready"]
        and (each["restartCount"] or ((each.get("state") or {}).get("terminated") or {}).get("exitCode"))
    ]
