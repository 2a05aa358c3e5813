"""What must be in the cluster for the doors of the lock: certificates, classes, the Gateway API."""

from tasks.doors import Door
from tasks.errors import PlatformError
from tasks.kubernetes import CRD, GATEWAY_CLASS, INGRESS_CLASS, SECRET, Cluster, Kind, Manifest
from tasks.platform_lock import PlatformLock
from tasks.serving.seldon_routes import Routes

TYPE = "kubernetes.io/tls"
OF_THE_API = "httproutes.gateway.networking.k8s.io"
VERSION = "v1"


def check_doors(cluster: Cluster, lock: PlatformLock, routes: Routes) -> None:
    """Raise PlatformError naming the first thing that a host of the lock asks for and that is not there."""
    for name, (door, space) in wanted(lock, routes).items():
        key = f"reach.{name}"
        if door.gateway_class:
            check_api(f"{key}.gateway_class", door.gateway_class, cluster.get(CRD, OF_THE_API))
        for kind, named in ((GATEWAY_CLASS, door.gateway_class), (INGRESS_CLASS, door.ingress_class)):
            if named:
                check_class(key, kind, named, cluster.list(kind))
        if door.tls and (door.gateway_class or door.ingress_class):
            check_certificate(key, door.tls, space, cluster.get(SECRET, door.tls, space))


def wanted(lock: PlatformLock, routes: Routes) -> dict[str, tuple[Door, str]]:
    """Pure: by part of `reach`, a door and the namespace of its objects.

    With Istio the models' certificate lies where its ingress gateway does, which the lock does not name.
    """
    spaces = {"hub": lock.namespaces.notebooks}
    found: dict[str, tuple[Door, str]] = {
        name: (door, spaces.get(name, lock.namespaces.platform)) for name, door in lock.reach.pages.items()
    }
    if routes != "istio":
        found["models"] = (lock.reach.models, lock.namespaces.serving)
    return found


def check_api(key: str, named: str, definition: Manifest | None) -> None:
    """Pure: the cluster has the Gateway API at the version that is written."""
    served = [each["name"] for each in definition["spec"]["versions"] if each["served"]] if definition else []
    if VERSION not in served:
        seen = f"it has {', '.join(served)}" if served else "there are no HTTPRoutes"
        raise PlatformError(
            f"Gateway API {VERSION}",
            f"is not in the cluster ({seen}), and {key} names {named}",
            "Install its custom resources and a controller for them, or take that out of infra/platform.yaml.",
        )


def check_class(key: str, kind: Kind, named: str, there: list[Manifest]) -> None:
    """Pure: there is a class of the name, which says who makes traffic come."""
    names = sorted(str(each["metadata"]["name"]) for each in there)
    if named not in names:
        seen = f"there are {', '.join(names)}" if names else "there is none"
        field = "ingress_class" if kind == INGRESS_CLASS else "gateway_class"
        raise PlatformError(
            f"{kind.name} {named}",
            f"is not there ({seen}), and {key}.{field} names it",
            "Install the controller that it stands for, or name one that is there in infra/platform.yaml.",
        )


def check_certificate(key: str, secret: str, space: str, there: Manifest | None) -> None:
    """Pure: the Secret is one with a certificate."""
    found = None if there is None else str(there.get("type"))
    if found != TYPE:
        seen = "not there" if found is None else f"of type {found}, not {TYPE}"
        raise PlatformError(
            f"Secret {secret} in {space}",
            f"is {seen}, and {key}.tls names it",
            f"Make it: `kubectl -n {space} create secret tls {secret} --cert=... --key=...` (and before that, "
            f"if need be, `kubectl create namespace {space}`), or take {key}.tls out of infra/platform.yaml.",
        )
