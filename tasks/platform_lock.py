"""infra/platform.yaml, the lock of the platform: its components in order, and every image by digest.

`infra/images.local.yaml`, which `make images` writes, stands in for the lock's images with those built here.
"""

import json
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError, model_validator

from tasks import doors, identities
from tasks.doors import Reach
from tasks.errors import PlatformError
from tasks.lock_parts import (
    BUILT,
    NOTEBOOKS,
    OF_NOTEBOOKS,
    Component,
    Image,
    Kubernetes,
    Namespaces,
    Notify,
    Part,
    Postgres,
    Registry,
    Store,
)
from tasks.settings import ROOT

LOCK = ROOT / "infra" / "platform.yaml"
LOCAL_IMAGES = ROOT / "infra" / "images.local.yaml"


class Refused(PlatformError):
    """The lock, or what overrides it, cannot be right. Refused before anything is written."""

    exit_code = 2


class PlatformLock(Part):
    namespaces: Namespaces
    store: Store
    postgres: Postgres
    kubernetes: Kubernetes = Kubernetes()
    registry: Registry = Registry()
    reach: Reach = Reach()
    notify: Notify = Notify()
    images: dict[str, Image]
    components: tuple[Component, ...]

    @model_validator(mode="after")
    def _consistent(self) -> "PlatformLock":
        names = [component.name for component in self.components]
        for index, component in enumerate(self.components):
            if component.name in names[:index]:
                raise ValueError(f"components.{index}.name: {component.name!r} is the name of two components")
            self._needs(index, component)
            if component.published and (component.chart or not component.version):
                raise ValueError(
                    f"components.{index}.published: asks for a version, and for no other chart beside it"
                )
            if component.values and not component.published:
                raise ValueError(f"components.{index}.values: only a published chart has a file of values")
            unknown = sorted(set(component.images) - set(self.images))
            if unknown:
                raise ValueError(
                    f"components.{index}.images: found {', '.join(unknown)}; images has {', '.join(self.images)}"
                )
        if self.reach.hub.host and not self.enabled(NOTEBOOKS):
            raise ValueError("reach.hub.host: leads to notebooks, which are not enabled")
        return self

    def _needs(self, index: int, component: Component) -> None:
        if component.name == "jupyterhub" and component.enabled and not self.enabled(NOTEBOOKS):
            raise ValueError(f"components.{index}.enabled: asks for notebooks, which are not enabled")

    def enabled(self, name: str) -> bool:
        return any(one.name == name and one.enabled for one in self.components)

    def component(self, name: str) -> Component:
        return next(one for one in self.components if one.name == name)

    def external(self, component: Component) -> bool:
        """Whether it is not bootstrap's to install: not enabled, or the user's own, which is verified."""
        brought = {"postgres": self.postgres.external, "object-store": self.store.external}
        return not (component.installed and component.enabled) or brought.get(component.name, False)

    def has(self, name: str) -> bool:
        return any(one.name == name for one in self.components)

    def installs(self, name: str) -> bool:
        """Whether the component of this name is there, and bootstrap's to install."""
        return any(one.name == name and not self.external(one) for one in self.components)

    def namespace(self, component: Component) -> str:
        return str(getattr(self.namespaces, component.namespace))

    def image(self, name: str) -> str:
        return self.images[name].reference

    @property
    def spaces(self) -> dict[str, str]:
        """The namespaces that there are: those of notebooks only where notebooks are."""
        without = set() if self.enabled(NOTEBOOKS) else {"notebooks", "executors"}
        return {part: name for part, name in self.namespaces.model_dump().items() if part not in without}

    @property
    def cleaned(self) -> list[str]:
        """References of the images whose registry is housekeeping's to clean: of all whose use it can see."""
        unseen = OF_NOTEBOOKS if self.enabled(NOTEBOOKS) else ()
        names = [name for name in BUILT if name not in unseen] if self.registry.clean else []
        found = [self.images[name] for name in names if name in self.images]
        return [image.reference for image in found if image.digest]

    def values(self, routes: str = "none", models_page: str = "") -> dict[str, Any]:
        """What every chart of ours is told.

        `routes`: what the cluster has that leads to models from outside; `models_page`: where that leads to them.
        """
        return {
            "global": {
                "images": {name: image.reference for name, image in self.images.items() if image.digest},
                "pullSecret": self.registry.pull_secret,
                "routes": routes,
                "notify": self.notify.reached,
                "cleaned": self.cleaned,
                "operator": self.installs("seldon-core"),
                "doors": doors.told(self.reach),
                "modelsPage": models_page,
                "identities": identities.fingerprint(self.store.bucket),
                **self.model_dump(mode="json", include={"namespaces", "store", "postgres"}),
            }
        }


