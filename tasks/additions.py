"""Fields that somebody added to an object by hand, beside those that its chart says. Pure.

Helm puts back what it owns, and leaves what it never said: a variable set with `kubectl set env` would stay
for ever. The API server knows who wrote each field (`managedFields`); what only kubectl wrote is by hand.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from tasks.kubernetes import Manifest

BY_HAND = "kubectl"
"""How the names begin under which kubectl writes; controllers have others."""
ALLOWED = ("kubectl-rollout",)
"""A restart asked for is no change of what is to run."""
ITSELF = "."
Path = tuple[str, ...]
"""Steps of `managedFields`: `f:NAME`, `k:{"name":"x"}`, `v:VALUE`."""


def added(there: Manifest) -> dict[Path, str]:
    """The topmost fields that only kubectl wrote, and under which name."""
    entries = [each for each in there["metadata"].get("managedFields") or () if not each.get("subresource")]
    kept = {path for each in entries if not by_hand(each["manager"]) for path in paths(each["fieldsV1"])}
    found: dict[Path, str] = {}
    for each in entries:
        if by_hand(each["manager"]):
            found |= dict.fromkeys(top(each["fieldsV1"], kept), each["manager"])
    return found


def by_hand(manager: str) -> bool:
    return manager.startswith(BY_HAND) and manager not in ALLOWED


def paths(fields: Manifest, above: Path = ()) -> Iterator[Path]:
    """Every path that is owned, and those that lead there."""
    for step, below in fields.items():
        if step != ITSELF:
            yield (*above, step)
            yield from paths(below, (*above, step))


def top(fields: Manifest, kept: set[Path], above: Path = ()) -> Iterator[Path]:
    """Paths of which nothing is in `kept`, none below another."""
    for step, below in fields.items():
        path = (*above, step)
        if step == ITSELF:
            continue
        if path in kept:
            yield from top(below, kept, path)
        elif not below or ITSELF in below or step.startswith(("k:", "v:")):
            yield path
        else:
            yield from top(below, kept, path)


def text(path: Path) -> str:
    """As people write it: `spec.template.spec.containers[mlflow].env[DEBUG]`."""
    words = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            words += f".{rest}" if words else rest
        else:
            value = json.loads(rest)
            words += f"[{', '.join(map(str, value.values())) if isinstance(value, dict) else value}]"
    return words


def without(there: Manifest, unwanted: list[Path]) -> Manifest:
    """The object as it is, but for these fields."""
    made = deepcopy(there)
    for path in unwanted:
        remove(made, path)
    return made


def remove(value: Any, path: Path) -> None:
    step, *rest = path
    kind, _, name = step.partition(":")
    key = name if kind == "f" else place(value, kind, json.loads(name))
    if key is None or (isinstance(value, dict) and key not in value):
        return
    if rest:
        remove(value[key], tuple(rest))
    else:
        del value[key]


def place(items: list[Any], kind: str, known: Any) -> int | None:
    """Where in a list the item is that `managedFields` names."""
    for index, each in enumerate(items):
        if (kind == "k" and known.items() <= each.items()) or (kind == "v" and each == known):
            return index
    return known if kind == "i" else None
