"""The platform's servers stopped and started around a restore: nobody writes while the databases are replaced."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import get_args

from tasks import locks
from tasks.errors import PlatformError
from tasks.kubernetes import DEPLOYMENT, POD, STATEFUL_SET, Cluster, Kind, Manifest, poll
from tasks.pods import trouble
from tasks.prefect_api import ask

NAME = "app.kubernetes.io/name"
SERVERS = ("mlflow", "prefect", "worker")
"""What writes to the databases."""
DATA = ("postgres", "object-store")
"""What reads its passwords when it starts."""
PATIENCE = 600.0


@dataclass(frozen=True)
class Scaled:
    kind: Kind
    name: str
    replicas: int


def servers(found: list[tuple[Kind, Manifest]]) -> tuple[Scaled, ...]:
    """Pure: what must stop. What a killed restore left stopped starts again with one pod, as charts have it."""
    return tuple(
        Scaled(kind, each["metadata"]["name"], each["spec"].get("replicas") or 1)
        for kind, each in found
        if (each["metadata"].get("labels") or {}).get(NAME) in SERVERS
    )


def stop(cluster: Cluster) -> tuple[Scaled, ...]:
    """Stop the servers and wait until their pods are gone."""
    stopped = servers([(kind, each) for kind in (STATEFUL_SET, DEPLOYMENT) for each in cluster.list(kind)])
    for one in stopped:
        cluster.merge(one.kind, one.name, {"spec": {"replicas": 0}})
    for name in SERVERS:
        _wait(cluster, name, lambda pods: not pods, "are still there")
    return stopped


def start(cluster: Cluster, stopped: tuple[Scaled, ...]) -> None:
    """Start them again, and wait until they are ready."""
    for one in stopped:
        cluster.merge(one.kind, one.name, {"spec": {"replicas": one.replicas}})
    for name in SERVERS:
        _wait(cluster, name, lambda pods: bool(pods) and all(map(ready, pods)), "are not ready")


def restart_data(cluster: Cluster) -> None:
    """Let the database and the store read their passwords anew; nothing to do where they are the user's own."""
    for name in DATA:
        old = {pod["metadata"]["uid"] for pod in cluster.list(POD, {NAME: name})}
        for pod in cluster.list(POD, {NAME: name}):
            cluster.delete(POD, pod["metadata"]["name"])
        if old:
            _wait(cluster, name, partial(renewed, old), "are not ready")


def renewed(old: set[str], pods: list[Manifest]) -> bool:
    """Pure: none of the `old` is left, and those that came instead are ready."""
    return bool(pods) and all(ready(pod) and pod["metadata"]["uid"] not in old for pod in pods)


def free_locks(api: str) -> None:
    """Forget who held a lock when the backup was made: no lease of theirs ends any more, so nothing else would."""
    for limit in ask("POST", f"{api}/v2/concurrency_limits/filter", {}).raise_for_status().json():
        if limit["name"].partition("-")[0] in get_args(locks.Kind):
            ask("DELETE", f"{api}/v2/concurrency_limits/{limit['id']}").raise_for_status()


def ready(pod: Manifest) -> bool:
    """Pure."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _wait(cluster: Cluster, name: str, settled: Callable[[list[Manifest]], bool], observed: str) -> None:
    if poll(lambda: True if settled(cluster.list(POD, {NAME: name})) else None, PATIENCE, 2.0) is None:
        pods = cluster.list(POD, {NAME: name})
        raise PlatformError(
            f"pods of {name}",
            f"{observed} after {PATIENCE:.0f} s ({trouble(pods) or 'they do not say why'})",
            "Correct this, and run the same command again: it begins anew.",
        )
