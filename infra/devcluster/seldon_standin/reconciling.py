"""One round of the operator, decided without touching anything: live objects in, actions and status out.

Order matters and is the real operator's. Services and Deployments are written; only when every wanted
Deployment serves are those of predictors that left deleted, one round later their services. A Deployment
that status never counted a pod of is forgotten: it stays until the SeldonDeployment goes.
"""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from .manifests import Components
from .names import Manifest, deployment_id
from .status import (
    NOT_ROUTED,
    NOT_USED,
    SERVICES,
    has_stopped,
    is_serving,
    latest,
    with_available,
    with_condition,
    with_counts,
)

LAST_APPLIED = "slipway.io/last-applied"
Live = Mapping[str, Manifest]


@dataclass(frozen=True)
class Action:
    verb: Literal["create", "replace", "delete"]
    manifest: Manifest
    why: str

    def __str__(self) -> str:
        metadata = self.manifest["metadata"]
        return f"{self.verb} {self.manifest['kind']} {metadata['namespace']}/{metadata['name']}: {self.why}"


@dataclass
class Round:
    status: Manifest
    actions: list[Action] = field(default_factory=list)


def decide(
    resource: Manifest,
    wanted: Components,
    deployments: Live,
    services: Live,
    now: str,
    settled: frozenset[str] = frozenset(),
) -> Round:
    """What to do for one SeldonDeployment, and its status afterwards.

    `settled` names Deployments whose replacement changed nothing: they only look different.
    """
    this = Round(deepcopy(resource.get("status") or {}))
    for kind, reason in NOT_USED.items():
        this.status = with_condition(this.status, kind, True, reason, "", now)
    services_ready = _services(this, wanted, services)
    ready, stopped = _deployments(this, wanted, deployments, settled, now)
    complete = ready and services_ready
    said = "All services created" if complete else "Not all services created"
    this.status = with_condition(this.status, SERVICES, complete, said, "", now)
    if ready:
        _clean_up(this, resource, wanted, deployments, services)
        for kind, reason in NOT_ROUTED.items():
            this.status = with_condition(this.status, kind, True, reason, "", now)
    this.status.pop("description", None)
    this.status |= _verdict(complete, stopped)
    return this


def _verdict(ready: bool, stopped: bool) -> dict[str, str]:
    if ready:
        return {"state": "Available"}
    if stopped:
        return {
            "state": "Failed",
            "description": "Deployment is no longer progressing and not available.",
        }
    return {"state": "Creating"}


def _services(this: Round, wanted: Components, live: Live) -> bool:
    ready = True
    for service in wanted.services:
        name = service["metadata"]["name"]
        found = live.get(name)
        if found is None:
            ready = False
            this.actions.append(Action("create", service, "missing"))
            continue
        this.status["address"] = {"url": wanted.address}
        if found["spec"].get("selector") != service["spec"]["selector"]:
            ready = False
            this.actions.append(Action("delete", found, "its selector changed"))
            this.actions.append(Action("create", service, "its selector changed"))
        elif not _same_service(service, found):
            this.actions.append(Action("replace", _onto(found, service), "differs"))
        elif name not in (this.status.get("serviceStatus") or {}):
            this.status.setdefault("serviceStatus", {})[name] = wanted.endpoints[name]
    return ready


def _same_service(wanted: Manifest, found: Manifest) -> bool:
    metadata = all(
        (found["metadata"].get(key) or {}) == wanted["metadata"][key] for key in ("annotations", "labels")
    )
    return metadata and contains(found["spec"], wanted["spec"])


def _onto(found: Manifest, wanted: Manifest) -> Manifest:
    """The found service with the fields that the operator keeps."""
    changed = deepcopy(found)
    changed["metadata"] |= {key: wanted["metadata"][key] for key in ("annotations", "labels")}
    changed["spec"] |= {key: wanted["spec"][key] for key in ("ports", "type", "sessionAffinity")}
    return changed


