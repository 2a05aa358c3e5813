"""How a cluster's platform is, by the Kubernetes API: a small value that prints well, as a table or as JSON."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import yaml

from tasks import deployments, usage
from tasks.kubernetes import DEPLOYMENT, SELDON_DEPLOYMENT, SERVICE, STATEFUL_SET, Manifest, client
from tasks.platform_lock import load_lock
from tasks.settings import settings
from tasks.usage import Usage

Condition = Literal["running", "not ready", "stopped"]


@dataclass(frozen=True)
class Part:
    """One server, worker or served model: how many of its pods are ready, and its address in the cluster."""

    name: str
    kind: Literal["platform", "model"]
    namespace: str
    condition: Condition
    ready: str
    address: str | None


@dataclass(frozen=True)
class ClusterStatus:
    """`up` is True when every part of the platform runs; models are not counted."""

    namespace: str
    parts: tuple[Part, ...]
    usage: tuple[Usage, ...] = ()
    unmeasured: str | None = None
    """Why nothing is known of what is used."""

    @property
    def up(self) -> bool:
        platform = [part for part in self.parts if part.kind == "platform"]
        return bool(platform) and all(part.condition == "running" for part in platform)

    def to_dict(self) -> dict[str, Any]:
        return {"up": self.up, **asdict(self)}


def cluster_status() -> ClusterStatus:
    """What of the platform is there now. Changes nothing, waits for nobody."""
    found = settings()
    platform, serving = client(found.platform_namespace), client(found.serving_namespace)
    services = platform.list(SERVICE)
    sets = [*platform.list(STATEFUL_SET), *platform.list(DEPLOYMENT)]
    live = {service["metadata"]["name"]: service for service in serving.list(SERVICE)}
    predictors = serving.list(DEPLOYMENT)
    models = [
        model_part(one, predictors, live.get(f"{one['metadata']['name']}-live"))
        for one in serving.list(SELDON_DEPLOYMENT)
    ]
    parts = (*(part(one, services) for one in sets), *models)
    document = yaml.safe_load(deployments.FILE.read_text())
    return ClusterStatus(
        found.platform_namespace, parts, *usage.look(namespaces(), usage.models_of(document))
    )


def namespaces() -> tuple[str, ...]:
    """Those of the platform that commands use; the lock may know more of them than the settings."""
    found, lock = settings(), load_lock().namespaces.model_dump()
    locked = lock.values() if lock["platform"] == found.platform_namespace else ()
    own = (found.platform_namespace, found.training_namespace, found.serving_namespace)
    return tuple(dict.fromkeys((*own, *locked)))


def part(workload: Manifest, services: list[Manifest]) -> Part:
    """Pure: a Deployment or StatefulSet of the platform, with the Service that selects its pods."""
    labels = workload["spec"]["template"]["metadata"].get("labels", {})
    own = [one for one in services if selects(one, labels)]
    wanted, ready = workload["spec"].get("replicas", 1), workload.get("status", {}).get("readyReplicas", 0)
    metadata = workload["metadata"]
    return Part(
        metadata["name"], "platform", metadata["namespace"], condition(wanted, ready), f"{ready}/{wanted}",
        address(own[0]) if own else None,
    )  # fmt: skip


def model_part(model: Manifest, deployments: list[Manifest], live: Manifest | None) -> Part:
    """Pure: a served model, as many pods as all its predictors have."""
    metadata = model["metadata"]
    own = [
        one for one in deployments
        if one["spec"]["template"]["metadata"].get("labels", {}).get("seldon-deployment-id") == metadata["name"]
    ]  # fmt: skip
    wanted = sum(one["spec"].get("replicas", 1) for one in own)
    ready = sum(one.get("status", {}).get("readyReplicas", 0) for one in own)
    return Part(
        metadata["name"], "model", metadata["namespace"], condition(wanted, ready), f"{ready}/{wanted}",
        address(live) if live else None,
    )  # fmt: skip


def condition(wanted: int, ready: int) -> Condition:
    if wanted == 0:
        return "stopped"
    return "running" if ready >= wanted else "not ready"


def selects(service: Manifest, labels: dict[str, str]) -> bool:
    selector = service["spec"].get("selector") or {}
    return bool(selector) and selector.items() <= labels.items()


def address(service: Manifest) -> str:
    metadata, ports = service["metadata"], service["spec"]["ports"]
    return f"{metadata['name']}.{metadata['namespace']}.svc:{ports[0]['port']}"
