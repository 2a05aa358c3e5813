"""What the pods of a predictor say of it, as pure functions: ready, still starting, or never going to be.

The operator's own status is not asked: it has no observedGeneration, may be stale, and can show a container
that crashes again and again as healthy.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasks.pods import condition, ready, statuses
from tasks.serving import Predictor
from tasks.serving.seldon_manifest import environment_of, initializer_name

Manifest = dict[str, Any]

EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Refused|Interrupt|Exit)\b")
NO_ROOM_SECONDS = 20.0
"""How long a pod may wait for room that nobody is known to be making."""
NEVER_STARTS = {
    "ImagePullBackOff": "its image cannot be pulled",
    "InvalidImageName": "its image has no valid name",
    "ErrImageNeverPull": "its image is not on the node",
    "CreateContainerConfigError": "it cannot be configured",
    "CreateContainerError": "it cannot be created",
    "RunContainerError": "it cannot be run",
    "CrashLoopBackOff": "it ends again and again",
}
"""What a container waits for in vain."""
NOT_YET_KNOWN = "failed to sync"
"""In the words of a node that was too slow to learn of a Secret or ConfigMap: it tries again by itself."""


@dataclass(frozen=True)
class Wanted:
    """What each pod of a predictor must run before it counts."""

    model: str
    predictor: Predictor
    image: str
    replicas: int


@dataclass(frozen=True)
class Verdict:
    """`failure`: what waiting does not cure. `missing`: what a predictor that is not ready still lacks."""

    ready: bool = False
    failure: str = ""
    missing: str = ""


def judge(
    wanted: Wanted,
    pods: Sequence[Manifest],
    deployments: Sequence[Manifest],
    events: Sequence[Manifest],
    now: datetime,
) -> Verdict:
    """Whether a predictor is ready, by its pods; `events` are those about them, `now` is the time."""
    present = [pod for pod in pods if not leaving(pod)]
    own = [pod for pod in present if runs(pod, wanted)]
    for pod in own:
        if not is_ready(pod) and (failure := failure_of(pod, events, now)):
            return Verdict(failure=failure)
    for deployment in deployments:
        refused = condition(deployment, "ReplicaFailure")
        if refused is not None and refused.get("status") == "True":
            return Verdict(failure=f"its pods are refused: {refused.get('message')}")
    ready = sum(is_ready(pod) for pod in own)
    strange = [name_of(pod) for pod in present if pod not in own]
    if ready >= wanted.replicas and not strange:
        return Verdict(ready=True)
    if not present:
        return Verdict(missing="the operator has made no pod" if not deployments else "no pod was created")
    if strange:
        return Verdict(missing=f"{', '.join(strange)} still runs what was told before")
    states = "; ".join(f"{name_of(pod)}: {state_of(pod)}" for pod in own if not is_ready(pod))
    return Verdict(missing=f"{ready} of {wanted.replicas} pods are ready ({states or 'others are to come'})")


def leaving(pod: Manifest) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp")) or phase(pod) in ("Succeeded", "Failed")


def phase(pod: Manifest) -> str:
    return str(pod.get("status", {}).get("phase", ""))


def name_of(pod: Manifest) -> str:
    return f"pod {pod['metadata']['name']}"


def runs(pod: Manifest, wanted: Wanted) -> bool:
    """Whether the pod was made for exactly this predictor: server image, model, digest and version."""
    server = container_named(pod["spec"].get("containers"), wanted.model)
    initializer = container_named(pod["spec"].get("initContainers"), initializer_name(wanted.model))
    if server is None or initializer is None:
        return False
    told = environment_of(server)
    return (
        server.get("image") == wanted.image
        and told.get("SLIPWAY_MODEL_DIGEST") == wanted.predictor.digest
        and told.get("SLIPWAY_MODEL_VERSION") == str(wanted.predictor.number)
        and (initializer.get("args") or [""])[0] == wanted.predictor.uri
    )


def container_named(containers: Iterable[Manifest] | None, name: str) -> Manifest | None:
    return next((each for each in containers or () if each.get("name") == name), None)


def is_ready(pod: Manifest) -> bool:
    """Whether the pod, and each of its containers, answers."""
    servers = pod.get("status", {}).get("containerStatuses") or []
    return not leaving(pod) and ready(pod) and bool(servers) and all(each.get("ready") for each in servers)


def failure_of(pod: Manifest, events: Sequence[Manifest], now: datetime) -> str:
    """Why this pod is never going to be ready, or an empty text."""
    for container in statuses(pod):
        state, last = container.get("state") or {}, container.get("lastState") or {}
        ended = state.get("terminated") or last.get("terminated") or {}
        waiting = state.get("waiting") or {}
        what = f"container {container['name']} of {name_of(pod)}"
        if ended.get("reason") == "OOMKilled":
            limit = memory_limit(pod, container["name"])
            return f"{what} was killed for using more memory than its {limit or 'limit'} (OOMKilled)"
        if waiting.get("reason") in NEVER_STARTS and NOT_YET_KNOWN not in str(waiting.get("message")):
            said = _words(ended.get("message")) or _words(waiting.get("message"))
            code = f", exit code {ended['exitCode']}" if "exitCode" in ended else ""
            reason = waiting["reason"]
            return f"{what}: {NEVER_STARTS[reason]} ({reason}{code}{': ' if said else ''}{said})"
    return no_room(pod, events, now)


def no_room(pod: Manifest, events: Sequence[Manifest], now: datetime) -> str:
    """The scheduler's words, if it has found no node for a while and nobody adds one."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled is None or scheduled.get("status") == "True" or scheduled.get("reason") != "Unschedulable":
        return ""
    about = [each for each in events if each.get("involvedObject", {}).get("name") == pod["metadata"]["name"]]
    if any(each.get("reason") == "TriggeredScaleUp" for each in about):
        return ""
    since = moment(scheduled.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp"))
    if since is not None and (now - since).total_seconds() < NO_ROOM_SECONDS:
        return ""
    return f"{name_of(pod)} finds no room: {_words(scheduled.get('message'))}"


def unscheduled(pods: Sequence[Manifest]) -> bool:
    """Whether events matter: one of the pods has no node."""
    found = [condition(pod, "PodScheduled") for pod in pods]
    return any(each is not None and each.get("status") == "False" for each in found)


def moment(written: object) -> datetime | None:
    return datetime.fromisoformat(written) if isinstance(written, str) else None


def memory_limit(pod: Manifest, container: str) -> str:
    for each in [*(pod["spec"].get("initContainers") or []), *(pod["spec"].get("containers") or [])]:
        if each.get("name") == container:
            return str(((each.get("resources") or {}).get("limits") or {}).get("memory", ""))
    return ""


def state_of(pod: Manifest) -> str:
    """In a few words, what a pod that is not ready is doing."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") != "True":
        return f"not scheduled ({_words(scheduled.get('message'))})"
    for container in statuses(pod):
        state = container.get("state") or {}
        if waiting := state.get("waiting"):
            said = _words(waiting.get("message"))
            return f"{container['name']} waits ({waiting.get('reason')}{': ' if said else ''}{said})"
        if "running" in state and not container.get("ready"):
            return f"{container['name']} runs and is not ready"
        if (ended := state.get("terminated")) and ended.get("exitCode"):
            return f"{container['name']} ended with {ended['exitCode']} ({ended.get('reason')})"
    return phase(pod) or "unknown"


def culprit(pod: Manifest) -> str | None:
    """The container whose log tells: the first that has failed or has not become ready."""
    for container in statuses(pod):
        state, last = container.get("state") or {}, container.get("lastState") or {}
        ended = state.get("terminated") or last.get("terminated") or {}
        if ended.get("exitCode") or not (container.get("ready") or "terminated" in state):
            return str(container["name"])
    return None


def image_digest(pod: Manifest, container: str) -> str:
    """`sha256:...` of the image that runs (the kubelet runs no other one than a reference by digest names)."""
    told = container_named(pod["spec"].get("containers"), container) or {}
    status = container_named(pod.get("status", {}).get("containerStatuses"), container) or {}
    for place in (str(told.get("image", "")), str(status.get("imageID", ""))):
        if "sha256:" in place:
            return "sha256:" + place.rpartition("sha256:")[2]
    return ""


def cause_in(log: str) -> str:
    """The last line of a Python server's log that names an exception, or an empty text."""
    found = [line for line in log.splitlines() if EXCEPTION.match(line)]
    return _words(found[-1]) if found else ""


def _words(text: object) -> str:
    """On one line, shortened: the end tells more than the beginning."""
    line = " ".join(str(text or "").split())
    return line if len(line) <= 400 else f"... {line[-400:]}"
