"""What the operator writes into status, with the weaknesses of the real one.

There is no observedGeneration: a reader cannot tell whether the status is of this spec or of the last one.
Deployments are believed whether or not their own controller has seen the newest change.
"""

from collections.abc import Iterable
from copy import deepcopy

from .names import Manifest

DEPLOYMENTS, SERVICES = "DeploymentsReady", "ServicesReady"
NOT_USED = {
    "HpasReady": "No HPAs defined",
    "KedaReady": "No KEDA resources defined",
    "PdbsReady": "No PDBs defined",
}
NOT_ROUTED = {
    "istioVirtualServicesReady": "No VirtualServices defined",
    "AmbassadorMappingsReady": "No Ambassador Mappings defined",
}
"""These are said once every Deployment has served."""
EVERY = [DEPLOYMENTS, SERVICES, *NOT_USED, *NOT_ROUTED]


def with_condition(
    status: Manifest, kind: str, is_true: bool, reason: str, message: str, now: str
) -> Manifest:
    """The status with one condition set, and Ready as it follows from all of them."""
    changed = deepcopy(status)
    by_kind = {each["type"]: each for each in changed.get("conditions") or []}
    _set(by_kind, kind, "True" if is_true else "False", reason, message, now)
    states = {each: by_kind.get(each, {}).get("status", "Unknown") for each in EVERY}
    broken = next((by_kind[each] for each in EVERY if states[each] == "False"), None)
    if broken is not None:
        _set(by_kind, "Ready", "False", broken.get("reason", ""), broken.get("message", ""), now)
    else:
        _set(by_kind, "Ready", "Unknown" if "Unknown" in states.values() else "True", "", "", now)
    changed["conditions"] = sorted(by_kind.values(), key=lambda each: str(each["type"]))
    return changed


def _set(by_kind: dict[str, Manifest], kind: str, status: str, reason: str, message: str, now: str) -> None:
    wanted = {"type": kind, "status": status} | ({"reason": reason} if reason else {})
    wanted |= {"message": message} if message else {}
    before = by_kind.get(kind, {})
    if {key: value for key, value in before.items() if key != "lastTransitionTime"} != wanted:
        by_kind[kind] = wanted | {"lastTransitionTime": now}


def failed(status: Manifest, description: str) -> Manifest:
    return deepcopy(status) | {"state": "Failed", "description": description}


def with_counts(status: Manifest, deployment: Manifest, is_first: bool) -> Manifest:
    """The status with the replicas of one Deployment; a Deployment that never had a pod is not in it."""
    live = deployment.get("status") or {}
    name = deployment["metadata"]["name"]
    counts = {key: live[key] for key in ("replicas", "availableReplicas") if live.get(key)}
    before = (status.get("deploymentStatus") or {}).get(name, {})
    if counts == {key: before[key] for key in ("replicas", "availableReplicas") if before.get(key)}:
        return status
    changed = deepcopy(status)
    changed.setdefault("deploymentStatus", {})[name] = counts
    if is_first:
        changed["replicas"] = live.get("replicas", 0)
    return changed


def condition_of(deployment: Manifest, kind: str) -> Manifest:
    conditions = (deployment.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def with_available(status: Manifest, deployment: Manifest, now: str) -> Manifest:
    """DeploymentsReady as the Deployment's own Available condition has it."""
    found = condition_of(deployment, "Available")
    if found.get("status") not in {"True", "False"}:
        return status
    reason, message = found.get("reason", ""), found.get("message", "")
    return with_condition(status, DEPLOYMENTS, found["status"] == "True", reason, message, now)


def is_serving(deployment: Manifest) -> bool:
    live = deployment.get("status") or {}
    return bool(live.get("readyReplicas")) and not live.get("unavailableReplicas")


def has_stopped(deployment: Manifest) -> bool:
    """Its progress deadline passed and it is not available."""
    return all(
        condition_of(deployment, kind).get("status") == "False" for kind in ("Progressing", "Available")
    )


def latest(deployments: Iterable[Manifest]) -> Manifest | None:
    """The one that became available last."""
    return max(
        deployments,
        key=lambda each: str(condition_of(each, "Available").get("lastTransitionTime", "")),
        default=None,
    )


def held_back(old: Manifest, new: Manifest) -> Manifest:
    """The new status with the old verdict: what a reader sees shortly after the spec changed."""
    verdict = ("state", "description", "conditions", "address")
    kept = {key: old[key] for key in verdict if key in old}
    return {key: value for key, value in new.items() if key not in verdict} | kept
