"""What the platform's pods asked for and what they use: cpu and memory by component, model and user.

Pure but for the last function: a pod belongs to whoever its labels name. A model's pods are those that serve it
and those that train or score it; a notebook's are its user's; so are Spark's executors of either.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.errors import PlatformError
from tasks.kubernetes import POD, POD_METRICS, Kind, Manifest, client
from tasks.resources import Amount, amount, requested, total

Owner = Literal["component", "model", "user"]

USER = "hub.jupyter.org/username"
"""On the pod of a notebook: as a label a slug, as an annotation the name itself."""
DEPLOYMENT_NAME = "prefect.io/deployment-name"
NO_METRICS = "the cluster has no metrics API (metrics-server), or it knows none of these pods yet"


@dataclass(frozen=True)
class Usage:
    """Of all pods of one owner: cores, and bytes. What is used is None where nothing measures it."""

    owner: Owner
    name: str
    pods: int
    cpu_requested: float
    memory_requested: int
    cpu_used: float | None
    memory_used: int | None


Name = tuple[str, str]
"""Namespace and name of a pod."""


def usage(
    pods: Sequence[Manifest], measured: Iterable[Manifest], models: Mapping[str, str]
) -> tuple[Usage, ...]:
    """The pods that are not over, by owner. `models`: Prefect deployment -> the model that it is of."""
    used = {name_of(each): total(amount(one["usage"]) for one in each["containers"]) for each in measured}
    living = [pod for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]
    by_name = {name_of(pod): pod for pod in pods}
    owned: dict[tuple[Owner, str], list[Manifest]] = {}
    for pod in living:
        owned.setdefault(owner(pod, by_name, models), []).append(pod)
    return tuple(_usage(*who, own, used) for who, own in sorted(owned.items()))


def _usage(who: Owner, name: str, pods: list[Manifest], used: Mapping[Name, Amount]) -> Usage:
    wanted = total(requested(pod["spec"]) for pod in pods)
    known = [used[name_of(pod)] for pod in pods if name_of(pod) in used]
    now = total(known)
    return Usage(
        who, name, len(pods), round(wanted.cpu, 3), int(wanted.memory),
        round(now.cpu, 3) if known else None, int(now.memory) if known else None,
    )  # fmt: skip


def owner(pod: Manifest, by_name: Mapping[Name, Manifest], models: Mapping[str, str]) -> tuple[Owner, str]:
    """Whose a pod is. An executor is its driver's, as long as that is there."""
    metadata = pod["metadata"]
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if labels.get("spark-role") == "executor":
        for reference in metadata.get("ownerReferences") or ():
            driver = by_name.get((metadata["namespace"], reference["name"]))
            if driver is not None and reference["kind"] == "Pod":
                return owner(driver, by_name, models)
    if name := notes.get(USER) or labels.get(USER):
        return "user", name
    if name := labels.get("seldon-deployment-id") or models.get(labels.get(DEPLOYMENT_NAME, "")):
        return "model", name
    if any(label.startswith("prefect.io/") for label in labels):
        return "component", "flow runs"
    name = labels.get("app.kubernetes.io/instance") or labels.get("app.kubernetes.io/name")
    return "component", name or metadata["name"]


def models_of(document: Mapping[str, Any]) -> dict[str, str]:
    """The model that each deployment of `prefect.yaml` is of; those of none are left out."""
    found = {one["name"]: (one.get("parameters") or {}).get("model") for one in document["deployments"]}
    return {name: str(model) for name, model in found.items() if model}


def name_of(thing: Manifest) -> Name:
    return thing["metadata"]["namespace"], thing["metadata"]["name"]


def look(spaces: Iterable[str], models: Mapping[str, str]) -> tuple[tuple[Usage, ...], str | None]:
    """The usage in these namespaces; and why nothing says what is used, where that is so."""
    spaces = tuple(spaces)
    pods = _all(POD, spaces)
    try:
        measured, why = _all(POD_METRICS, spaces), NO_METRICS
    except PlatformError as error:  # what was asked for is worth showing without
        measured, why = [], f"the metrics API {error.observed}"
    return usage(pods, measured, models), None if measured or not pods else why


def _all(kind: Kind, spaces: Iterable[str]) -> list[Manifest]:
    return [each for space in spaces for each in client(space).list(kind)]
