"""What must be there before bootstrap writes anything: the first thing that is missing is named."""

import json
import re
import subprocess

from tasks import drift, helm, registry, room, secrets
from tasks.components import Rendered
from tasks.conflicts import check_conflicts
from tasks.door_checks import check_doors
from tasks.errors import PlatformError
from tasks.kubernetes import CRD, NODE, POD, SECRET, STORAGE_CLASS, Cluster, Manifest, client
from tasks.platform_lock import PlatformLock, require_digests
from tasks.programs import find_program
from tasks.rights import check_rights
from tasks.seldon_core import COMPONENT, DEFINITION, check_definition
from tasks.serving.seldon_routes import NAME, check_gateway, find_routes, gateway_made

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def preflight(lock: PlatformLock) -> Cluster:
    """The cluster, if all that bootstrap needs is there. Raises PlatformError naming what is not."""
    require_digests(lock)
    for program in ("helm", "kubectl"):
        find_program(program)
    check_version(lock, server_version())
    cluster = client(lock.namespaces.platform)
    check_storage(lock, cluster.list(STORAGE_CLASS))
    if lock.has(COMPONENT):
        check_definition(lock, cluster.get(CRD, DEFINITION))
    routes = find_routes(cluster)
    check_doors(cluster, lock, routes)
    gateway = gateway_made(lock, routes)
    if gateway:
        check_gateway(lock, cluster.get(gateway, NAME, lock.namespaces.serving))
    secrets.wanted(
        lock, secrets.read(cluster, secrets.places(lock)), secrets.token
    )  # raises if one is missing
    if lock.registry.pull_secret:
        name = lock.registry.pull_secret
        registry.pull_secret(name, cluster.namespace, cluster.get(SECRET, name))
    return cluster


def check_fit(cluster: Cluster, lock: PlatformLock, rendered: Rendered) -> bool:
    """Raise PlatformError if what the charts say cannot come to be here; whether any of them would change.

    What the account may not do, what is in the way, and pods that no node has room for.
    """
    charts = rendered.charts.values()
    check_rights(lock, [drift.as_helm(chart, each) for chart in charts for each in chart.objects])
    releases = helm.releases(cluster, lock.namespaces.model_dump().values())
    actions = {chart.name: helm.action(releases.get(chart.name), chart) for chart in charts}
    new = [chart for chart in charts if actions[chart.name] == "install"]
    if new:
        check_conflicts(new)
        pods = cluster.list(POD, namespace="*")
        wanted = room.wanted_by(each for chart in new for each in chart.objects)
        room.check_room(wanted, room.free_on(cluster.list(NODE), pods))
    return any(action != "nothing" for action in actions.values())


def server_version() -> str:
    """Of the API server, such as `1.34.4`."""
    done = subprocess.run(
        [find_program("kubectl"), "version", "--output=json"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PlatformError(
            "Kubernetes",
            f"does not answer ({' '.join(done.stderr.split())[-300:]})",
            "Set KUBECONFIG to a kubeconfig that `kubectl get nodes` works with.",
        )
    return str(json.loads(done.stdout)["serverVersion"]["gitVersion"]).removeprefix("v")


def check_version(lock: PlatformLock, version: str) -> None:
    """Pure: it is one of those that the lock says will do."""
    found, least, most = (minor(each) for each in (version, lock.kubernetes.least, lock.kubernetes.most))
    if not least <= found <= most:
        raise PlatformError(
            f"Kubernetes {version}",
            f"is not in the range {lock.kubernetes.least} to {lock.kubernetes.most} of infra/platform.yaml",
            "Upgrade the cluster."
            if found < least
            else "Upgrade Slipway; or widen the range, and see what works.",
        )


def minor(version: str) -> tuple[int, int]:
    """Pure: `1.34.4-gke.1` is (1, 34)."""
    first, second, *_ = version.split(".")
    return int(first), int(re.sub(r"[^0-9].*", "", second))


def check_storage(lock: PlatformLock, classes: list[Manifest]) -> None:
    """Pure: volumes can be claimed, if a component needs one."""
    needed = [name for name in ("postgres", "object-store") if lock.installs(name)]
    if needed and not any(is_default(each) for each in classes):
        names = ", ".join(each["metadata"]["name"] for each in classes)
        raise PlatformError(
            "StorageClass",
            f"none is the default one ({f'there are {names}' if names else 'there is none'}); "
            f"{' and '.join(needed)} need volumes",
            f"Annotate one with {DEFAULT_CLASS}: 'true', or say in infra/platform.yaml that these are external.",
        )


def is_default(storage_class: Manifest) -> bool:
    return (storage_class["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"
