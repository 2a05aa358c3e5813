"""Where two states of an object differ, field by field, in words. Pure."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

UNSET = object()
LONGEST = 60
"""Characters of a value that are shown."""


def differing(
    there: Any, wanted: Any, only_wanted: bool = False, path: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Path, state and wanted state of each field that differs; `only_wanted`: of fields that `wanted` names."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = list(wanted) if only_wanted else list(dict.fromkeys((*there, *wanted)))
        for key in keys:
            inner = f"{path}.{key}" if path else key
            yield from differing(there.get(key, UNSET), wanted.get(key, UNSET), only_wanted, inner)
    elif isinstance(there, list) and isinstance(wanted, list) and matched(there, wanted):
        states, wishes = by_name(there), by_name(wanted)
        for name in wishes if only_wanted else list(dict.fromkeys((*states, *wishes))):
            inner = f"{path}[{name}]"
            yield from differing(states.get(name, UNSET), wishes.get(name, UNSET), only_wanted, inner)
    elif there != wanted:
        yield path, there, wanted


def holds(there: Any, wanted: Any, but_for: str | None = None) -> bool:
    """Whether `there` says all that `wanted` does; it may say more. `but_for`: a key that does not count."""
    found = differing(there, wanted, only_wanted=True)
    return all(path.rpartition(".")[2] == but_for for path, *_ in found)


def matched(there: list[Any], wanted: list[Any]) -> bool:
    """Whether the items of two lists are known by name, or are as many."""
    return len(there) == len(wanted) or all(
        isinstance(each, dict) and "name" in each for each in (*there, *wanted)
    )


def by_name(items: list[Any]) -> dict[str, Any]:
    named = all(isinstance(each, dict) and "name" in each for each in items)
    return {str(each["name"]) if named else str(place): each for place, each in enumerate(items)}


def said(differences: Iterable[tuple[str, Any, Any]], secret: bool = False) -> list[str]:
    """A line for each field. `secret`: nothing of its values."""
    if secret:
        return [f"{path} differs" for path, _, _ in differences]
    return [f"{path} is {shown(there)}, wanted {shown(wanted)}" for path, there, wanted in differences]


def shown(value: Any) -> str:
    if value is UNSET:
        return "unset"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
