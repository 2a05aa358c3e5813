"""What Prefect does by itself: ends runs whose process was killed, tells of scheduled ones that went wrong."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.prefect_api import ask

TAG = "slipway"
NAME = "a run without heartbeat has crashed"
NOTICE = "a scheduled run failed or is held"
SCHEDULED = "prefect.tag.auto-scheduled"
"""Which Prefect gives the runs that a schedule made, and no others."""
FLOWS = ("retrain", "score", "housekeeping")
STATES = ("Failed", "Crashed", "TimedOut", "Held")
"""Names of the states that are told. A retrain that may not release completes as Held (`flows/retrain.py`)."""
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


ABOUT = "{{ flow.name }} {{ flow_run.parameters.model|default('', true) }}: {{ flow_run.state.name }}"
TOLD = f"Slipway: {ABOUT}\n{{{{ flow_run.state.message }}}}\n{{{{ flow_run|ui_url }}}}"


@dataclass(frozen=True)
class Difference:
    """An automation that is not as it should be: `wanted` None, it should not be; `there` None, it is not."""

    name: str
    wanted: dict[str, Any] | None
    there: dict[str, Any] | None


def notice(blocks: Mapping[str, str]) -> dict[str, Any]:
    """Pure: the automation that tells of a scheduled run by each of these blocks (name -> id)."""
    return {
        "name": NOTICE,
        "description": "Told by the blocks that `notify` of infra/platform.yaml stands for.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "expect": [f"prefect.flow-run.{state}" for state in STATES],
            "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
            "match_related": [
                {"prefect.resource.role": ["flow"], "prefect.resource.name": list(FLOWS)},
                {"prefect.resource.id": [SCHEDULED]},
            ],
            "threshold": 1,
            "within": 0,
        },
        "actions": [
            {
                "type": "send-notification",
                "block_document_id": each,
                "subject": f"Slipway: {ABOUT}",
                "body": TOLD,
            }
            for _, each in sorted(blocks.items())
        ],
    }


def ensure_automations(api: str, blocks: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Create each automation, bring it to what is said here, or remove it; gives the names of those written.

    `blocks`: those of Prefect's blocks that tell people (name -> id); without any nobody is told.
    """
    wrong = differing(api, blocks)
    for each in wrong:
        if each.wanted is None and each.there is not None:
            ask("DELETE", f"{api}/automations/{each.there['id']}").raise_for_status()
        elif each.wanted is not None and each.there is None:
            ask("POST", f"{api}/automations/", marked(each.wanted)).raise_for_status()
        elif each.wanted is not None and each.there is not None:
            ask("PUT", f"{api}/automations/{each.there['id']}", marked(each.wanted)).raise_for_status()
    return tuple(each.name for each in wrong)


def differing(api: str, blocks: Mapping[str, str] | None = None) -> list[Difference]:
    """Each automation whose state is not what is said here."""
    wanted = {NAME: ZOMBIES, NOTICE: notice(blocks) if blocks else None}
    found = [Difference(name, definition, _found(api, name)) for name, definition in wanted.items()]
    return [each for each in found if not stands(each)]


def stands(one: Difference) -> bool:
    """Pure: whether it is as it should be after all."""
    return one.there is None if one.wanted is None else says(one.there, marked(one.wanted))


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
