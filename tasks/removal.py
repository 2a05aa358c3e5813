"""Taking the platform away again. Models, data and users' volumes stay unless told otherwise, with what they need.

A model goes on answering without the operator: its pods are of Deployments that the SeldonDeployment owns. What a
new pod of it needs stays with it: the account, PriorityClass and network policies that the chart `base` marks to
be kept, and the Secret by which it reads the store. The platform's own store is no longer there: a pod that is
replaced loads its model when the next bootstrap has brought it back.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tasks import helm, old_jobs, pulling
from tasks.errors import PlatformError
from tasks.kubernetes import (
    CONFIG_MAP,
    JOB,
    LEASE,
    NAMESPACE,
    POD,
    PRIORITY_CLASS,
    SECRET,
    SELDON_DEPLOYMENT,
    VOLUME_CLAIM,
    Cluster,
    Kind,
    Manifest,
    client,
    poll,
)
from tasks.lock_parts import Namespaces
from tasks.platform import RECORD
from tasks.platform_lock import PlatformLock
from tasks.pods import priority_class
from tasks.programs import find_program
from tasks.secrets import MODELS, is_ours
from tasks.seldon_core import COMPONENT, remove_definition, remove_webhook
from tasks.usage import USER

PATIENCE = 180.0
"""Seconds that what is deleted may take to go."""
JOB_NAME = "batch.kubernetes.io/job-name"
"""Label of a Job's pods."""


@dataclass(frozen=True)
class Kept:
    """Models that go on answering; claims of the platform's volumes, and of those of the hub's users."""

    models: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()


def connect(lock: PlatformLock) -> Cluster:
    """The cluster, if it answers and helm is there."""
    find_program("helm")
    cluster = client(lock.namespaces.platform)
    cluster.get(NAMESPACE, lock.namespaces.platform)
    return cluster


def remove_models(cluster: Cluster, lock: PlatformLock, delete_models: bool) -> tuple[str, ...]:
    """Delete every SeldonDeployment of the serving namespace while its operator still sees to it; their names."""
    if not delete_models:
        return ()
    space = lock.namespaces.serving
    names = named(cluster.list(SELDON_DEPLOYMENT, namespace=space))
    for name in names:
        cluster.delete(SELDON_DEPLOYMENT, name, space)
    return names


def remove_releases(cluster: Cluster, lock: PlatformLock) -> tuple[str, ...]:
    """Uninstall every chart, the last one first; the names of those that were there."""
    there = helm.releases(cluster, lock.namespaces.model_dump().values())
    names = [one.name for one in reversed(lock.components) if one.name in there]
    uninstall(cluster, [there[name] for name in names])
    if lock.has(COMPONENT):
        remove_webhook(cluster, lock)
    return tuple(names)


def uninstall(cluster: Cluster, releases: Iterable[helm.Release]) -> None:
    """One after the other; one that a killed helm left pending, too."""
    for release in releases:
        if release.pending:
            helm.unlock(cluster, release)
        helm.uninstall(release.name, release.namespace, int(PATIENCE))


def find_kept(cluster: Cluster, lock: PlatformLock, delete_models: bool, delete_data: bool) -> Kept:
    """What is there of what was not asked to go."""
    names = lock.namespaces

    def there(kind: Kind, namespace: str, going: bool) -> tuple[str, ...]:
        return () if going else named(cluster.list(kind, namespace=namespace))

    return Kept(
        there(SELDON_DEPLOYMENT, names.serving, delete_models),
        there(VOLUME_CLAIM, names.platform, delete_data),
        there(VOLUME_CLAIM, names.notebooks, delete_data),
    )


def remove_namespaces(cluster: Cluster, lock: PlatformLock, kept: Kept, delete_data: bool) -> tuple[str, ...]:
    """Delete the namespaces of ours that hold nothing that stays; the names of those that were there."""
    wanted = [
        *pulling.left(cluster, lock.namespaces.platform),
        *doomed(lock.namespaces, kept, delete_data),
    ]
    gone = [
        name for name in wanted if is_ours(cluster.get(NAMESPACE, name)) and cluster.delete(NAMESPACE, name)
    ]
    if not delete_data:
        cluster.delete(CONFIG_MAP, RECORD)
    wait_gone(cluster, gone)
    if not kept.models:
        cluster.delete(PRIORITY_CLASS, priority_class(lock.namespaces.platform, "serving"))
        remove_definition(cluster)
    return tuple(gone)


