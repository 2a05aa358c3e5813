"""Where built images go: a registry, the development cluster, or nowhere yet."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from infra.images.builders import Builder
from infra.images.lockfile import Built
from tasks.lock_parts import LOADED


class Destination(Protocol):
    repository: str
    told: str

    def bring(self, image: Built, archive: Path) -> Built:
        """Bring the image of the archive there, if it is not; returns it with the digest it has there."""

    def others(self) -> dict[str, Built]:
        """Images that are not made here, by name, where only this destination knows their digest."""


class Registry:
    """A registry that REGISTRY names. What was pushed once, as `known` tells, is there."""

    def __init__(self, repository: str, known: Mapping[str, Built], builder: Callable[[], Builder]) -> None:
        self.repository = repository.rstrip("/")
        self.told = f"pushed to {self.repository}"
        self._pushed = {(one.image, one.tag): one for one in known.values()}
        self._builder = builder

    def bring(self, image: Built, archive: Path) -> Built:
        pushed = self._pushed.get((image.image, image.tag))
        if pushed is not None:
            return pushed
        name = f"{image.image}:{image.tag}"
        if not self._builder().has(name):
            self._builder().load(archive, name)
        return replace(image, digest=self._builder().push(name, name))

    def others(self) -> dict[str, Built]:
        return {}


class DevelopmentCluster:
    """The cluster of `make cluster`, whose node takes archives."""

    repository = LOADED
    told = "loaded into the development cluster"

    def bring(self, image: Built, archive: Path) -> Built:
        from infra import devcluster

        reference = devcluster.load(archive, f"{image.image}:{image.tag}")
        return replace(image, digest=reference.partition("@")[2])

    def others(self) -> dict[str, Built]:
        """The stand-ins of images that a user's cluster would pull: the node has them, by their own digests."""
        from infra.devcluster.images.archive import manifest_digest
        from infra.devcluster.images.standins import OF_THE_PLATFORM
        from tasks.platform_lock import LOCK, parse_lock

        locked = parse_lock(LOCK.read_text(), LOCK).images
        names = {f"{one.image}:{one.tag}": name for name, one in locked.items()}
        found = {}
        for one in OF_THE_PLATFORM:
            if one.reference in names and one.archive.exists():
                image, _, tag = one.reference.rpartition(":")
                found[names[one.reference]] = Built(image, tag, manifest_digest(one.archive))
        return found


class Nowhere:
    """Built and kept; the way to a cluster is the user's to choose."""

    repository = LOADED
    told = (
        "built; set REGISTRY to push it, or start a development cluster (`make cluster`) and run this again"
    )

    def bring(self, image: Built, archive: Path) -> Built:
        return image

    def others(self) -> dict[str, Built]:
        return {}


def choose(registry: str, known: Mapping[str, Built], builder: Callable[[], Builder]) -> Destination:
    from infra.devcluster.layout import CONTAINERD_SOCKET

    if registry:
        return Registry(registry, known, builder)
    return DevelopmentCluster() if CONTAINERD_SOCKET.exists() else Nowhere()
