"""Prefect's server takes a run of a flow to its end."""

from tasks.checks import run
from tasks.settings import connect


def check() -> str:
    connect()
    from prefect import flow
    from prefect.client.orchestration import get_client

    @flow(name="verification", flow_run_name="verification", log_prints=False)
    def nothing() -> int:
        return 42

    state = nothing(return_state=True)
    if not state.is_completed() or state.state_details.flow_run_id is None:
        raise RuntimeError(f"the flow ended as {state}")
    with get_client(sync_client=True) as client:
        kept = client.read_flow_run(state.state_details.flow_run_id)
        if kept.state is None or not kept.state.is_completed():
            raise RuntimeError(f"the server keeps {kept.state} for it")
        client.delete_flow_run(kept.id)
    return "ran an empty flow"


if __name__ == "__main__":
    run(check)
