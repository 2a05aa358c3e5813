"""What Prefect does by itself: a run whose process was killed becomes Crashed, instead of Running for ever."""

from infra.local.services import ask

NAME = "a run without heartbeat has crashed"
SILENCE = 90
"""Seconds without any sign of a run. Its heartbeat comes every 30 s (`tasks.settings.client_environment`)."""

ZOMBIES = {
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


def ensure_automations(api: str) -> None:
    """Create the automation, once."""
    found = ask("POST", f"{api}/automations/filter", {"automations": {"name": {"any_": [NAME]}}})
    if not found.raise_for_status().json():
        ask("POST", f"{api}/automations/", ZOMBIES).raise_for_status()
