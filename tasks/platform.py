"""What bootstrap knows of a cluster: its namespaces, what each component was made from, how commands find it.

The ConfigMap `slipway-platform` is the record. It is written after each component that changed, so that a
bootstrap that was killed goes on from there; any command line with a kubeconfig reads the settings in it.
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from tasks.errors import PlatformError
from tasks.forwarding import forwarded
from tasks.kubernetes import CONFIG_MAP, NAMESPACE, Cluster, Manifest
from tasks.platform_lock import PlatformLock
from tasks.reach import variables
from tasks.secrets import MADE_BY, auth_string
from tasks.serving.seldon_routes import Routes, gateway_made

RECORD = "slipway-platform"
RESTORING = "slipway.io/restoring"
"""Annotation of the record while a restore is at work: since when."""
PSS = "pod-security.kubernetes.io"
LEVELS = {"notebooks": "baseline"}
"""Pod Security Standard that a namespace enforces: `restricted`, but users' servers start as root."""


@dataclass(frozen=True)
class Known:
    """What is written down about one component: hash of what it was made from, and of what was verified."""

    version: str = ""
    made_from: str = ""
    verified: str = ""
    verified_by: str = ""


@dataclass(frozen=True)
class Record:
    settings: Mapping[str, Any] = field(default_factory=dict)
    components: Mapping[str, Known] = field(default_factory=dict)

    def of(self, name: str) -> Known:
        return self.components.get(name, Known())

    def with_component(self, name: str, known: Known) -> "Record":
        return replace(self, components={**self.components, name: known})


def read_record(cluster: Cluster) -> Record:
    found = cluster.get(CONFIG_MAP, RECORD)
    data = (found or {}).get("data") or {}
    components = json.loads(data.get("components.json", "{}"))
    return Record(
        json.loads(data.get("settings.json", "{}")),
        {name: Known(**known) for name, known in components.items()},
    )


def require(cluster: Cluster) -> None:
    """Raise PlatformError if no bootstrap has come to its end in the cluster's namespace."""
    if not read_record(cluster).settings:
        raise PlatformError(
            f"platform in namespace {cluster.namespace}",
            "is not there, or its bootstrap has not come to its end",
            "Run `slipway bootstrap` first; KUBECONFIG and its context name the cluster.",
        )


def mark_restoring(cluster: Cluster, since: str | None) -> None:
    """Write down that a restore is at work; None: that it has come to its end. `write_record` leaves it there."""
    cluster.merge(CONFIG_MAP, RECORD, {"metadata": {"annotations": {RESTORING: since}}})


def check_whole(cluster: Cluster) -> None:
    """Raise PlatformError after a restore that did not end: servers must not start on half of a backup."""
    metadata = (cluster.get(CONFIG_MAP, RECORD) or {}).get("metadata") or {}
    since = (metadata.get("annotations") or {}).get(RESTORING)
    if since:
        raise PlatformError(
            f"platform in namespace {cluster.namespace}",
            f"is half of a backup: the restore of {since} has not come to its end",
            "Run `slipway restore` again; or `slipway teardown --delete-data`, and bootstrap an empty one.",
        )


def write_record(cluster: Cluster, there: Record, wanted: Record) -> None:
    """Write `wanted`, unless it is `there` already."""
    if there != wanted:
        cluster.apply(record_manifest(wanted, cluster.namespace))


def record_manifest(record: Record, namespace: str) -> Manifest:
    components = {name: vars(known) for name, known in record.components.items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": RECORD, "namespace": namespace, "labels": MADE_BY},
        "data": {
            "settings.json": json.dumps(dict(record.settings), indent=1),
            "components.json": json.dumps(components, indent=1),
        },
    }


PAGES = {"jupyterhub": "hub", "mlflow": "mlflow", "prefect": "prefect", "routes": "models"}
"""Which part of `reach` in the lock leads to which component."""


def addresses(lock: PlatformLock, routes: Routes) -> dict[str, str]:
    """Pure: by part of `reach`, what a person outside of the cluster opens."""
    found = {name: door.url for name, door in lock.reach.pages.items()}
    models = lock.reach.models.url if gateway_made(lock, routes) else ""
    return {**found, "models": models} if models else found


def platform_settings(lock: PlatformLock, routes: Routes = "none") -> dict[str, Any]:
    """Pure: what `tasks.settings` must hold for a command line outside the cluster.

    The cluster's own addresses are not in it: outside they do not answer, and are forwarded instead.
    """
    own = {"s3_endpoint": lock.store.endpoint} if lock.store.external else {}
    return {
        **own,
        "platform": "cluster",
        "store": f"s3://{lock.store.bucket}",
        "artifacts": f"s3://{lock.store.bucket}/mlflow",
        "platform_namespace": lock.namespaces.platform,
        "training_namespace": lock.namespaces.training,
        "serving_namespace": lock.namespaces.serving,
        "notebooks_namespace": lock.namespaces.notebooks,
        **{f"{name}_page": url for name, url in addresses(lock, routes).items()},
        "model_server_image": lock.image("model-server"),
        "routes": routes,
        "initializer_image": lock.image("storage-initializer"),
    }


def make_namespaces(cluster: Cluster, lock: PlatformLock) -> tuple[str, ...]:
    """Create the namespaces, or bring their labels to what they must be; the names of those written.

    Raises PlatformError if one of them is being deleted: nothing can be made in it any more.
    """
    written = []
    for part, name in lock.spaces.items():
        manifest = namespace_manifest(name, LEVELS.get(part, "restricted"))
        metadata = (cluster.get(NAMESPACE, name) or {}).get("metadata", {})
        if "deletionTimestamp" in metadata:
            raise PlatformError(
                f"namespace {name}",
                f"is being deleted since {metadata['deletionTimestamp']}, by a teardown for example",
                "Wait until it is gone, then run `slipway bootstrap` again.",
            )
        there = metadata.get("labels", {})
        if any(there.get(key) != value for key, value in manifest["metadata"]["labels"].items()):
            cluster.apply(manifest)
            written.append(name)
    return tuple(written)


def namespace_manifest(name: str, level: str) -> Manifest:
    labels = {**MADE_BY, f"{PSS}/enforce": level, f"{PSS}/warn": "restricted", f"{PSS}/audit": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


class PrefectApi:
    """The cluster's Prefect, reached through the Kubernetes API: opened when first asked for, once."""

    def __init__(self, cluster: Cluster, lock: PlatformLock) -> None:
        self._cluster, self._lock, self._open = cluster, lock, ExitStack()
        self._url = ""

    def __enter__(self) -> "PrefectApi":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def url(self) -> str:
        """Base URL of the API. What the server asks for is in this process's environment from now on."""
        if not self._url:
            secret = auth_string(self._cluster, self._lock)
            self._open.enter_context(variables({"PREFECT_API_AUTH_STRING": secret}))
            forward = forwarded(self._lock.namespaces.platform, "service/prefect", 4200)
            self._url = f"{self._open.enter_context(forward)}/api"
        return self._url
