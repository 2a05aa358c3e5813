"""Start a deployment and follow it: from a notebook, with no address typed, or from any other program.

from flows.trigger import trigger
trigger("retrain", "iris", force=True)
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.errors import PlatformError, SlipwayError, SpecError
from tasks.reach import require
from tasks.settings import connect

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, Log

POLL = 0.5
"""Seconds between two looks at the run."""
WAITING = 30.0
"""Seconds after which a run that no worker took is worth a word."""
LAST_LOGS = 3.0
"""Seconds that the end of the log may come after the end of the run."""


class RunFailed(SlipwayError):
    """A triggered run that did not complete; the reason is the run's own."""


@dataclass(frozen=True)
class Triggered:
    """A completed run: `state` is its outcome in a word, `result` what the flow returned, if that was kept."""

    run: str
    url: str
    state: str
    message: str
    result: Any = None

    def __str__(self) -> str:
        return f"{self.run}: {self.state}. {self.message}\n{self.url}".strip()


def trigger(
    flow: str,
    model: str,
    *,
    say: Callable[[str], None] = print,
    timeout: float | None = None,
    **parameters: Any,
) -> Triggered:
    """Run the deployment `flow`/`model` with `parameters` and follow it to its end; `say` gets states and logs.

    Raises SpecError for an unknown deployment or parameter, PlatformError if Prefect does not answer,
    RunFailed if the run did not complete. `timeout` seconds (or an interrupt) end the following, not the run.
    """
    require("Prefect")
    connect()
    from prefect.client.orchestration import get_client

    name = f"{flow}/{model}"
    with get_client(sync_client=True) as client:
        run = start(client, name, parameters)
        url = f"{str(client.api_url).removesuffix('/').removesuffix('/api')}/runs/flow-run/{run.id}"
        say(f"{name}: {url}")
        for line in follow(client, run, name, timeout):
            say(line)
        ended = client.read_flow_run(run.id)
    return outcome(name, url, ended)


def start(client: "SyncPrefectClient", name: str, parameters: dict[str, Any]) -> "FlowRun":
    """Ask Prefect for a run of the deployment `name`."""
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    try:
        deployment = client.read_deployment_by_name(name)
        return client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    except ObjectNotFound as error:
        flows = {found.id: found.name for found in client.read_flows()}
        known = sorted(f"{flows[found.flow_id]}/{found.name}" for found in client.read_deployments())
        raise SpecError(
            f"deployment {name!r}",
            f"is not registered; known: {', '.join(known) or 'none'}",
            "Name one of these, or add it to prefect.yaml and run `slipway up`.",
        ) from error
    except PrefectHTTPStatusError as error:
        raise SpecError(
            f"deployment {name!r}",
            f"does not take these parameters ({error.response.text[:500]})",
            "Correct them.",
        ) from error


def follow(client: "SyncPrefectClient", run: "FlowRun", name: str, timeout: float | None) -> Iterator[str]:
    """Each change of state and each line of the log, until the run has ended."""
    began, seen, warned = time.monotonic(), 0, False
    state: str | None = None
    while True:
        now = client.read_flow_run(run.id).state
        if now is not None and now.name != state:
            state = now.name
            yield f"{time.monotonic() - began:6.1f} s  {state}"
        logs = read_logs(client, run, seen)
        seen += len(logs)
        yield from (f"          {log.message}" for log in logs if "Traceback (most recent" not in log.message)
        waited = time.monotonic() - began
        if now is not None and now.is_final():
            yield from last_logs(client, run, seen)
            return
        if now is not None and now.is_scheduled() and waited > WAITING and not warned:
            warned = True
            yield f"          no worker has taken {name} yet: `slipway status` says whether one runs"
        if timeout is not None and waited > timeout:
            raise PlatformError(
                name, f"is still {state} after {timeout:g} s", "It goes on; see it in the Prefect UI."
            )
        time.sleep(POLL)


def read_logs(client: "SyncPrefectClient", run: "FlowRun", seen: int) -> "list[Log]":
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.client.schemas.sorting import LogSort

    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    return client.read_logs(log_filter=of_run, offset=seen, sort=LogSort.TIMESTAMP_ASC)


def last_logs(client: "SyncPrefectClient", run: "FlowRun", seen: int) -> Iterator[str]:
    """What the run's process still sends after it reported its last state."""
    until = time.monotonic() + LAST_LOGS
    while time.monotonic() < until:
        logs = read_logs(client, run, seen)
        seen += len(logs)
        yield from (f"          {log.message}" for log in logs if "Traceback (most recent" not in log.message)
        if any(log.message.startswith("Finished in state") for log in logs):
            return
        time.sleep(POLL)


def outcome(name: str, url: str, run: "FlowRun") -> Triggered:
    """What came of a run that ended, or RunFailed."""
    state = run.state
    if state is None or not state.is_completed():
        observed = (
            "has no state" if state is None else f"ended {state.name}: {state.message or 'no reason given'}"
        )
        raise RunFailed(f"{name} ({run.name})", observed, f"Its log: {url}")
    result = state.result(raise_on_failure=False) if state.data is not None else None
    return Triggered(name, url, str(state.name), state.message or "", result)