def _deployments(
    this: Round, wanted: Components, live: Live, settled: frozenset[str], now: str
) -> tuple[bool, bool]:
    """Writes what differs; whether all serve, and whether one has given up."""
    ready, stopped = True, False
    serving = []
    for position, deployment in enumerate(wanted.deployments):
        name = deployment["metadata"]["name"]
        found = live.get(name)
        if found is None:
            ready = False
            this.actions.append(Action("create", _marked(deployment), "missing"))
        elif found["spec"]["selector"] != deployment["spec"]["selector"]:
            ready = False
            this.actions.append(Action("delete", found, "its selector changed"))
        elif name not in settled and not _same_deployment(deployment, found):
            ready = False
            this.actions.append(Action("replace", _updated(deployment, found), "differs"))
        else:
            this.status = with_counts(this.status, found, is_first=position == 0)
            if is_serving(found):
                serving.append(found)
            elif ready:
                this.status = with_available(this.status, found, now)
                stopped = has_stopped(found)
                ready = False
    newest = latest(serving)
    if ready and newest is not None:
        this.status = with_available(this.status, newest, now)
    return ready, stopped


def _marked(deployment: Manifest) -> Manifest:
    """With its own spec written beside it, so that the next round knows what was asked for last."""
    marked = deepcopy(deployment)
    spec = json.dumps(deployment["spec"], sort_keys=True, separators=(",", ":"))
    marked["metadata"]["annotations"][LAST_APPLIED] = spec
    return marked


def _updated(deployment: Manifest, found: Manifest) -> Manifest:
    """The found Deployment with the wanted spec: a field that others set and the operator does not name goes."""
    changed = deepcopy(found)
    marked = _marked(deployment)
    changed["metadata"] |= {key: marked["metadata"][key] for key in ("annotations", "labels")}
    changed["spec"] = marked["spec"]
    if "replicas" not in marked["spec"] and "replicas" in found["spec"]:
        changed["spec"]["replicas"] = found["spec"]["replicas"]
    return changed


def _same_deployment(wanted: Manifest, found: Manifest) -> bool:
    before = (found["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    asked = _marked(wanted)["metadata"]["annotations"][LAST_APPLIED]
    return before == asked and contains(found["spec"], wanted["spec"])


def _clean_up(this: Round, resource: Manifest, wanted: Components, deployments: Live, services: Live) -> None:
    """Deletes what no predictor needs any more: Deployments that status knows, then services."""
    names = {deployment["metadata"]["name"] for deployment in wanted.deployments}
    left = [name for name in this.status.get("deploymentStatus") or {} if name not in names]
    for name in left:
        if name not in deployments:
            del this.status["deploymentStatus"][name]
        elif not deployments[name]["metadata"].get("deletionTimestamp"):
            this.actions.append(Action("delete", deployments[name], "its predictor left"))
    if left:
        return
    for name in [name for name in this.status.get("serviceStatus") or {} if name not in wanted.endpoints]:
        del this.status["serviceStatus"][name]
    identity = deployment_id(resource["metadata"]["name"])
    for name, service in services.items():
        labels = service["metadata"].get("labels") or {}
        if labels.get("seldon-deployment-id") == identity and name not in wanted.endpoints:
            this.actions.append(Action("delete", service, "no predictor has it (whoever made it)"))


QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
FACTORS = {"m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)}
FACTORS |= {"T": Decimal(10**12), "Ki": Decimal(2**10), "Mi": Decimal(2**20)}
FACTORS |= {"Gi": Decimal(2**30), "Ti": Decimal(2**40)}


def contains(found: Any, wanted: Any) -> bool:
    """Whether the live value has everything that is wanted; the API server adds defaults and drops nothing's."""
    if isinstance(wanted, dict):
        return all(contains((found or {}).get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(found or []) == len(wanted) and all(map(contains, found or [], wanted))
    if not wanted and not found:
        return True
    return bool(found == wanted) or _same_quantity(found, wanted)


def _same_quantity(one: Any, other: Any) -> bool:
    """`1000m` is stored as `1`."""
    try:
        return _quantity(one) == _quantity(other)
    except (InvalidOperation, ValueError):
        return False


def _quantity(value: Any) -> Decimal:
    match = QUANTITY.fullmatch(str(value))
    if match is None:
        raise ValueError(value)
    return Decimal(match[1]) * FACTORS.get(match[2] or "", Decimal(1))
