"""Deployments of the embedded platform: what `prefect.yaml` says, and nothing that it no longer says."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from infra.local import state as states
from infra.local.automations import ensure_automations
from infra.local.services import ask, settings_at
from tasks.errors import PlatformError
from tasks.settings import ROOT, child_environment, client_environment

TAG = "slipway"
"""Deployments of the file carry it; those that somebody made by hand do not, and stay."""


CLEAR = {"PREFECT_DEPLOYMENTS_CLEAR_SCHEDULES_ON_EMPTY": "true"}
"""Without it `schedules: []` in the file leaves the server's schedules alive."""


def file_hash() -> str:
    """What registering depends on: the file, and the flows, whose parameters become the deployments'."""
    digest = hashlib.sha256()
    once = Path(__file__).with_name("automations.py")
    for file in (ROOT / "prefect.yaml", ROOT / "uv.lock", once, *sorted((ROOT / "flows").glob("*.py"))):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def register(home: Path, state: states.State, say: Callable[[str], None]) -> None:
    """Deploy the whole file when it changed since last time, then remove what left it."""
    wanted = file_hash()
    if state.registered == wanted:
        return
    say("registering the deployments of prefect.yaml")
    found = settings_at(home, state.addresses)
    environment = child_environment(client_environment(found) | CLEAR)
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise PlatformError(
            str(ROOT / "prefect.yaml"),
            f"`prefect deploy --all` failed:\n{(done.stdout + done.stderr).strip()[-3000:]}",
            "Correct the file, then run `slipway up` again.",
        )
    ensure_automations(found.prefect_url)
    prune(found.prefect_url, yaml.safe_load((ROOT / "prefect.yaml").read_text()))
    state.registered = wanted
    states.write(home, state)


def prune(api: str, document: dict[str, Any]) -> None:
    """Delete registered deployments, and schedules of them, that the file does not have."""
    kept = {
        (entry["entrypoint"].rsplit(":", 1)[1].replace("_", "-"), entry["name"]): {
            schedule["slug"] for schedule in entry.get("schedules") or ()
        }
        for entry in document["deployments"]
    }
    query = {"deployments": {"tags": {"all_": [TAG]}}}
    answer = ask("POST", f"{api}/deployments/filter", query).raise_for_status()
    for deployment in answer.json():
        flow = ask("GET", f"{api}/flows/{deployment['flow_id']}").raise_for_status().json()["name"]
        slugs = kept.get((flow, deployment["name"]))
        url = f"{api}/deployments/{deployment['id']}"
        if slugs is None:
            ask("DELETE", url).raise_for_status()
            continue
        for schedule in deployment["schedules"]:
            if schedule["slug"] not in slugs:
                ask("DELETE", f"{url}/schedules/{schedule['id']}").raise_for_status()
