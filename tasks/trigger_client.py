"""What a notebook says to the trigger of its hub (`trigger_service.py`), and what it is told of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from tasks import handover, lineage
from tasks.errors import PlatformError, SlipwayError, SpecError
from tasks.following import Look
from tasks.runs import RunFailed, Triggered
from tasks.settings import settings
from tasks.trigger_rules import Asked, NotAllowed

if TYPE_CHECKING:
    import httpx

TIMEOUT = 30.0
"""Seconds that one answer may take."""
ERRORS: Mapping[str, type[SlipwayError]] = {
    one.__name__: one for one in (NotAllowed, PlatformError, RunFailed, SpecError)
}


class Started(TypedDict):
    id: str
    url: str


class HubRun:
    """A run that the trigger started, looked at by asking it."""

    def __init__(self, trigger: "httpx.Client", run_id: str) -> None:
        self._trigger, self._id, self._seen, self._told = trigger, run_id, 0, False
        self.server = f"the trigger {trigger.base_url}"

    def look(self) -> Look:
        found = read(self._trigger.get(f"/runs/{self._id}", params={"seen": self._seen}))
        self._seen, self._told = found["seen"], self._told or found["told"]
        return Look(found["state"], found["phase"], tuple(found["news"]), self._told)


def connected() -> "httpx.Client":
    """A connection to the trigger that the hub's settings name, as whom the hub says this notebook is."""
    import httpx

    found = settings()
    token = found.hub_token.get_secret_value()
    if not token:
        raise PlatformError(
            "this notebook",
            "has no token of the hub (JUPYTERHUB_API_TOKEN)",
            "Start it from the hub: File > Hub Control Panel > Stop My Server, then start it again.",
        )
    return httpx.Client(
        base_url=found.trigger_url, headers={"Authorization": f"token {token}"}, timeout=TIMEOUT,
        trust_env=False,
    )  # fmt: skip


def start(trigger: "httpx.Client", flow: str, name: str, parameters: Mapping[str, Any]) -> Started:
    """Ask for a run of the deployment `flow`/`name`; the notebook's commit goes along."""
    import httpx

    commit, dirty = lineage.notebook_facts(Path.cwd())
    asked = Asked(flow=flow, name=name, parameters=dict(parameters), commit=commit, dirty=dirty)
    try:
        answer = trigger.post("/runs", json=asked.model_dump(mode="json"))
    except httpx.TransportError as error:
        raise PlatformError(
            f"the trigger {trigger.base_url}",
            f"does not answer ({error or type(error).__name__})",
            "Whoever runs the platform sees why with `slipway status`.",
        ) from error
    started: Started = read(answer)
    return started


def outcome(trigger: "httpx.Client", flow: str, name: str, started: Started) -> Triggered:
    """What came of a run that has ended, or RunFailed."""
    found = read(trigger.get(f"/runs/{started['id']}/outcome"))
    result = handover.restored(flow, found["result"])
    return Triggered(f"{flow}/{name}", found["url"], found["state"], found["message"], result)


def read(answer: "httpx.Response") -> Any:
    """What the trigger answers; raises what it refuses with."""
    if answer.is_success:
        return answer.json()
    try:
        said = answer.json()
        kind = ERRORS.get(said["error"], PlatformError)
        error = kind(said["object"], said["observed"], said["next_step"])
    except (ValueError, KeyError, TypeError):
        error = PlatformError("the trigger", f"answers {answer.status_code}", "See its log.")
    raise error
