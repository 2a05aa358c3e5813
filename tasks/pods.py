"""What is wrong with pods, in the words of the kubelet and the scheduler."""

from collections.abc import Callable

from tasks.kubernetes import POD, Cluster, Manifest

ON_THE_WAY = ("PodInitializing", "ContainerCreating", "Completed")


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


def watch(cluster: Cluster, release: str) -> Callable[[], str]:
    """What is wrong with the pods of a release, now; with the log of one that crashes."""

    def look() -> str:
        pods = cluster.list(POD, {"app.kubernetes.io/instance": release})
        said = trouble(pods)
        for pod in pods:
            for container in (pod.get("status") or {}).get("containerStatuses") or ():
                if not container["ready"] and container["restartCount"]:
                    said += f"\n{cluster.logs(pod['metadata']['name'], container['name'], lines=15)}"
        return said

    return look
