"""The platform's servers stopped and started around a restore: nobody writes while the databases are replaced."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, get_args

from tasks import databases, locks, old_jobs, platform, removal
from tasks.errors import PlatformError
from tasks.kubernetes import DEPLOYMENT, JOB, POD, STATEFUL_SET, Cluster, Kind, Manifest, poll
from tasks.platform_lock import PlatformLock
from tasks.pods import ready, trouble
from tasks.prefect_api import PAGE, ask, every

NAME = "app.kubernetes.io/name"
SERVERS = ("mlflow", "prefect")
"""What writes to the databases, and what makes it write."""
CLIENTS = ("worker", "trigger")
DATA = ("postgres", "object-store")
"""What reads its passwords when it starts."""
HUB = {"app.kubernetes.io/component": "hub"}
"""JupyterHub's own pod, in the namespace of notebooks."""
PATIENCE = 600.0
UNDER_WAY = ("RUNNING", "PENDING", "CANCELLING")


@dataclass(frozen=True)
class Scaled:
    kind: Kind
    name: str
    replicas: int
    part: str
    """What its pods are called by `NAME`."""


@dataclass(frozen=True)
class Stopped:
    servers: tuple[Scaled, ...]
    hub: bool
    """Whether there is one, which is stopped too: its chart was told the old passwords."""


def servers(found: list[tuple[Kind, Manifest]]) -> tuple[Scaled, ...]:
    """Pure: what must stop. What a killed restore left stopped starts again with one pod, as charts have it."""
    return tuple(
        Scaled(kind, each["metadata"]["name"], each["spec"].get("replicas") or 1, part)
        for kind, each in found
        if (part := (each["metadata"].get("labels") or {}).get(NAME)) in (*SERVERS, *CLIENTS)
    )


@contextmanager
def standstill(cluster: Cluster, lock: PlatformLock, say: Callable[[str], None]) -> Iterator[Stopped]:
    """Everything is stopped in the block, which starts it again; if it fails, what was not started stays so.

    The platform's record says meanwhile that it is half of a backup.
    """
    stopped = stop(cluster, lock)
    platform.mark_restoring(cluster, _now())
    try:
        yield stopped
        platform.mark_restoring(cluster, None)
    except BaseException:
        say(
            "what was not started yet stays stopped: half of a backup is not served. "
            "Run `slipway restore` again: it begins anew"
        )
        raise


def stop(cluster: Cluster, lock: PlatformLock) -> Stopped:
    """Stop the servers, end flow runs, and wait until the pods of both are gone."""
    databases.end_jobs(cluster)
    found = servers([(kind, each) for kind in (STATEFUL_SET, DEPLOYMENT) for each in cluster.list(kind)])
    for one in found:
        cluster.merge(one.kind, one.name, {"spec": {"replicas": 0}})
    notebooks = lock.namespaces.notebooks
    hubs = cluster.list(DEPLOYMENT, HUB, notebooks)
    for hub in hubs:
        cluster.merge(DEPLOYMENT, hub["metadata"]["name"], {"spec": {"replicas": 0}}, notebooks)
    for name in CLIENTS:
        _wait(cluster, {NAME: name}, gone, "are still there")
    end_flow_runs(cluster, lock)
    for name in SERVERS:
        _wait(cluster, {NAME: name}, gone, "are still there")
    if hubs:
        _wait(cluster, HUB, gone, "are still there", notebooks)
    return Stopped(found, bool(hubs))


def end_flow_runs(cluster: Cluster, lock: PlatformLock) -> None:
    """A retrain or release that went on would write into the restored registry, and move traffic."""
    for space in (lock.namespaces.training, lock.namespaces.serving):
        jobs = list(removal.named(filter(old_jobs.is_ours, cluster.list(JOB, namespace=space))))
        for name in jobs:
            cluster.delete(JOB, name, space)
        if jobs:
            removal.wait_ended(cluster, space, jobs)


def start(cluster: Cluster, stopped: Stopped, parts: tuple[str, ...]) -> None:
    """Start those of `parts` again, and wait until they are ready."""
    wanted = [one for one in stopped.servers if one.part in parts]
    for one in wanted:
        cluster.merge(one.kind, one.name, {"spec": {"replicas": one.replicas}})
    for part in parts:
        pods = sum(one.replicas for one in wanted if one.part == part)
        _wait(cluster, {NAME: part}, partial(all_ready, pods), "are not ready")


def restart_data(cluster: Cluster) -> None:
    """Let the database and the store read their passwords anew; nothing to do where they are the user's own."""
    for name in DATA:
        old = {pod["metadata"]["uid"] for pod in cluster.list(POD, {NAME: name})}
        for pod in cluster.list(POD, {NAME: name}):
            cluster.delete(POD, pod["metadata"]["name"])
        if old:
            _wait(cluster, {NAME: name}, partial(renewed, old), "are not ready")


def at_work(pods: list[Manifest]) -> list[Manifest]:
    """Pure: without those that ended, as an evicted pod has: they stay until somebody deletes them."""
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")]


def gone(pods: list[Manifest]) -> bool:
    """Pure."""
    return not at_work(pods)


def all_ready(count: int, pods: list[Manifest]) -> bool:
    """Pure: as many as there must be, each of them ready."""
    return len(at_work(pods)) == count and all(map(ready, at_work(pods)))


def renewed(old: set[str], pods: list[Manifest]) -> bool:
    """Pure: none of the `old` is left, and those that came instead are ready."""
    there = at_work(pods)
    return bool(there) and all(ready(pod) and pod["metadata"]["uid"] not in old for pod in there)


def free_locks(api: str) -> None:
    """Forget who held a lock when the backup was made: no lease of theirs ends any more, so nothing else would."""
    for limit in every(f"{api}/v2/concurrency_limits/filter"):
        if limit["name"].partition("-")[0] in get_args(locks.Kind):
            ask("DELETE", f"{api}/v2/concurrency_limits/{limit['id']}").raise_for_status()


def end_runs(api: str) -> int:
    """End the runs of the backup that cannot go on, or whose time has passed since; how many.

    No pod of theirs is there any more, and what was to start in the meantime would now start all at once.
    """
    late = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": _now()}}
    return _end(api, {"state": {"type": {"any_": list(UNDER_WAY)}}}, "CRASHED", "Crashed") + _end(
        api, late, "CANCELLED", "Cancelled"
    )


def _end(api: str, which: dict[str, Any], kind: str, name: str) -> int:
    state = {"type": kind, "name": name, "message": "the platform was restored from a backup"}
    count = 0
    while True:
        asked = {"flow_runs": which, "limit": PAGE}
        page = ask("POST", f"{api}/flow_runs/filter", asked).raise_for_status().json()
        for run in page:
            body = {"state": state, "force": True}
            ask("POST", f"{api}/flow_runs/{run['id']}/set_state", body).raise_for_status()
        count += len(page)
        if len(page) < PAGE:
            return count


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _wait(
    cluster: Cluster,
    labels: dict[str, str],
    settled: Callable[[list[Manifest]], bool],
    observed: str,
    namespace: str | None = None,
) -> None:
    def look() -> bool | None:
        return True if settled(cluster.list(POD, labels, namespace)) else None

    if poll(look, PATIENCE, 2.0) is None:
        (name,) = labels.values()
        raise PlatformError(
            f"pods of {name}",
            f"{observed} after {PATIENCE:.0f} s"
            f" ({trouble(cluster.list(POD, labels, namespace)) or 'they do not say why'})",
            "Correct this, and run the same command again: it begins anew.",
        )
