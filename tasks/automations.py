"""What Prefect does by itself: a run whose process was killed becomes Crashed, instead of Running for ever."""

import hashlib
import json
from typing import Any

from tasks.prefect_api import ask

TAG = "slipway"
NAME = "a run without heartbeat has crashed"
SILENCE = 90
"""Seconds without any sign of a run. Its heartbeat comes every 30 s (`tasks.settings.client_environment`)."""

ZOMBIES: dict[str, Any] = {
    "name": NAME,
    "description": "The process of a flow run was killed: nobody else would end the run.",
    "enabled": True,
    "trigger": {
        "type": "event",
        "posture": "Proactive",
        "after": ["prefect.flow-run.heartbeat"],
        # Any event of the run: its last one has the name of its last state, which flows choose themselves.
        "expect": ["prefect.flow-run.*"],
        "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
        "for_each": ["prefect.resource.id"],
        "threshold": 1,
        "within": SILENCE,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "message": f"No heartbeat for {SILENCE} s: the process of this run is gone.",
        }
    ],
}


def ensure_automations(api: str) -> tuple[str, ...]:
    """Create each automation, or bring it to what is said here; gives the names of those written."""
    wrong = differing(api)
    for wanted, there in wrong:
        if there is None:
            ask("POST", f"{api}/automations/", marked(wanted)).raise_for_status()
        else:
            ask("PUT", f"{api}/automations/{there['id']}", marked(wanted)).raise_for_status()
    return tuple(wanted["name"] for wanted, _ in wrong)


def differing(api: str) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Each automation whose state is not what is said here, with that state; None: it is not there."""
    pairs = [(wanted, _found(api, wanted["name"])) for wanted in (ZOMBIES,)]
    return [(wanted, there) for wanted, there in pairs if not says(there, marked(wanted))]


def _found(api: str, name: str) -> dict[str, Any] | None:
    query = {"automations": {"name": {"any_": [name]}}}
    found: list[dict[str, Any]] = ask("POST", f"{api}/automations/filter", query).raise_for_status().json()
    return found[0] if found else None


def marked(wanted: dict[str, Any]) -> dict[str, Any]:
    """Pure: the automation with a hash of its definition as a tag: a key that left it shows by nothing else."""
    definition = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    return {**wanted, "tags": [TAG, f"{TAG}-{definition[:12]}"]}


def says(there: Any, wanted: Any) -> bool:
    """Pure: whether the server's `there` holds all of `wanted`; it fills in more, and orders sets as it likes."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(
            key in there and says(there[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list) and all(isinstance(each, str) for each in wanted):
        return isinstance(there, list) and sorted(there) == sorted(wanted)
    if isinstance(wanted, list):
        return isinstance(there, list) and len(there) == len(wanted) and all(map(says, there, wanted))
    return bool(there == wanted)
