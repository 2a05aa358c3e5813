"""How Seldon Core names what it makes. Kubernetes allows 63 characters, so longer names become a hash."""

import hashlib
from typing import Any

LONGEST = 63

Manifest = dict[str, Any]


def shortened(name: str) -> str:
    if len(name) <= LONGEST:
        return name
    return "seldon-" + hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def deployment_id(deployment: str) -> str:
    return shortened(deployment)


def predictor_service(deployment: str, predictor: Manifest) -> str:
    chosen = (predictor.get("annotations") or {}).get("seldon.io/svc-name")
    return chosen or shortened(f"{deployment}-{predictor['name']}")


def container_service(deployment: str, predictor: Manifest, container: str) -> str:
    return shortened(f"{deployment}-{predictor['name']}-{container}")


def workload(deployment: str, predictor: Manifest, index: int) -> str:
    """The Deployment of the predictor's component spec at `index`, named after its containers."""
    component = predictor["componentSpecs"][index]
    last = (component.get("metadata") or {}).get("name") or "-".join(
        container["name"] for container in component["spec"].get("containers") or []
    )
    return shortened(f"{deployment}-{predictor['name']}-{index}-{last}")
