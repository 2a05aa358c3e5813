"""Where what is in the cluster differs from what a chart says, field by field.

Each object is applied once more as Helm would, in a dry run: what comes back is what the chart wants. For a chart
that is installed it differs from what is there only if somebody changed or deleted something by hand.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import lru_cache
from typing import Any, TypeVar

from tasks import additions, fields
from tasks.errors import PlatformError
from tasks.helm import Chart
from tasks.kubernetes import Manifest, api_client, often

T = TypeVar("T")

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
    """By chart, a line for each field that is not as it says; charts without such are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for chart, each, lines in for_each(charts, _differences):
        if lines:
            about = title(chart, each)
            found[chart.name] = (*found.get(chart.name, ()), *(f"{about}: {line}" for line in lines))
    return found


def for_each(
    charts: Iterable[Chart], look: Callable[[Any, Chart, Manifest], T]
) -> list[tuple[Chart, Manifest, T]]:
    """Each object of the charts with what `look` finds, which the API server is asked for; several at once."""
    server = api()
    wanted = [(chart, each) for chart in charts for each in chart.objects if not is_hook(each)]
    with ThreadPoolExecutor(AT_ONCE) as beside:
        return list(beside.map(lambda one: (*one, look(server, *one)), wanted))


def title(chart: Chart, manifest: Manifest) -> str:
    """Pure: what an object is called in messages."""
    metadata = manifest["metadata"]
    if manifest["kind"] in OF_THE_CLUSTER:
        return f"{manifest['kind']} {metadata['name']}"
    return f"{manifest['kind']} {metadata['name']} in {metadata.get('namespace', chart.namespace)}"


def remove_additions(chart: Chart) -> None:
    """Take away the fields that somebody added by hand to what the chart made: Helm leaves them."""
    server = api()
    for each in chart.objects:
        if is_hook(each):
            continue
        made = as_helm(chart, each)
        resource, name, space = _place(made)
        there = server.get(resource, name, **space).to_dict()
        if unwanted := additions.added(there):
            server.replace(resource(additions.without(there, list(unwanted))), **space)


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


def lines(there: Manifest, wanted: Manifest) -> list[str]:
    """Pure: where two states of an object differ in what somebody said of it."""
    changed = list(fields.differing(_said(there), _said(wanted)))
    paths = {path for path, _, _ in changed}
    added = {additions.text(path): manager for path, manager in additions.added(there).items()}
    return [
        *fields.said(changed, wanted.get("kind") == "Secret"),
        *(f"{path} was added with {manager}" for path, manager in added.items() if path not in paths),
    ]


def _said(manifest: Manifest) -> Manifest:
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in KEPT_BY_SERVER}
    return {**manifest, "metadata": metadata, "status": None}


def state(server: Any, chart: Chart, manifest: Manifest) -> Manifest | None:
    """The object as it is in the cluster; None if it is not there, nor perhaps its namespace."""
    from lightkube import ApiError

    resource, name, space = _place(as_helm(chart, manifest))
    try:
        found: Manifest = often(lambda: server.get(resource, name, **space)).to_dict()
    except ApiError as error:
        if error.status.code == 404:
            return None
        raise _unanswered(manifest, error) from error
    return found


def _differences(server: Any, chart: Chart, manifest: Manifest) -> list[str]:
    from lightkube import ApiError
    from lightkube.types import PatchType

    there, made = state(server, chart, manifest), as_helm(chart, manifest)
    if there is None:
        return ["is not there"]
    resource, name, space = _place(made)
    try:
        wanted = often(
            lambda: server.patch(
                resource, name, made, patch_type=PatchType.APPLY, force=True, dry_run=True, **space
            )
        ).to_dict()
    except ApiError as error:
        if error.status.code == 422:
            return [f"cannot become what the chart says ({' '.join(str(error.status.message).split())})"]
        raise _unanswered(manifest, error) from error
    return lines(there, wanted)


def _unanswered(manifest: Manifest, error: Any) -> PlatformError:
    return PlatformError(
        f"{manifest['kind']} {manifest['metadata']['name']}",
        f"the API server does not say how it differs ({error.status.code} {error.status.message})",
        "Correct this, then run `slipway bootstrap` again.",
    )


def _place(made: Manifest) -> tuple[Any, str, dict[str, str]]:
    """lightkube's class, name and namespace of an object."""
    metadata = made["metadata"]
    space = {"namespace": metadata["namespace"]} if "namespace" in metadata else {}
    return _resource(made["apiVersion"], made["kind"]), metadata["name"], space


def plural(kind: str) -> str:
    """Pure: a kind as paths of the API name it."""
    if kind.endswith("y") and kind[-2] not in "aeo":
        return f"{kind.lower()[:-1]}ies"
    return f"{kind.lower()}es" if kind.endswith("s") else f"{kind.lower()}s"


@lru_cache(maxsize=64)
def _resource(api_version: str, kind: str) -> Any:
    """lightkube's class for a kind, of plain dicts; its own functions would register it, once for all threads."""
    from lightkube.generic_resource import GenericGlobalResource, GenericNamespacedResource, create_api_info

    group, _, version = api_version.rpartition("/")
    base = GenericGlobalResource if kind in OF_THE_CLUSTER else GenericNamespacedResource
    return type(kind, (base,), {"_api_info": create_api_info(group, version, kind, plural(kind))})


def api() -> Any:
    return api_client(MANAGER)
