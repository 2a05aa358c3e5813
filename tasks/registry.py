"""The Secret with which nodes pull images, where a registry asks for one.

The user makes it in the platform's namespace. The other namespaces get a copy, and pods use it by their service
accounts: those of the chart `base` name it, and so does `default` of each namespace, which no chart can make.
"""

from tasks.errors import PlatformError
from tasks.kubernetes import SECRET, SERVICE_ACCOUNT, Cluster, Manifest
from tasks.platform_lock import PlatformLock
from tasks.secrets import MADE_BY, is_ours

TYPE = "kubernetes.io/dockerconfigjson"
ACCOUNT = "default"
CLEANER = "slipway-registry"
"""The copy that the pool `release` gives to housekeeping (deployments/work-pools/release.kubernetes.json)."""


def give_pull_secret(cluster: Cluster, lock: PlatformLock) -> tuple[str, ...]:
    """Bring copies and accounts to what the lock says; the namespaces that were written to."""
    name, home = lock.registry.pull_secret, lock.namespaces.platform
    given = None if name is None else pull_secret(name, home, cluster.get(SECRET, name, home))
    written = []
    for space in lock.spaces.values():
        wanted = [] if given is None or space == home else [copy_of(given, space)]
        changes = [each for each in wanted if not same_secret(cluster.get(SECRET, str(name), space), each)]
        there = cluster.get(SERVICE_ACCOUNT, ACCOUNT, space)
        if names_of(there) != ([] if name is None else [name]) and (name is not None or is_ours(there)):
            changes.append(account(space, name))
        for change in changes:
            cluster.apply(change)
        if changes:
            written.append(space)
    if give_cleaner(cluster, lock, given):
        written.append(f"{lock.namespaces.serving} ({CLEANER})")
    return tuple(written)


def give_cleaner(cluster: Cluster, lock: PlatformLock, given: Manifest | None) -> bool:
    """Let housekeeping log in to the registry if it is to clean it, and else not; False if that was so."""
    if lock.registry.pull_secret == CLEANER:
        return False  # the copy for the service accounts is the login already
    space, there = lock.namespaces.serving, cluster.get(SECRET, CLEANER, lock.namespaces.serving)
    if given is None or not lock.registry.clean:
        return is_ours(there) and cluster.delete(SECRET, CLEANER, space)
    wanted = copy_of(given, space, CLEANER)
    if same_secret(there, wanted):
        return False
    cluster.apply(wanted)
    return True


def pull_secret(name: str, namespace: str, there: Manifest | None) -> Manifest:
    """Pure: what the user made. Raises PlatformError if it is not there, or of another type."""
    if there is None or there.get("type") != TYPE:
        raise PlatformError(
            f"Secret {name} in {namespace}",
            "is not there" if there is None else f"is of type {there.get('type')}, not {TYPE}",
            f"Make it: `kubectl -n {namespace} create secret docker-registry {name} --docker-server=...`, "
            "or take registry.pull_secret out of infra/platform.yaml.",
        )
    return there


def copy_of(given: Manifest, namespace: str, name: str = "") -> Manifest:
    metadata = {"name": name or given["metadata"]["name"], "namespace": namespace, "labels": MADE_BY}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": TYPE, "data": given["data"]}


def account(namespace: str, secret: str | None) -> Manifest:
    """The service account of pods that name none; without a secret it is as Kubernetes made it."""
    made: Manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": namespace},
    }
    if secret is None:
        return made
    labelled = {**made["metadata"], "labels": MADE_BY}
    return {**made, "metadata": labelled, "imagePullSecrets": [{"name": secret}]}


def same_secret(there: Manifest | None, wanted: Manifest) -> bool:
    return there is not None and there.get("data") == wanted["data"]


def names_of(account: Manifest | None) -> list[str]:
    return [str(each["name"]) for each in (account or {}).get("imagePullSecrets") or []]
