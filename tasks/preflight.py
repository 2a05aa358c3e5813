"""What must be there before bootstrap writes anything: the first thing that is missing is named."""

from dataclasses import dataclass
from typing import Any

from tasks.errors import PlatformError
from tasks.kubernetes import CRD, STORAGE_CLASS, Cluster, Manifest, client
from tasks.platform_lock import PlatformLock, require_digests
from tasks.programs import find_program
from tasks.seldon_core import COMPONENT, DEFINITION, check_definition
from tasks.serving.seldon_routes import NAME, check_gateway, find_routes, gateway_made

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
NEEDED = (
    ("create", "", "namespaces"),
    ("create", "", "secrets"),
    ("create", "", "serviceaccounts"),
    ("create", "apps", "deployments"),
    ("create", "apps", "statefulsets"),
    ("create", "batch", "jobs"),
    ("create", "rbac.authorization.k8s.io", "roles"),
    ("create", "networking.k8s.io", "networkpolicies"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("create", "admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("create", "coordination.k8s.io", "leases"),
    ("create", "scheduling.k8s.io", "priorityclasses"),
)
"""Verb, API group and resource that bootstrap cannot do without, in every namespace of the platform."""
NEEDED_FOR_SELDON = (
    ("patch", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("create", "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
)
OF_THE_CLUSTER = (
    "namespaces",
    "clusterroles",
    "priorityclasses",
    "validatingadmissionpolicies",
    "customresourcedefinitions",
    "validatingwebhookconfigurations",
)


@dataclass(frozen=True)
class Allowed:
    """The API's answer to one question about this account's rights."""

    verb: str
    resource: str
    namespace: str
    allowed: bool


def preflight(lock: PlatformLock) -> Cluster:
    """The cluster, if all that bootstrap needs is there. Raises PlatformError naming what is not."""
    require_digests(lock)
    for program in ("helm", "kubectl"):
        find_program(program)
    cluster = client(lock.namespaces.platform)
    classes = cluster.list(STORAGE_CLASS)
    check_rights(lock)
    check_storage(lock, classes)
    check_definition(lock, cluster.get(CRD, DEFINITION))
    gateway = gateway_made(lock, find_routes(cluster))
    if gateway:
        check_gateway(lock, cluster.get(gateway, NAME, lock.namespaces.serving))
    return cluster


def check_storage(lock: PlatformLock, classes: list[Manifest]) -> None:
    """Pure: volumes can be claimed, if a component needs one."""
    needed = [name for name in ("postgres", "object-store") if not lock.external(lock.component(name))]
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


def check_rights(lock: PlatformLock) -> None:
    """Ask the API whether this account may do what bootstrap does."""
    refused = [one for one in ask_rights(lock) if not one.allowed]
    if refused:
        said = "; ".join(f"{one.verb} {one.resource} in {one.namespace or 'the cluster'}" for one in refused)
        raise PlatformError(
            "this account", f"may not {said}", "Use one that may, or have these rights granted to it."
        )


def ask_rights(lock: PlatformLock) -> list[Allowed]:
    from concurrent.futures import ThreadPoolExecutor

    questions = [
        (verb, group, resource, namespace)
        for verb, group, resource in (*NEEDED, *(NEEDED_FOR_SELDON if lock.installs(COMPONENT) else ()))
        for namespace in (("",) if resource in OF_THE_CLUSTER else lock.namespaces.model_dump().values())
    ]
    api = api_client()
    with ThreadPoolExecutor(4) as beside:
        return list(beside.map(lambda question: _ask(api, *question), questions))


def _ask(api: Any, verb: str, group: str, resource: str, namespace: str) -> Allowed:
    from lightkube.models.authorization_v1 import ResourceAttributes, SelfSubjectAccessReviewSpec
    from lightkube.resources.authorization_v1 import SelfSubjectAccessReview

    wanted = ResourceAttributes(verb=verb, group=group, resource=resource, namespace=namespace)
    review = SelfSubjectAccessReview(spec=SelfSubjectAccessReviewSpec(resourceAttributes=wanted))
    answer = api.create(review)
    return Allowed(verb, resource, namespace, bool(answer.status and answer.status.allowed))


def api_client() -> Any:
    """The API itself, for questions that write nothing: rights, and dry runs."""
    import httpx2
    from lightkube import Client

    return Client(field_manager="slipway", timeout=httpx2.Timeout(30.0))
