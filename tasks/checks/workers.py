"""Each worker takes a run from its pool, and a pod takes it to its end."""

import time
from typing import Any

from tasks.checks import run
from tasks.settings import connect, variable

FLOW = "verification"
SMALL = {"cpu": "100m", "memory": "768Mi"}
"""So that it finds room on a busy node."""
PATIENCE = 240.0
"""Seconds that all pools together may take: a node may have to fetch the image first."""


def check() -> str:
    connect()
    from prefect.client.orchestration import get_client

    pools = variable("POOLS").split(",")
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name(FLOW)
        made = {
            pool: client.create_deployment(
                flow_id=flow,
                name=pool,
                work_pool_name=pool,
                entrypoint="flows/verification.py:verification",
                schedules=[],
                job_variables=SMALL,
                pull_steps=[
                    {"prefect.deployments.steps.set_working_directory": {"directory": "/opt/slipway"}}
                ],
            )
            for pool in pools
        }
        try:
            runs = {pool: client.create_flow_run_from_deployment(made[pool]).id for pool in pools}
            states = wait(client, runs)
        finally:
            for deployment in made.values():
                client.delete_deployment(deployment)
    ended = {pool: state for pool, state in states.items() if not (state and state.is_completed())}
    if ended:
        said = "; ".join(
            f"pool {pool}: {state.name if state else 'no state'}: {(state and state.message) or ''}"
            for pool, state in ended.items()
        )
        raise RuntimeError(f"not completed within {PATIENCE:.0f} s: {said}")
    return f"ran a flow in a pod of {', '.join(pools)}"


def wait(client: Any, runs: dict[str, Any]) -> dict[str, Any]:
    """The last state of each run, when all have ended or patience is over."""
    until = time.monotonic() + PATIENCE
    while True:
        states = {pool: client.read_flow_run(run_id).state for pool, run_id in runs.items()}
        if all(state and state.is_final() for state in states.values()) or time.monotonic() > until:
            return states
        time.sleep(1)


if __name__ == "__main__":
    run(check)
