"""Whether nodes can pull the images of the lock, and reach what the user brings: tried by one short-lived Job.

It runs in a namespace of its own, before anything of the platform is written, and is gone afterwards.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tasks import registry, store
from tasks.errors import PlatformError
from tasks.kubernetes import JOB, NAMESPACE, POD, SECRET, Cluster, Manifest, client, poll
from tasks.platform import namespace_manifest
from tasks.platform_lock import PlatformLock
from tasks.pods import confined, trouble, unprivileged
from tasks.secrets import MADE_BY

PATIENCE = 600.0
"""Seconds that the nodes may take to fetch every image."""
GONE = 60.0
"""Seconds that the namespace may take to go."""
OF = "slipway.io/preflight"
"""Label of the namespace: the platform that it was made for."""
NAME = "preflight"
REACHES = "reaches"
"""Container that connects to what the user brings."""
NOTHING = ["/slipway-preflight"]
"""No image has this program: its container is not started, and that it is tried says that the image is there."""
NOT_PULLED = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
TRIED = ("RunContainerError", "CreateContainerError", "CrashLoopBackOff")
"""Reasons of a container whose image is there."""


def try_images(cluster: Cluster, lock: PlatformLock) -> tuple[str, ...]:
    """Have a node pull every image, and connect to an external store and Postgres; the names of the images.

    Raises PlatformError naming each image, or address, with what the node says.
    """
    images, addresses = wanted_images(lock), external(lock)
    space = f"{lock.namespaces.platform}-{NAME}-{secrets.token_hex(3)}"
    remove_left(cluster, lock.namespaces.platform)
    made = namespace_manifest(space, "restricted")
    made["metadata"]["labels"][OF] = lock.namespaces.platform
    cluster.apply(made)
    try:
        if lock.registry.pull_secret:
            given = cluster.get(SECRET, lock.registry.pull_secret)
            found = registry.pull_secret(lock.registry.pull_secret, cluster.namespace, given)
            cluster.apply(registry.copy_of(found, space))
        cluster.apply(job(images, addresses, lock, space))
        waited = poll(lambda: settled(cluster.list(POD, namespace=space)), PATIENCE)
        if waited is None:
            said = trouble(cluster.list(POD, namespace=space)) or "its pod did not come"
            raise PlatformError(
                f"images of the platform ({', '.join(images)})",
                f"were not all pulled within {PATIENCE:.0f} s: {said}",
                "See `kubectl get events` in a namespace of your own, then run `slipway bootstrap` again.",
            )
        check(waited, images, client(space).logs(waited["metadata"]["name"], REACHES) if addresses else "")
    finally:
        cluster.delete(JOB, NAME, space)
        cluster.delete(NAMESPACE, space)
        poll(lambda: True if cluster.get(NAMESPACE, space) is None else None, GONE)
    return tuple(images)


def wanted_images(lock: PlatformLock) -> dict[str, str]:
    """Pure: the reference of each image that is installed, or that models start from."""
    names = [name for one in lock.components if not lock.external(one) for name in one.images]
    always = [name for name in ("model-server", "storage-initializer") if name in lock.images]
    return {
        name: lock.images[name].reference
        for name in dict.fromkeys((*names, *always))
        if lock.images[name].digest is not None
    }


def external(lock: PlatformLock) -> dict[str, str]:
    """Pure: host:port of what the user brings."""
    found = {}
    if lock.postgres.external:
        found["Postgres"] = f"{lock.postgres.host}:{lock.postgres.port}"
    if lock.store.external:
        host, port = store.host_and_port(lock.store.endpoint)
        found["object store"] = f"{host}:{port}"
    return found


def job(
    images: Mapping[str, str], addresses: Mapping[str, str], lock: PlatformLock, namespace: str
) -> Manifest:
    """Pure: a container for each image that ends before it starts, and one that connects."""
    containers = [container(name, image, NOTHING) for name, image in images.items()]
    if addresses:
        code = ["python", "-m", "tasks.checks.reachable", *addresses.values()]
        containers.append(container(REACHES, lock.image("flow"), code))
    secret = lock.registry.pull_secret
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "imagePullSecrets": [{"name": secret}] if secret else [],
        "securityContext": unprivileged(),
        "containers": containers,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": NAME, "namespace": namespace, "labels": MADE_BY},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(PATIENCE),
            "template": {"metadata": {"labels": MADE_BY}, "spec": spec},
        },
    }


def container(name: str, image: str, command: list[str]) -> Manifest:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": confined(),
    }


def settled(pods: list[Manifest]) -> Manifest | None:
    """Pure: the pod, once it is known of every container whether its image is there and what it came to."""
    for pod in pods:
        status = pod.get("status") or {}
        seen = status.get("containerStatuses") or ()
        if len(seen) == len(pod["spec"]["containers"]) and all(map(decided, seen)):
            return pod
    return None


def decided(container: Manifest) -> bool:
    """Pure: pulled and tried, or given up for the second time: the first failure may be a moment's."""
    state = container.get("state") or {}
    waiting = (state.get("waiting") or {}).get("reason", "")
    final = set(NOT_PULLED[1:]) | (set(TRIED) if container["name"] != REACHES else set())
    return "terminated" in state or waiting in final


def check(pod: Manifest, images: Mapping[str, str], log: str) -> None:
    """Pure: raise PlatformError if an image was not pulled, or an address not reached."""
    states = {each["name"]: each.get("state") or {} for each in pod["status"]["containerStatuses"]}
    waiting = {name: state.get("waiting") or {} for name, state in states.items()}
    missing = [
        f"{images[name]} ({said.get('reason')}: {' '.join(str(said.get('message', '')).split())[:300]})"
        for name, said in waiting.items()
        if name in images and said.get("reason") in NOT_PULLED
    ]
    if missing:
        raise PlatformError(
            "images of the platform",
            f"node {pod['spec'].get('nodeName')} cannot pull {'; '.join(missing)}",
            "Push them to a registry that the nodes reach (`REGISTRY=... make images`); `registry` in "
            "infra/platform.yaml takes a mirror and a pull secret.",
        )
    ended = states.get(REACHES, {}).get("terminated")
    if ended is not None and ended.get("exitCode") != 0:
        raise PlatformError(
            "what infra/platform.yaml says is external",
            log.strip().splitlines()[-1] if log.strip() else "the check of it did not run",
            "Correct `postgres` or `store`, or let the cluster's pods through to it.",
        )


def remove_left(cluster: Cluster, platform: str) -> None:
    """Delete what bootstraps left that were killed; not that of one which may be at work."""
    for each in cluster.list(NAMESPACE, {OF: platform}):
        made = datetime.fromisoformat(each["metadata"]["creationTimestamp"])
        if (datetime.now(UTC) - made).total_seconds() > PATIENCE + GONE:
            cluster.delete(NAMESPACE, each["metadata"]["name"])


def left(cluster: Cluster, platform: str) -> list[str]:
    """Namespaces of bootstraps that were killed, or are at work."""
    return [each["metadata"]["name"] for each in cluster.list(NAMESPACE, {OF: platform})]
