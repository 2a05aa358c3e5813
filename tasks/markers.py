"""Markers: strings such as `@image:flow` in templates and values, which stand for what the lock says."""

from collections.abc import Mapping
from typing import Any

from tasks.errors import PlatformError
from tasks.lock_parts import Image
from tasks.platform_lock import PlatformLock
from tasks.pods import Part, priority_class
from tasks.serving.seldon_routes import NAME, Routes

CALLBACK = "callback:hub"


def filled(value: Any, known: Mapping[str, Any], file: str) -> Any:
    """Pure: `value` with every string that is a marker (`@image:flow`) replaced by what is known of it."""
    if isinstance(value, dict):
        return {key: filled(each, known, file) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, known, file) for each in value]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    if value[1:] not in known:
        step = f"Known: {', '.join(sorted(known))}."
        if value[1:] == CALLBACK:
            step = "Set `reach.hub.host` in infra/platform.yaml: it is where people are sent back to."
        raise PlatformError(file, f"has the marker {value}, which means nothing here", step)
    return known[value[1:]]


def markers(images: Mapping[str, str], namespaces: Mapping[str, str]) -> dict[str, str]:
    """Pure: what the markers of images, which are references by digest, namespaces and priorities stand for."""
    classes: tuple[Part, ...] = ("platform", "serving", "training")
    return {
        **{f"image:{name}": image for name, image in images.items()},
        **{f"namespace:{name}": namespace for name, namespace in namespaces.items()},
        **{f"priority:{part}": priority_class(namespaces["platform"], part) for part in classes},
    }


def known_of(lock: PlatformLock, routes: Routes = "none") -> dict[str, Any]:
    """Pure: what every marker stands for."""
    images = {name: image for name, image in lock.images.items() if image.digest}
    found: dict[str, Any] = markers(
        {name: image.reference for name, image in images.items()}, lock.namespaces.model_dump()
    )
    for name, image in images.items():
        found |= {f"image.{part}:{name}": value for part, value in parts(image).items()}
    found |= {f"address:{one.name}": one.address for one in lock.components if one.address}
    if lock.reach.hub.url:
        found[CALLBACK] = f"{lock.reach.hub.url}/hub/oauth_callback"
    return found | {
        "page:hub": lock.reach.hub.url and f"{lock.reach.hub.url}/",
        "routes:istio": "true" if routes == "istio" else "false",
        "gateway:models": f"{lock.namespaces.serving}/{NAME}",
        "pull-secrets": [lock.registry.pull_secret] if lock.registry.pull_secret else [],
        "store:endpoint": lock.store.endpoint,
        "store:bucket": lock.store.bucket,
        "store:region": lock.store.region,
    }


def parts(image: Image) -> dict[str, str]:
    """Pure: an image as charts ask for it that put its parts together; the digest goes with the tag."""
    registry, _, path = image.image.partition("/")
    return {
        "name": image.image,
        "registry": registry,
        "path": path,
        "tag": f"{image.tag}@{image.digest}",
    }
