"""What bootstrap takes away again: components that the lock no longer enables, and namespaces that only they use.

Users' volumes stay, and with them the namespace that they are in.
"""

from dataclasses import dataclass

from tasks import removal
from tasks.helm import Release, releases
from tasks.kubernetes import NAMESPACE, VOLUME_CLAIM, Cluster
from tasks.platform_lock import PlatformLock
from tasks.removal import Kept
from tasks.secrets import is_ours


@dataclass(frozen=True)
class LeftOut:
    """Helm releases and namespaces that go; volumes of users that stay although nobody can use them."""

    releases: tuple[Release, ...] = ()
    namespaces: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()

    @property
    def components(self) -> tuple[str, ...]:
        return tuple(release.name for release in self.releases)

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
    held = tuple(sorted(claim for claims in homes.values() for claim in claims))
    return LeftOut(going, tuple(sorted(name for name in every if not homes[name])), held)


def remove(cluster: Cluster, lock: PlatformLock) -> LeftOut:
    """Take them away, the last component first; what went, and what stays."""
    found = find(cluster, lock)
    removal.uninstall(cluster, found.releases)
    if found.releases and found.homes:
        removal.remove_rest(cluster, lock, Kept(homes=found.homes))
    for name in found.namespaces:
        cluster.delete(NAMESPACE, name)
    removal.wait_gone(cluster, found.namespaces)
    return found


def said(found: LeftOut, lock: PlatformLock) -> tuple[str, ...]:
    """Pure: what stays, for people."""
    if not found.homes:
        return ()
    held = ", ".join(found.homes)
    return (
        f"Volumes of notebook users ({held}) stay in {lock.namespaces.notebooks}; notebooks are not enabled. "
        "Delete them with kubectl once nobody needs them; the next bootstrap then removes the namespace.",
    )
