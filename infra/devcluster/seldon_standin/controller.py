"""The loop: watches SeldonDeployments and what they own, and carries out what a round decides.

Everything is decided in `reconciling`; here are only the API's calls, in their order, and patience: an API
server that is away, a conflict or a refusal costs a wait, never the process.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic

import httpx2
from lightkube import ApiError, Client
from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from lightkube.types import CascadeType

from .installation import OF_NO_OTHER, Namespace
from .manifests import Components, Unsupported, components
from .names import Manifest
from .reconciling import Action, Live, decide
from .status import failed, held_back

SeldonDeployment = create_namespaced_resource(
    "machinelearning.seldon.io", "v1", "SeldonDeployment", "seldondeployments"
)
Deployment = create_namespaced_resource("apps", "v1", "Deployment", "deployments")
Service = create_namespaced_resource("", "v1", "Service", "services")
Event = create_namespaced_resource("", "v1", "Event", "events")
KINDS: dict[str, type[GenericNamespacedResource]] = {"Deployment": Deployment, "Service": Service}
LONGEST_WAIT = 8.0
NOT_FOUND, CONFLICT = 404, 409

Key = tuple[str, str]
"""Namespace and name of a SeldonDeployment."""
log = logging.getLogger("seldon-standin")


class Due:
    """Which SeldonDeployments want a round, and from when on."""

    def __init__(self) -> None:
        self._times: dict[Key, float] = {}
        self._changed = threading.Condition()

    def add(self, key: Key, wait: float = 0.0) -> None:
        with self._changed:
            at = monotonic() + wait
            self._times[key] = min(at, self._times.get(key, at))
            self._changed.notify()

    def take(self) -> Key:
        """The next one that is due; waits for it."""
        with self._changed:
            while True:
                now = monotonic()
                key = min(self._times, key=lambda each: self._times[each], default=None)
                if key is not None and self._times[key] <= now:
                    del self._times[key]
                    return key
                self._changed.wait(None if key is None else self._times[key] - now)


@dataclass
class Memory:
    """What is remembered of one SeldonDeployment between rounds."""

    generation: int = 0
    first_seen: float = 0.0
    failures: int = 0


@dataclass
class Controller:
    client: Callable[[], Client]
    status_lag: float
    """Seconds for which status still gives the old verdict after the spec changed."""
    resync: float
    due: Due = field(default_factory=Due)
    known: dict[Key, Memory] = field(default_factory=dict)

    def start(self) -> None:
        """Threads: one that works, three that watch, one that asks for a round of everything now and then."""
        work: list[Callable[[], None]] = [self._work, self._resync]
        work += [partial(self._watch, resource) for resource in (SeldonDeployment, Deployment, Service)]
        for target in work:
            threading.Thread(target=target, daemon=True).start()

    def _resync(self) -> None:
        while True:
            threading.Event().wait(self.resync)
            for key in list(self.known):
                self.due.add(key)

    def _watch(self, resource: type[GenericNamespacedResource]) -> None:
        client = self.client()
        reachable = True
        while True:
            try:
                listed = client.list(resource, namespace="*")
                for item in listed:
                    self._notice(item)
                reachable = True
                for _, item in client.watch(
                    resource, namespace="*", resource_version=listed.resourceVersion, server_timeout=300
                ):
                    self._notice(item)
            except (httpx2.HTTPError, ValueError) as error:  # ValueError: an answer cut short
                if reachable:
                    log.warning("watch of %s interrupted (%s); going on", resource.__name__, error)
                reachable = isinstance(error, ApiError) and error.status.code == 410
                threading.Event().wait(1.0)

    def _notice(self, item: GenericNamespacedResource) -> None:
        metadata = item["metadata"]
        if isinstance(item, SeldonDeployment):
            self.due.add((metadata["namespace"], metadata["name"]))
        for owner in metadata.get("ownerReferences") or []:
            if owner.get("controller") and owner["kind"] == "SeldonDeployment":
                self.due.add((metadata["namespace"], owner["name"]))

    def _work(self) -> None:
        client = self.client()
        while True:
            key = self.due.take()
            memory = self.known.setdefault(key, Memory())
            try:
                wait = self._round(client, key, memory)
                memory.failures = 0
            except (httpx2.HTTPError, ValueError) as error:
                memory.failures += 1
                wait = min(LONGEST_WAIT, 0.25 * 2**memory.failures)
                log.warning("%s/%s: %s; again in %g s", *key, error, wait)
            if wait is not None:
                self.due.add(key, wait)

    def _round(self, client: Client, key: Key, memory: Memory) -> float | None:
        """One round; in how many seconds another is wanted, if one is."""
        resource = _read(client, key)
        if resource is None or resource["metadata"].get("deletionTimestamp"):
            self.known.pop(key, None)
            return None
        if _of_another(client, resource):
            return None
        if resource["metadata"]["generation"] != memory.generation:
            memory.generation, memory.first_seen = resource["metadata"]["generation"], monotonic()
        before = resource.get("status") or {}
        try:
            after = _settle(client, resource, components(resource))
        except Unsupported as refusal:
            _fail(client, resource, str(refusal))
            return None
        except ApiError as error:
            if error.status.code != CONFLICT:
                _fail(client, resource, str(error))
            raise
        hold = self.status_lag - (monotonic() - memory.first_seen)
        if hold > 0 and before.get("state"):
            _write(client, resource, held_back(before, after))
            return hold
        _write(client, resource, after)
        return None


def _fail(client: Client, resource: Manifest, reason: str) -> None:
    """Says once, in status, log and an event, why this SeldonDeployment cannot be served."""
    after = failed(resource.get("status") or {}, reason)
    if after != resource.get("status"):
        log.warning("%s/%s: %s", resource["metadata"]["namespace"], resource["metadata"]["name"], reason)
        _write(client, resource, after)
        _tell(client, resource, "InternalError", reason, kind="Warning")


def _settle(client: Client, resource: Manifest, wanted: Components) -> Manifest:
    """Carries a round out and gives its status; what a replacement left unchanged is taken as it is."""
    settled: frozenset[str] = frozenset()
    while True:
        this = decide(
            resource,
            wanted,
            _live(client, Deployment, resource),
            _live(client, Service, resource),
            datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            settled,
        )
        unchanged = {
            action.manifest["metadata"]["name"]
            for action in this.actions
            if not _carry_out(client, resource, action)
        }
        if unchanged <= settled:
            return this.status
        settled |= unchanged


def _carry_out(client: Client, resource: Manifest, action: Action) -> bool:
    """Whether the cluster is another one afterwards."""
    kind = KINDS[action.manifest["kind"]]
    metadata = action.manifest["metadata"]
    if action.verb == "create":
        client.create(kind.from_dict(action.manifest))
    elif action.verb == "delete":
        try:
            client.delete(
                kind, metadata["name"], namespace=metadata["namespace"], cascade=CascadeType.FOREGROUND
            )
        except ApiError as error:
            if error.status.code != NOT_FOUND:
                raise
    else:
        stored = client.replace(kind.from_dict(action.manifest))
        if stored["metadata"]["resourceVersion"] == metadata["resourceVersion"]:
            return False
    log.info("%s", action)
    _tell(client, resource, f"{action.verb.title()}{action.manifest['kind']}", str(action))
    return True


def _read(client: Client, key: Key) -> Manifest | None:
    try:
        return dict(client.get(SeldonDeployment, key[1], namespace=key[0]))
    except ApiError as error:
        if error.status.code != NOT_FOUND:
            raise
        return None


def _of_another(client: Client, resource: Manifest) -> bool:
    """Whether another operator looks after it, as its label or its namespace's says."""
    namespace = dict(client.get(Namespace, resource["metadata"]["namespace"]))
    marked = (each["metadata"].get("labels") or {} for each in (resource, namespace))
    return any(OF_NO_OTHER["key"] in labels for labels in marked)


def _live(client: Client, kind: type[GenericNamespacedResource], resource: Manifest) -> Live:
    """All of one kind in the resource's namespace, by name (list items lack their own kind)."""
    marks = {"apiVersion": "apps/v1" if kind is Deployment else "v1", "kind": kind.__name__}
    found = client.list(kind, namespace=resource["metadata"]["namespace"])
    return {item["metadata"]["name"]: dict(item) | marks for item in found}


def _write(client: Client, resource: Manifest, status: Manifest) -> None:
    """Status, when it changed. The resource may have gone or changed meanwhile: then another round follows."""
    if status == (resource.get("status") or {}):
        return
    try:
        client.replace(SeldonDeployment.Status.from_dict(resource | {"status": status}))
    except ApiError as error:
        if error.status.code not in {NOT_FOUND, CONFLICT}:
            raise


def _tell(client: Client, resource: Manifest, reason: str, message: str, kind: str = "Normal") -> None:
    """An event on the SeldonDeployment."""
    metadata = resource["metadata"]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}-", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": resource["apiVersion"],
            "kind": "SeldonDeployment",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": "seldon-standin"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    client.create(Event.from_dict(event))
