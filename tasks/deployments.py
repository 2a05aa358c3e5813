"""Deployments at a Prefect server: what `prefect.yaml` says, and nothing that it no longer says."""

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tasks.errors import PlatformError
from tasks.prefect_api import ask
from tasks.settings import ROOT

FILE = ROOT / "prefect.yaml"
TAG = "slipway"
"""Deployments of the file carry it; those that somebody made by hand do not, and stay."""
REMEMBERED = "slipway_registered"
"""Prefect variable with the hash of what was registered last."""
CLEAR = {"PREFECT_DEPLOYMENTS_CLEAR_SCHEDULES_ON_EMPTY": "true"}
"""Without it `schedules: []` in the file leaves the server's schedules alive."""


@dataclass(frozen=True)
class Registered:
    """Names (`flow/deployment`) of what the file has, and of what was removed because it left the file."""

    deployments: tuple[str, ...]
    removed: tuple[str, ...]


def file_hash() -> str:
    """What registering depends on: the file, and the flows, whose parameters become the deployments'."""
    digest = hashlib.sha256()
    automations = ROOT / "tasks" / "automations.py"
    for file in (FILE, ROOT / "uv.lock", automations, *sorted((ROOT / "flows").glob("*.py"))):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def ensure(api: str, environment: Mapping[str, str]) -> Registered | None:
    """`register`, unless what the server has was registered from just this; then None."""
    if differing(api) is None:
        return None
    registered = register(api, environment)
    _remember(api, file_hash())
    return registered


def differing(api: str) -> str | None:
    """Why what the server has is not what the file says; None if it is."""
    remembered = _remembered(api)
    if remembered != file_hash():
        return "the file or the flows changed" if remembered else "nothing was registered yet"
    return None if complete(api) else "deployments or schedules are missing, or are not in the file"


def _remembered(api: str) -> str | None:
    answer = ask("GET", f"{api}/variables/name/{REMEMBERED}")
    return None if answer.status_code == 404 else str(answer.raise_for_status().json()["value"])


def _remember(api: str, value: str) -> None:
    if _remembered(api) is None:
        body = {"name": REMEMBERED, "value": value}
        ask("POST", f"{api}/variables/", body).raise_for_status()
    else:
        ask("PATCH", f"{api}/variables/name/{REMEMBERED}", {"value": value}).raise_for_status()


def register(api: str, environment: Mapping[str, str]) -> Registered:
    """Deploy the whole file to the server that `environment` names, then remove what left it."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=ROOT, env={**environment, **CLEAR}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise PlatformError(
            str(FILE),
            f"`prefect deploy --all` failed:\n{(done.stdout + done.stderr).strip()[-3000:]}",
            "Correct the file, then run this again.",
        )
    document = yaml.safe_load(FILE.read_text())
    return Registered(tuple(schedules(document)), prune(api, document))


def complete(api: str) -> bool:
    """Whether the server has exactly the file's deployments and schedules, by name."""
    wanted = schedules(yaml.safe_load(FILE.read_text()))
    return {name: slugs for name, (_, slugs) in present(api).items()} == wanted


def present(api: str) -> dict[str, tuple[dict[str, Any], set[str]]]:
    """The registered deployments that carry our tag, as `flow/name`, with the slugs of their schedules."""
    query = {"deployments": {"tags": {"all_": [TAG]}}}
    found = ask("POST", f"{api}/deployments/filter", query).raise_for_status().json()
    flows = {
        one["id"]: one["name"] for one in ask("POST", f"{api}/flows/filter", {}).raise_for_status().json()
    }
    return {
        f"{flows[one['flow_id']]}/{one['name']}": (one, {schedule["slug"] for schedule in one["schedules"]})
        for one in found
    }


def schedules(document: dict[str, Any]) -> dict[str, set[str]]:
    """Pure: every deployment of the file, as `flow/name`, with the slugs of its schedules."""
    return {
        f"{entry['entrypoint'].rsplit(':', 1)[1].replace('_', '-')}/{entry['name']}": {
            schedule["slug"] for schedule in entry.get("schedules") or ()
        }
        for entry in document["deployments"]
    }


def prune(api: str, document: dict[str, Any]) -> tuple[str, ...]:
    """Delete registered deployments, and schedules of them, that the file does not have; gives their names."""
    kept, removed = schedules(document), []
    for name, (deployment, _) in present(api).items():
        url = f"{api}/deployments/{deployment['id']}"
        if name not in kept:
            ask("DELETE", url).raise_for_status()
            removed.append(name)
            continue
        for schedule in deployment["schedules"]:
            if schedule["slug"] not in kept[name]:
                ask("DELETE", f"{url}/schedules/{schedule['id']}").raise_for_status()
                removed.append(f"schedule {schedule['slug']} of {name}")
    return tuple(removed)
