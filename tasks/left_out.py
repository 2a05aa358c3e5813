"""What bootstrap takes away again: components that the lock no longer enables, and namespaces that only they use.

Users' volumes stay, and Secrets that people made, and with them the namespace that they are in.
"""

from dataclasses import dataclass

from tasks import removal
from tasks.helm import Release, releases
from tasks.kubernetes import NAMESPACE, SECRET, VOLUME_CLAIM, Cluster, Manifest
from tasks.platform_lock import PlatformLock
from tasks.removal import Kept
from tasks.secrets import Place, is_ours

MADE_ANEW = ("helm.sh/release.v1", "kubernetes.io/service-account-token")
"""Types of Secrets that Helm and Kubernetes make for themselves."""


@dataclass(frozen=True)
class LeftOut:
    """Helm releases and namespaces that go; volumes and Secrets of people that stay although unused."""

    releases: tuple[Release, ...] = ()
    namespaces: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    secrets: tuple[Place, ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """What went, by name."""
        return (
            *(release.name for release in self.releases),
            *(f"namespace {name}" for name in self.namespaces),
        )

    def lines(self) -> tuple[str, ...]:
        """What would be done."""
        return (
            *(f"Helm release {release.name} in {release.namespace} is to go" for release in self.releases),
            *(f"Namespace {name} is to go" for name in self.namespaces),
        )


def find(cluster: Cluster, lock: PlatformLock) -> LeftOut:
    there = releases(cluster, lock.namespaces.model_dump().values())
    going = tuple(
        there[one.name] for one in reversed(lock.components) if not one.enabled and one.name in there
    )
    every = {
        name
        for name in set(lock.namespaces.model_dump().values()) - set(lock.spaces.values())
        if is_ours(cluster.get(NAMESPACE, name))
    }
    homes = {name: removal.named(cluster.list(VOLUME_CLAIM, namespace=name)) for name in every}
    secrets = [
        Place(name, each["metadata"]["name"])
        for name in every
        for each in cluster.list(SECRET, namespace=name)
        if of_people(each)
    ]
    holding = {name for name in every if homes[name]} | {place.namespace for place in secrets}
    return LeftOut(
        going,
        tuple(sorted(every - holding)),
        tuple(sorted(claim for claims in homes.values() for claim in claims)),
        tuple(sorted(secrets)),
    )


def of_people(secret: Manifest) -> bool:
    """Pure: whether neither bootstrap made the Secret, nor Helm, nor Kubernetes."""
    labels = secret["metadata"].get("labels") or {}
    by_helm = labels.get("app.kubernetes.io/managed-by") == "Helm"
    return not (is_ours(secret) or by_helm or secret.get("type") in MADE_ANEW)


def remove(cluster: Cluster, lock: PlatformLock) -> LeftOut:
    """Take them away, the last component first; what went, and what stays."""
    found = find(cluster, lock)
    removal.uninstall(cluster, found.releases)
    if stay := (*found.homes, *map(str, found.secrets)):
        # Also where nothing was uninstalled: the release may have gone in a run that was killed.
        removal.remove_rest(cluster, lock, Kept(homes=stay))
    for name in found.namespaces:
        cluster.delete(NAMESPACE, name)
    removal.wait_gone(cluster, found.namespaces)
    return found


def said(found: LeftOut, lock: PlatformLock) -> tuple[str, ...]:
    """Pure: what stays, for people."""
    once = "once nobody needs them; the next bootstrap then removes the namespace."
    lines = []
    if found.homes:
        held = ", ".join(found.homes)
        lines.append(
            f"Volumes of notebook users ({held}) stay in {lock.namespaces.notebooks}; notebooks are not enabled. "
            f"Delete them with kubectl {once}"
        )
    if found.secrets:
        held = ", ".join(map(str, found.secrets))
        lines.append(f"What bootstrap did not make stays: {held}. Delete such Secrets with kubectl {once}")
    return tuple(lines)
