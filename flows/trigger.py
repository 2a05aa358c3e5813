"""Start a deployment and follow it: from a notebook, with no address typed, or from any other program.

from flows.trigger import trigger
trigger("retrain", "iris", force=True)
"""

from collections.abc import Callable
from typing import Any

from tasks import runs
from tasks.reach import require
from tasks.runs import Follower, Triggered
from tasks.settings import connect


def trigger(
    flow: str,
    model: str,
    *,
    say: Callable[[str], None] = print,
    timeout: float | None = None,
    **parameters: Any,
) -> Triggered:
    """Run the deployment `flow`/`model` with `parameters` and follow it to its end; `say` gets each line of news.

    Raises SpecError for an unknown deployment or parameter, PlatformError if Prefect does not answer,
    RunFailed with the run's own reason if it did not complete. After `timeout` seconds, or an interrupt, the
    following ends and the run goes on.
    """
    require("Prefect")
    connect()
    from prefect.client.orchestration import get_client

    name = f"{flow}/{model}"
    with get_client(sync_client=True) as client:
        run = runs.start(client, name, parameters)
        url = f"{str(client.api_url).rstrip('/').removesuffix('/api')}/runs/flow-run/{run.id}"
        say(f"{name}: {url}")
        for line in Follower(client, run, name).lines(timeout):
            say(line)
        ended = client.read_flow_run(run.id)
    return runs.outcome(name, url, ended)
