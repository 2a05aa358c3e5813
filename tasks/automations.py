"""What Prefect does by itself: a run whose process was killed becomes Crashed, instead of Running for ever."""

from typing import Any

from tasks.prefect_api import ask

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
    """Create each automation, once; gives the names of those created."""
    return tuple(wanted["name"] for wanted in (ZOMBIES,) if _ensure(api, wanted))


def _ensure(api: str, wanted: dict[str, Any]) -> bool:
    query = {"automations": {"name": {"any_": [wanted["name"]]}}}
    if ask("POST", f"{api}/automations/filter", query).raise_for_status().json():
        return False
    ask("POST", f"{api}/automations/", wanted).raise_for_status()
    return True
