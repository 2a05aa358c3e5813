"""What a user of the hub may start, and with what. Pure.

Runs that somebody asks for from a notebook are made by identities that may read and write more than a notebook: so
it is listed here what may be asked, and where data may come from and go to.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tasks.errors import SlipwayError, SpecError
from tasks.identities import READS, WRITES
from tasks.spec import ModelSpec

PARAMETERS = {"retrain": ("engine", "force", "sources"), "score": ("destination", "engine", "sources")}
"""By flow, the parameters that may be given. No other flow may be started."""
READABLE = READS["notebook"]
"""Folders of the store that a notebook reads itself: nothing else becomes a source."""
WRITABLE = WRITES["notebook"]
"""Folders of the store that a notebook writes itself: scores go nowhere else."""
PART = re.compile(r"[A-Za-z0-9_=][A-Za-z0-9._=+-]*")
"""Of a URI's path."""
ASKED_BY, DEPLOYMENT, COMMIT, DIRTY = (
    f"slipway.{name}" for name in ("asked-by", "deployment", "notebook-commit", "notebook-dirty")
)


class NotAllowed(SlipwayError):
    """Something that this user may not do."""


class Asked(BaseModel):
    """What a notebook asks for. `commit` is that of the notebook's repository, empty if it is in none."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    flow: str
    name: str
    """Of the deployment: mostly the model's, `flight-delays-spark` for instance else."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    commit: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{7,64})?$")] = ""
    dirty: bool = False

    @property
    def deployment(self) -> str:
        return f"{self.flow}/{self.name}"


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...]


def listed(document: Mapping[str, Any]) -> dict[str, str]:
    """What prefect.yaml has of the flows that may be started: `flow/deployment` -> the model that it is for."""
    found = {}
    for entry in document["deployments"]:
        flow = entry["entrypoint"].rpartition(":")[2]
        if flow in PARAMETERS:
            found[f"{flow}/{entry['name']}"] = str(entry["parameters"]["model"])
    return found


def check(user: User, asked: Asked, spec: ModelSpec, root: str) -> None:
    """Raise NotAllowed or SpecError, unless `user` may start this run of the model of `spec`.

    `root` is the store's.
    """
    check_group(user, spec)
    allowed = PARAMETERS[asked.flow]
    unknown = sorted(set(asked.parameters) - set(allowed))
    if unknown:
        raise NotAllowed(
            f"{asked.deployment}: parameter {unknown[0]!r}",
            "is not one that a notebook may give",
            f"Allowed here: {', '.join(allowed)}.",
        )
    for name, uri in _uris(asked).items():
        check_place(name, uri, root, WRITABLE if name == "destination" else READABLE)


def check_group(user: User, spec: ModelSpec) -> None:
    groups = spec.notebooks.groups
    own = f"{user.name} is in {_named(user.groups)}"
    if not set(groups) & set(user.groups):
        raise NotAllowed(
            f"model {spec.name}",
            f"may be retrained and scored from notebooks by {_named(groups)}; {own}",
            f"Ask for a place in one of them, or for a group of yours in `notebooks.groups` of {spec.path.name}.",
        )


def check_place(name: str, uri: Any, root: str, folders: tuple[str, ...]) -> None:
    """Raise unless `uri` lies below one of `folders` of the store."""
    if not isinstance(uri, str):
        raise SpecError(name, f"is {uri!r}", "Give a URI, store://... or s3://...")
    path = uri.removeprefix("store://") if uri.startswith("store://") else uri.removeprefix(f"{root}/")
    parts = path.rstrip("/").split("/")
    if path == uri or parts[0] not in folders or len(parts) < 2 or not all(map(PART.fullmatch, parts)):
        places = " or ".join(f"store://{folder}/..." for folder in folders)
        raise NotAllowed(f"{name} {uri!r}", "is no place for a notebook's run", f"Give {places}.")


def tags(user: User, asked: Asked) -> tuple[str, ...]:
    """What Prefect's pages show of where a run comes from."""
    notebook = asked.commit[:12] + ("+" if asked.dirty else "") if asked.commit else "no-commit"
    return f"asked-by:{user.name}", f"notebook:{notebook}"


def labels(user: User, asked: Asked) -> dict[str, str | bool]:
    """The same, to be read by programs."""
    return {
        ASKED_BY: user.name, DEPLOYMENT: asked.deployment, COMMIT: asked.commit, DIRTY: asked.dirty,
    }  # fmt: skip


def _uris(asked: Asked) -> dict[str, Any]:
    sources = asked.parameters.get("sources") or {}
    if not isinstance(sources, dict):
        raise SpecError("sources", f"is {sources!r}", "Give a URI by name: {name: store://...}.")
    found = {f"source {name}": uri for name, uri in sources.items()}
    if asked.parameters.get("destination") is not None:
        found["destination"] = asked.parameters["destination"]
    return found


def _named(groups: tuple[str, ...]) -> str:
    return ", ".join(sorted(groups)) or "no group"
