"""What the account of the kubeconfig must be allowed, asked of the API before anything is written."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tasks.drift import OF_THE_CLUSTER, plural
from tasks.errors import PlatformError
from tasks.kubernetes import Manifest, api_client, often
from tasks.platform_lock import PlatformLock

WRITES = ("get", "create", "patch", "delete")
"""What is done to every object of a chart, by Helm or by ourselves."""
OURS = (
    ("", "secrets", (*WRITES, "list")),
    ("", "configmaps", WRITES),
    ("batch", "jobs", WRITES),
    ("coordination.k8s.io", "leases", WRITES),
    ("", "pods", ("get", "list")),
    ("", "persistentvolumeclaims", ("list",)),
    ("", "pods/log", ("get",)),
    ("", "pods/portforward", ("create",)),
)
"""Group, resource and verbs in each namespace beside the charts' objects: Helm's revisions, the record, checks."""
OF_LEFT_OUT = (
    ("batch", "jobs", ("list",)),
    ("coordination.k8s.io", "leases", ("list",)),
    ("", "pods", ("delete",)),
)
"""Beside these in a namespace that the lock no longer has: what is in it goes, though users' volumes keep it."""
OF_NO_NAMESPACE = (
    ("", "namespaces", WRITES),
    ("", "nodes", ("list",)),
    ("storage.k8s.io", "storageclasses", ("list",)),
    ("apiextensions.k8s.io", "customresourcedefinitions", ("get",)),
)
FOR_SELDON = (
    ("apiextensions.k8s.io", "customresourcedefinitions", WRITES),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", WRITES),
)
AT_ONCE = 8


@dataclass(frozen=True, order=True)
class Right:
    """One question: may this account do that? `namespace` empty: in the whole cluster."""

    namespace: str
    resource: str
    verb: str
    group: str = ""


ALL = Right("", "*", "*", "*")


def check_rights(lock: PlatformLock, objects: Iterable[Manifest]) -> None:
    """Raise PlatformError naming what this account may not do. `objects`: of all charts, with their namespaces."""
    api = api_client()
    if allowed(api, ALL):
        return
    wanted = sorted(needed(lock, objects))
    with ThreadPoolExecutor(AT_ONCE) as beside:
        answers = list(beside.map(lambda right: allowed(api, right), wanted))
    refused = [right for right, granted in zip(wanted, answers, strict=True) if not granted]
    if refused:
        raise PlatformError(
            "this account",
            f"may not {said(refused)}",
            "Use one that may (cluster-admin does), or have these rights granted to it.",
        )


def needed(lock: PlatformLock, objects: Iterable[Manifest]) -> set[Right]:
    """Pure: every right that bootstrap cannot do without."""
    spaces = lock.namespaces.model_dump().values()
    going = set(spaces) - set(lock.spaces.values())
    wanted = {
        Right(space, resource, verb, group)
        for which, rules in ((spaces, OURS), (going, OF_LEFT_OUT))
        for group, resource, verbs in rules
        for verb in verbs
        for space in which
    }
    seldon = FOR_SELDON if lock.installs("seldon-core") else ()
    for group, resource, verbs in (*OF_NO_NAMESPACE, *seldon):
        wanted |= {Right("", resource, verb, group) for verb in verbs}
    for each in objects:
        group = each["apiVersion"].rpartition("/")[0]
        space = "" if each["kind"] in OF_THE_CLUSTER else each["metadata"]["namespace"]
        wanted |= {Right(space, plural(each["kind"]), verb, group) for verb in WRITES}
        wanted |= handed_on(each, space)
    return wanted


def handed_on(role: Manifest, namespace: str) -> set[Right]:
    """Pure: what a role grants: the API lets nobody grant what they do not have."""
    if role["kind"] not in ("Role", "ClusterRole"):
        return set()
    return {
        Right(namespace, resource, verb, group)
        for rule in role.get("rules") or ()
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule["verbs"]
    }


def said(refused: Iterable[Right]) -> str:
    """Pure: verbs together by resource and namespace."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in refused:
        verbs.setdefault((right.resource, right.namespace), []).append(right.verb)
    return "; ".join(
        f"{', '.join(sorted(set(which)))} {resource} in {namespace or 'the cluster'}"
        for (resource, namespace), which in verbs.items()
    )


def allowed(api: Any, right: Right) -> bool:
    from lightkube.models.authorization_v1 import ResourceAttributes, SelfSubjectAccessReviewSpec
    from lightkube.resources.authorization_v1 import SelfSubjectAccessReview

    resource, _, part = right.resource.partition("/")
    wanted = ResourceAttributes(
        verb=right.verb, group=right.group, resource=resource, subresource=part, namespace=right.namespace
    )
    review = SelfSubjectAccessReview(spec=SelfSubjectAccessReviewSpec(resourceAttributes=wanted))
    answer = often(lambda: api.create(review))
    return bool(answer.status and answer.status.allowed)
