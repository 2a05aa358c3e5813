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
        scheduled = condition(pod, "PodScheduled")
        if scheduled is not None and scheduled["status"] == "False":
            said.append(f"{pod['metadata']['name']}: {scheduled.get('message', '')}")
        for container in statuses(pod):
            state = container.get("state") or {}
            about = state.get("waiting") or state.get("terminated")
            if about and about.get("reason") not in ON_THE_WAY:
                words = f"{about.get('reason', '')} {about.get('message', '')}".strip()
                said.append(f"{pod['metadata']['name']}/{container['name']}: {words}")
    return "; ".join(said)


def runs(pod: Manifest) -> bool:
    """Pure: whether one of the pod's containers is at work."""
    return any("running" in (each.get("state") or {}) for each in statuses(pod))


def statuses(pod: Manifest) -> list[Manifest]:
    """Pure: of all containers, those that prepare first."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def condition(resource: Manifest, kind: str) -> Manifest | None:
    """Pure: what its status says about `kind`, such as Ready; of a pod, a node, or whatever has conditions."""
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), None)


def ready(resource: Manifest) -> bool:
    """Pure: whether the pod, or node, says that it is."""
    return (condition(resource, "Ready") or {}).get("status") == "True"


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
    return [
        each["name"]
        for each in statuses(pod)
        if not each["ready"]
        and (each["restartCount"] or ((each.get("state") or {}).get("terminated") or {}).get("exitCode"))
    ]
