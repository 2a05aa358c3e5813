"""Taking the platform away again. Data volumes, and the passwords to them, stay unless asked otherwise."""

from collections.abc import Iterable

from tasks import helm, pulling
from tasks.errors import PlatformError
from tasks.kubernetes import (
    CONFIG_MAP,
    NAMESPACE,
    POD,
    SELDON_DEPLOYMENT,
    VOLUME_CLAIM,
    Cluster,
    client,
    poll,
)
from tasks.platform import RECORD
from tasks.platform_lock import PlatformLock
from tasks.programs import find_program
from tasks.secrets import is_ours
from tasks.seldon_core import remove_definition

PATIENCE = 180.0
"""Seconds that what is deleted may take to go."""


def connect(lock: PlatformLock) -> Cluster:
    """The cluster, if it answers and helm is there."""
    find_program("helm")
    cluster = client(lock.namespaces.platform)
    cluster.get(NAMESPACE, lock.namespaces.platform)
    return cluster


def remove_models(cluster: Cluster, lock: PlatformLock) -> tuple[str, ...]:
    """Delete every SeldonDeployment of the serving namespace while its operator still sees to it; their names."""
    space = lock.namespaces.serving
    names = tuple(each["metadata"]["name"] for each in cluster.list(SELDON_DEPLOYMENT, namespace=space))
    for name in names:
        cluster.delete(SELDON_DEPLOYMENT, name, space)
    return names


def remove_releases(cluster: Cluster, lock: PlatformLock) -> tuple[str, ...]:
    """Uninstall every chart, the last one first; the names of those that were there."""
    there = helm.releases(cluster, lock.namespaces.model_dump().values())
    names = [one.name for one in reversed(lock.components) if one.name in there]
    for name in names:
        if there[name].pending:
            helm.unlock(cluster, there[name])
        helm.uninstall(name, there[name].namespace, int(PATIENCE))
    return tuple(names)


def remove_namespaces(cluster: Cluster, lock: PlatformLock, delete_data: bool) -> tuple[str, ...]:
    """Delete the namespaces of ours that hold no data, or all of them; the names of those that were there."""
    names = lock.namespaces
    used = cluster.list(VOLUME_CLAIM, namespace=names.notebooks)
    doomed = [names.serving, names.training, names.executors, *([] if used else [names.notebooks])]
    if delete_data:
        doomed = list(names.model_dump().values())
    doomed = [*pulling.left(cluster, names.platform), *doomed]
    gone = [
        name for name in doomed if is_ours(cluster.get(NAMESPACE, name)) and cluster.delete(NAMESPACE, name)
    ]
    if not delete_data:
        cluster.delete(CONFIG_MAP, RECORD)
    wait_gone(cluster, gone)
    if delete_data:
        remove_definition(cluster)
    return tuple(gone)


def wait_gone(cluster: Cluster, namespaces: Iterable[str]) -> None:
    for name in namespaces:
        if poll(lambda name=name: True if cluster.get(NAMESPACE, name) is None else None, PATIENCE) is None:  # type: ignore[misc]
            pods = ", ".join(each["metadata"]["name"] for each in cluster.list(POD, namespace=name))
            raise PlatformError(
                f"namespace {name}",
                f"is still there after {PATIENCE:.0f} s ({f'with pods {pods}' if pods else 'no pods are left'})",
                f"See `kubectl get namespace {name} -o yaml`, then run `slipway teardown` again.",
            )


def volumes(cluster: Cluster) -> tuple[str, ...]:
    """Names of the volume claims that are left."""
    return tuple(sorted(each["metadata"]["name"] for each in cluster.list(VOLUME_CLAIM)))
