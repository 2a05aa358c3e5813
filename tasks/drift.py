"""What somebody changed or deleted by hand in what Helm installed.

Each object is applied once more as Helm would, in a dry run: what comes back is what the chart wants, and differs
from what is there only if somebody else touched it.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

from tasks.errors import PlatformError
from tasks.helm import Chart
from tasks.kubernetes import Kind, Manifest, kind_of

MANAGER = "helm"
"""Under which Helm applies."""
AT_ONCE = 8
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
            name = f"{each['kind']} {metadata.get('namespace', chart.namespace)}/{metadata['name']}"
            found[chart.name] = (*found.get(chart.name, ()), name)
    return found


def is_hook(manifest: Manifest) -> bool:
    return "helm.sh/hook" in (manifest["metadata"].get("annotations") or {})


def as_helm(chart: Chart, manifest: Manifest) -> Manifest:
    """Pure: the object with what Helm adds to each."""
    made = deepcopy(manifest)
    metadata = made["metadata"]
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
    resource, name = _resource(kind_of(made)), made["metadata"]["name"]
    space = {"namespace": made["metadata"]["namespace"]}
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


def _resource(kind: Kind) -> Any:
    from lightkube.generic_resource import create_namespaced_resource

    version = kind.api_version.rpartition("/")[2]
    return create_namespaced_resource(kind.group, version, kind.name, kind.plural)


def _api() -> Any:
    import httpx2
    from lightkube import Client

    return Client(field_manager=MANAGER, timeout=httpx2.Timeout(30.0))