def doomed(names: Namespaces, kept: Kept, delete_data: bool) -> list[str]:
    """Pure: the namespaces in which nothing is to stay. The passwords to data are in the platform's."""
    holding = {
        names.serving: bool(kept.models),
        names.notebooks: bool(kept.homes),
        names.platform: not delete_data,
    }
    return [name for name in names.model_dump().values() if not holding.get(name)]


def remove_rest(cluster: Cluster, lock: PlatformLock, kept: Kept) -> None:
    """Delete what no chart made, and what stays does not need, beside kept models and users' volumes."""
    names = lock.namespaces
    needed = {names.serving: {MODELS, lock.registry.pull_secret}} if kept.models else {}
    needed |= {names.notebooks: set()} if kept.homes else {}
    for space, secrets in needed.items():
        wait_ended(cluster, space, [])  # an operator that still ends would make its Lease again
        jobs: list[str] = []
        for kind, goes in NOT_NEEDED.items():
            for each in cluster.list(kind, namespace=space):
                name = each["metadata"]["name"]
                if goes(each) and not (kind == SECRET and name in secrets):
                    cluster.delete(kind, name, space)
                    jobs += [name] if kind == JOB else []
        wait_ended(cluster, space, jobs)


NOT_NEEDED: dict[Kind, Callable[[Manifest], bool]] = {
    JOB: old_jobs.is_ours,
    POD: lambda pod: USER in (pod["metadata"].get("labels") or {}),
    SECRET: is_ours,
    LEASE: lambda _: True,
}
"""In a namespace that stays: flow runs, users' servers, identities, the operator's certificate, who leads it."""


def wait_gone(cluster: Cluster, namespaces: Iterable[str]) -> None:
    for name in namespaces:
        if poll(lambda name=name: True if cluster.get(NAMESPACE, name) is None else None, PATIENCE) is None:  # type: ignore[misc]
            pods = ", ".join(named(cluster.list(POD, namespace=name)))
            raise PlatformError(
                f"namespace {name}",
                f"is still there after {PATIENCE:.0f} s ({f'with pods {pods}' if pods else 'no pods are left'})",
                f"See `kubectl get namespace {name} -o yaml`, then run `slipway teardown` again.",
            )


def wait_ended(cluster: Cluster, namespace: str, jobs: list[str]) -> None:
    """Return when no pod there is going away, nor one of these Jobs is left."""

    def left() -> tuple[str, ...]:
        return named(pod for pod in cluster.list(POD, namespace=namespace) if ending(pod, jobs))

    if poll(lambda: None if left() else True, PATIENCE) is None:
        raise PlatformError(
            f"pods {', '.join(left())} in {namespace}",
            f"are still there after {PATIENCE:.0f} s",
            f"See `kubectl -n {namespace} get pods`, then run the same command again.",
        )


def ending(pod: Manifest, jobs: Iterable[str]) -> bool:
    """Pure: whether the pod goes away, or is to, with one of these Jobs."""
    metadata = pod["metadata"]
    return "deletionTimestamp" in metadata or (metadata.get("labels") or {}).get(JOB_NAME) in set(jobs)


def named(found: Iterable[Manifest]) -> tuple[str, ...]:
    return tuple(sorted(each["metadata"]["name"] for each in found))


def said(kept: Kept, lock: PlatformLock, delete_data: bool) -> tuple[str, ...]:
    """Pure: what was kept, for people, and how to delete it."""
    names, lines = lock.namespaces, []
    if kept.models:
        how = ""
        if not lock.store.external:
            files = "was deleted" if delete_data else "comes back with the next bootstrap"
            how = f" until their pods are replaced: what they are loaded from {files}"
        lines.append(
            f"Models {', '.join(kept.models)} go on answering in {names.serving}{how}; "
            "`slipway teardown --delete-models` removes them."
        )
    if kept.volumes:
        lines.append(
            f"Volumes {', '.join(kept.volumes)} and the passwords to them stay in {names.platform}; "
            "`slipway teardown --delete-data` removes them."
        )
    if kept.homes:
        lines.append(
            f"Volumes of notebook users ({', '.join(kept.homes)}) stay in {names.notebooks}; "
            "`slipway teardown --delete-data` removes them."
        )
    if lines:
        lines.append("`slipway bootstrap` takes over what was kept.")
    return tuple(lines)
