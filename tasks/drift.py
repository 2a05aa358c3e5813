"""What somebody changed or deleted by hand in what Helm installed.

Each object is applied once more as Helm would, in a dry run: what comes back is what the chart wants, and differs
from what is there only if somebody else touched it.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import lru_cache
from typing import Any

from tasks.errors import PlatformError
from tasks.helm import Chart
from tasks.kubernetes import Manifest

MANAGER = "helm"
"""Under which Helm applies."""
AT_ONCE = 8
OF_THE_CLUSTER = (
    "ClusterRole",
    "ClusterRoleBinding",
    "PriorityClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
)
"""Kinds in the charts that are in no namespace."""
KEPT_BY_SERVER = ("managedFields", "resourceVersion", "generation")


def drifted(charts: Iterable[Chart]) -> dict[str, tuple[str, ...]]:
    """By chart, the objects that are not as it says; charts without such are left out."""
    api = _api()
    wanted = [(chart, each) for chart in charts for each in chart.objects if not is_hook(each)]
    with ThreadPoolExecutor(AT_ONCE) as beside:
        differs = list(beside.map(lambda one: _differs(api, *one), wanted))
    found: dict[str, tuple[str, ...]] = {}
    for (chart, each), other in zip(wanted, differs, strict=True):
        if other:
            metadata = each["metadata"]
            name = f"{each['kind']} {metadata['name']} in {metadata.get('namespace', chart.namespace)}"
            found[chart.name] = (*found.get(chart.name, ()), name)
    return found


def is_hook(manifest: Manifest) -> bool:
    return "helm.sh/hook" in (manifest["metadata"].get("annotations") or {})


def as_helm(chart: Chart, manifest: Manifest) -> Manifest:
    """Pure: the object with what Helm adds to each."""
    made = deepcopy(manifest)
    metadata = made["metadata"]
    if made["kind"] not in OF_THE_CLUSTER:
        metadata.setdefault("namespace", chart.namespace)
    metadata["labels"] = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        "meta.helm.sh/release-name": chart.name,
        "meta.helm.sh/release-namespace": chart.namespace,
    }
    return made


def same(there: Manifest, wanted: Manifest) -> bool:
    """Pure: whether two states of an object differ in nothing that somebody said of it."""
    return _said(there) == _said(wanted)


def _said(manifest: Manifest) -> Manifest:
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in KEPT_BY_SERVER}
    return {**manifest, "metadata": metadata, "status": None}


def _differs(api: Any, chart: Chart, manifest: Manifest) -> bool:
    from lightkube import ApiError
    from lightkube.types import PatchType

    made = as_helm(chart, manifest)
    resource, name = _resource(made["apiVersion"], made["kind"]), made["metadata"]["name"]
    space = {"namespace": made["metadata"]["namespace"]} if "namespace" in made["metadata"] else {}
    try:
        there = api.get(resource, name, **space).to_dict()
        wanted = api.patch(
            resource, name, made, patch_type=PatchType.APPLY, force=True, dry_run=True, **space
        ).to_dict()
    except ApiError as error:
        if error.status.code == 404:
            return True
        raise PlatformError(
            f"{made['kind']} {name}",
            f"the API server does not say how it differs ({error.status.code} {error.status.message})",
            "Correct this, then run `slipway bootstrap` again.",
        ) from error
    return not same(there, wanted)


def plural(kind: str) -> str:
    """Pure: a kind as paths of the API name it."""
    if kind.endswith("y"):
        return f"{kind.lower()[:-1]}ies"
    return f"{kind.lower()}es" if kind.endswith("s") else f"{kind.lower()}s"


@lru_cache(maxsize=64)
def _resource(api_version: str, kind: str) -> Any:
    """lightkube's class for a kind, of plain dicts; its own functions would register it, once for all threads."""
    from lightkube.generic_resource import GenericGlobalResource, GenericNamespacedResource, create_api_info

    group, _, version = api_version.rpartition("/")
    base = GenericGlobalResource if kind in OF_THE_CLUSTER else GenericNamespacedResource
    return type(kind, (base,), {"_api_info": create_api_info(group, version, kind, plural(kind))})


def _api() -> Any:
    import httpx2
    from lightkube import Client

    return Client(field_manager=MANAGER, timeout=httpx2.Timeout(30.0))
