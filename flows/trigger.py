"""Start a deployment and follow it: from a notebook, with no address typed, or from any other program.

On a hub the trigger does it, for whoever the notebook belongs to (`tasks/trigger_service.py`); elsewhere Prefect
is asked directly.

from flows.trigger import trigger
trigger("retrain", "iris", force=True)
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tasks import runs, trigger_client
from tasks.errors import PlatformError
from tasks.following import lines
from tasks.reach import reached
from tasks.runs import Follower, Triggered
from tasks.settings import settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun


def trigger(
    flow: str,
    model: str,
    *,
    say: Callable[[str], None] = print,
    timeout: float | None = None,
    **parameters: Any,
) -> Triggered:
    """Run the deployment `flow`/`model` with `parameters` and follow it to its end; `say` gets each line of news.

    Raises SpecError for an unknown deployment or parameter, NotAllowed for what a hub's user may not start,
    PlatformError if Prefect does not answer, RunFailed with the run's own reason if it did not complete. After
    `timeout` seconds, or an interrupt, the following ends and the run goes on.
    """
    if settings().trigger_url:
        return on_hub(flow, model, say, timeout, parameters)
    name = f"{flow}/{model}"
    with reached("Prefect"):
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            return follow(client, name, runs.start(client, name, parameters), say, timeout)


def on_hub(
    flow: str, model: str, say: Callable[[str], None], timeout: float | None, parameters: dict[str, Any]
) -> Triggered:
    """The same by the hub's trigger, which knows who asks and lets them start what they may."""
    name = f"{flow}/{model}"
    with trigger_client.connected() as hub:
        started = trigger_client.start(hub, flow, model, parameters)
        say(f"{name}: {started['url']}")
        for line in lines(name, trigger_client.HubRun(hub, started["id"]), timeout):
            say(line)
        return trigger_client.outcome(hub, flow, model, started)


def check(flow: str, model: str) -> None:
    """Raise SpecError if there is no deployment `flow`/`model`."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        runs.deployment(client, f"{flow}/{model}")


def run_or_join(flow: str, model: str, say: Callable[[str], None], **parameters: Any) -> Triggered:
    """The same from within a flow; a run with these parameters that has not ended is followed, not repeated.

    So a flow that was killed while it waited finds, when it runs again, what it had started.
    """
    from prefect.client.orchestration import get_client

    name = f"{flow}/{model}"
    with get_client(sync_client=True) as client:
        run = runs.ongoing(client, name, parameters) or runs.start(client, name, parameters)
        ended = follow(client, name, run, say, None)
    if ended.result is None:
        raise PlatformError(
            name, f"completed, but left no result ({ended.message})", f"Run this again; its log: {ended.url}"
        )
    return ended


def follow(
    client: "SyncPrefectClient", name: str, run: "FlowRun", say: Callable[[str], None], timeout: float | None
) -> Triggered:
    say(f"{name}: {runs.page(client, run)}")
    for line in lines(name, Follower(client, run), timeout):
        say(line)
    return runs.outcome(client, name, client.read_flow_run(run.id))
