"""Images of ours in their registry that nothing has referred to for long.

The API of registries tells nobody how old an image is: what counts is for how long housekeeping has seen that
nothing refers to it. References are the lock's, and what work pools, deployments, pods, Jobs, SeldonDeployments
and registered versions name. Only what `make images` pushed goes, and only if the lock says that the registry is
this platform's alone: what another cluster runs from it cannot be seen here.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tasks import old_runs, store
from tasks.kubernetes import JOB, POD, SELDON_DEPLOYMENT, Kind, client
from tasks.lock_parts import LOADED
from tasks.oci import Registry, RegistryRefused, Stored, login
from tasks.prefect_api import every
from tasks.settings import settings

DIGEST = re.compile(r"\bsha256:[0-9a-f]{64}\b")
PUSHED = re.compile(r"^[0-9][0-9a-z.]*-[0-9a-f]{12}$")
"""A tag of `make images`: version, and hash of what went in."""
SEEN = "records/housekeeping.json"
"""In the store: since when nothing refers to an image. Where nobody but releases and housekeeping writes."""


@dataclass(frozen=True)
class OldImages:
    """What goes; since when each image that nothing refers to is such; in words, what could not be looked at."""

    images: tuple[Stored, ...] = ()
    seen: Mapping[str, datetime] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def unused(stored: Iterable[Stored], used: Iterable[str]) -> list[Stored]:
    """Pure: those that only `make images` has named, and that are no part, nor have one, of what is used."""
    everything, named = list(stored), set(used)
    named |= {child for one in everything if one.digest in named for child in one.children}
    return [
        one
        for one in everything
        if not {one.digest, *one.children} & named and all(map(PUSHED.match, one.tags))
    ]


def old(
    found: Iterable[Stored], seen: Mapping[str, datetime], now: datetime, before: datetime
) -> tuple[tuple[Stored, ...], dict[str, datetime]]:
    """Pure: of images that nothing refers to those that are so since `before`; and since when each is so."""
    since = {key(one): (one, seen.get(key(one), now)) for one in found}
    return tuple(one for one, when in since.values() if when < before), {
        k: when for k, (_, when) in since.items()
    }


def key(image: Stored) -> str:
    return f"{image.host}/{image.repository}@{image.digest}"


def find(before: datetime) -> OldImages:
    """None where there is no cluster, and none without the lock's word."""
    if settings().platform != "cluster":
        return OldImages()
    ours = [split(each) for each in settings().images.split()]
    if not ours:
        return OldImages(notes=("Images stay: registry.clean in infra/platform.yaml is not true.",))
    stored: list[Stored] = []
    notes: list[str] = []
    registries = registries_of(ours)
    for host, repository in dict.fromkeys(ours):
        if f"{host}/{repository}".startswith(f"{LOADED}/"):
            notes.append(f"{repository} was loaded into the nodes: no registry has it.")
            continue
        try:
            stored += registries[host].images(repository)
        except RegistryRefused as error:
            notes.append(str(error))
    going, seen = old(unused(stored, references()), read_seen(), datetime.now(UTC), before)
    return OldImages(going, seen, tuple(dict.fromkeys(notes)))


def remove(found: OldImages) -> OldImages:
    """Delete what nothing came to refer to meanwhile, and remember the rest; what went, and what was refused."""
    if not settings().images:
        return found
    used, gone, notes = references() if found.images else set(), [], list(found.notes)
    registries = registries_of((each.host, each.repository) for each in found.images)
    for image in unused(found.images, used):
        try:
            registries[image.host].delete(image)
        except RegistryRefused as error:
            notes.append(str(error))
        else:
            gone.append(image)
    left = {name: when for name, when in found.seen.items() if name not in set(map(key, gone))}
    if left != read_seen():
        written = {name: when.isoformat() for name, when in left.items()}
        store.write_bytes(store.join(settings().store_root, SEEN), json.dumps(written, indent=1).encode())
    return OldImages(tuple(gone), left, tuple(dict.fromkeys(notes)))


def registries_of(images: Iterable[tuple[str, str]]) -> dict[str, Registry]:
    document = settings().registry_login.get_secret_value()
    return {host: Registry(host, login(document, host)) for host, _ in images}


def split(reference: str) -> tuple[str, str]:
    """Pure: registry and repository of `registry/repository@digest`."""
    host, _, rest = reference.partition("@")[0].partition("/")
    return host, rest


def read_seen() -> dict[str, datetime]:
    uri = store.join(settings().store_root, SEEN)
    written = json.loads(store.read_bytes(uri)) if store.exists(uri) else {}
    return {name: datetime.fromisoformat(when) for name, when in written.items()}


def references() -> set[str]:
    """Every digest that the platform names anywhere; of something else than an image, too."""
    found = settings()
    spaces = dict.fromkeys((found.platform_namespace, found.training_namespace, found.serving_namespace))
    kinds: list[tuple[str, Kind]] = [(space, kind) for space in spaces for kind in (POD, JOB)]
    kinds.append((found.serving_namespace, SELDON_DEPLOYMENT))
    texts = [found.images, found.model_server_image]
    texts += [json.dumps(client(space).list(kind)) for space, kind in kinds]
    for what in ("work_pools", "deployments"):
        texts += [json.dumps(each) for each in every(f"{found.prefect_url}/{what}/filter")]
    texts += [json.dumps([one.tags, one.description]) for one in old_runs.versions()]
    return {digest for text in texts for digest in DIGEST.findall(text)}