class LocalImages(Part):
    images: dict[str, Image]


def load_lock(lock: Path = LOCK, local: Path = LOCAL_IMAGES) -> PlatformLock:
    """The lock, with the images of `local` if that file is there. Raises Refused."""
    found = mirrored(parse_lock(_read(lock), lock))
    return with_images(found, parse_images(_read(local), local), local) if local.exists() else found


def parse_lock(text: str, path: Path) -> PlatformLock:
    """Pure: the lock that `text`, read from `path`, holds."""
    return _parsed(PlatformLock, text, path)


def parse_images(text: str, path: Path) -> dict[str, Image]:
    return _parsed(LocalImages, text, path).images


def mirrored(lock: PlatformLock) -> PlatformLock:
    """`lock` with its images where its mirror has them. What was built here lies where it was pushed."""
    mirror = lock.registry.mirror
    if mirror is None:
        return lock
    return lock.model_copy(update={"images": {name: image.of(mirror) for name, image in lock.images.items()}})


def with_images(lock: PlatformLock, images: dict[str, Image], path: Path) -> PlatformLock:
    """`lock` with `images` in place of its own of the same names."""
    unknown = sorted(set(images) - set(lock.images))
    if unknown:
        raise Refused(
            f"{path}: images", f"unknown image {unknown[0]!r}", f"Allowed here: {', '.join(lock.images)}."
        )
    return lock.model_copy(update={"images": {**lock.images, **images}})


def require_digests(lock: PlatformLock) -> None:
    """Raise Refused naming the first image of an installed component that has no digest."""
    for component in lock.components:
        for name in () if lock.external(component) else component.images:
            image = lock.images[name]
            if image.digest is None:
                raise Refused(
                    f"{LOCK}: images.{name}.digest",
                    f"{image.image}:{image.tag}, which {component.name} runs, has no digest",
                    "Run `make images`, or set a digest.",
                )


Kind = typing.TypeVar("Kind", bound=Part)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(str(path), f"cannot be read ({error})", "Give a readable YAML file.") from error


def _parsed(kind: type[Kind], text: str, path: Path) -> Kind:
    try:
        content = yaml.safe_load(text)
        document = json.dumps(content, allow_nan=False)
    except yaml.YAMLError as error:
        raise Refused(str(path), f"is not YAML ({' '.join(str(error).split())})", "Correct it.") from error
    except (TypeError, ValueError) as error:
        raise Refused(str(path), str(error), "Use only what JSON can hold.") from error
    try:
        return kind.model_validate_json(document)
    except ValidationError as error:
        raise _refusal(kind, path, error) from None


def _refusal(kind: type[Part], path: Path, error: ValidationError) -> Refused:
    """The first problem: file, key, what was found, what is allowed; and how many more there are."""
    problems = error.errors(include_url=False)
    problems.sort(key=lambda one: one["type"] != "extra_forbidden")  # a misspelt key is also a missing one
    first, more = problems[0], len(problems) - 1
    key = ".".join(str(part) for part in first["loc"])
    allowed = "Correct it."
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        observed = "is an unknown key"
        allowed = f"Allowed here: {', '.join(fields_at(kind, first['loc'][:-1]))}."
    elif first["type"] == "missing":
        observed, allowed = "is missing", "Add it."
    elif first["type"] == "value_error":
        place, _, rest = message.partition(": ")
        key, observed = (place, rest) if rest and " " not in place else (key, message)
    else:
        observed = f"found {first['input']!r}: {message}"
    others = f" ({more} more problems in this file)" if more else ""
    return Refused(f"{path}: {key}" if key else str(path), observed + others, allowed)


def fields_at(kind: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Names of the keys that may stand at `location` in a document of `kind`."""
    here: Any = kind
    for part in location:
        if isinstance(here, type) and issubclass(here, BaseModel):
            here = here.model_fields[str(part)].annotation
        else:
            here = [one for one in typing.get_args(here) if one is not type(None) and one is not Ellipsis][-1]
    return sorted(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []
