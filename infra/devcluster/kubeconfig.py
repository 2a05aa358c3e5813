"""The context in the user's own kubeconfig: added at the start, taken away at the end, nothing else touched."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.devcluster.keys import write_secret
from infra.devcluster.layout import NAME
from tasks.errors import PlatformError

_LISTS = ("clusters", "users", "contexts")
_MEND = "Mend or move that file, then start again."


def user_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The file that kubectl would write to."""
    named = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(named[0]) if named else Path.home() / ".kube" / "config"


def merged(current: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """`current` with our entries in place of earlier ones, and our context chosen."""
    result = without(current)
    for kind in _LISTS:
        result[kind] = [*(result.get(kind) or []), *ours[kind]]
    return {"apiVersion": "v1", "kind": "Config", **result, "current-context": NAME}


def without(current: Mapping[str, Any], previous_context: str | None = None) -> dict[str, Any]:
    """`current` less our entries. Where ours was the chosen context, `previous_context` is again, if it is
    still there."""
    result = dict(current)
    for kind in _LISTS:
        if current.get(kind):
            result[kind] = [entry for entry in current[kind] if entry.get("name") != NAME]
    if result.get("current-context") == NAME:
        names = {entry.get("name") for entry in result.get("contexts") or []}
        result["current-context"] = previous_context if previous_context in names else ""
    return result


def add(ours: Mapping[str, Any], file: Path) -> str | None:
    """Merge our entries into `file`; gives back the context that was chosen before."""
    current = _read(file)
    _write(file, merged(current, ours))
    previous = current.get("current-context")
    return previous if previous != NAME else None


def remove(file: Path, previous_context: str | None) -> None:
    """Take our entries out of `file`; one that holds nothing else goes."""
    if not file.exists():
        return
    current = _read(file)
    if NAME not in {entry.get("name") for kind in _LISTS for entry in current.get(kind) or []}:
        return
    left = without(current, previous_context)
    if any(left.get(kind) for kind in _LISTS):
        _write(file, left)
    else:
        file.unlink()


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        content = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        raise PlatformError(str(file), f"is not YAML: {error}", _MEND) from error
    if not isinstance(content, dict):
        raise PlatformError(str(file), "is no kubeconfig", _MEND)
    return content


def _write(file: Path, content: Mapping[str, Any]) -> None:
    target = file.resolve()  # a link stays a link
    write_secret(target, yaml.safe_dump(dict(content), sort_keys=False).encode())
