"""Runs of Prefect deployments: started, followed, and judged by the state they end in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks import handover
from tasks.errors import SlipwayError, SpecError
from tasks.following import Look, Phase
from tasks.settings import settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, Log, State
    from prefect.client.schemas.responses import DeploymentResponse

WARNING = 30
FINISHED = "Finished in state"
NOISE = (
    "Beginning flow run",
    "Running 1 deployment pull step",
    "Executing deployment step",
    "Deployment step",
    "All deployment steps completed",
    "Encountered exception during execution",  # the reason is raised
    "Engine execution exited",
    "Process for flow run",
    "Worker '",
    "Flow run '",
)


class RunFailed(SlipwayError):
    """A run that did not complete; the reason is the run's own."""


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


def start(
    client: "SyncPrefectClient",
    name: str,
    parameters: Mapping[str, Any],
    tags: Iterable[str] = (),
    labels: Mapping[str, str | bool] | None = None,
) -> "FlowRun":
    """Ask Prefect for a run of the deployment `name`; SpecError if it does not exist or takes other parameters.

    `tags` and `labels` are kept with the run, beside those of the deployment.
    """
    from prefect.exceptions import PrefectHTTPStatusError

    found = deployment(client, name)
    try:
        return client.create_flow_run_from_deployment(
            found.id, parameters=dict(parameters), tags=list(tags), labels=dict(labels or {})
        )
    except PrefectHTTPStatusError as error:
        raise SpecError(
            f"deployment {name!r}",
            f"does not take these parameters ({error.response.text[:500]})",
            "Correct them.",
        ) from error


def deployment(client: "SyncPrefectClient", name: str) -> "DeploymentResponse":
    """The deployment `name` (flow/deployment). SpecError that names those there are, if it does not exist."""
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound as error:
        flows = {found.id: found.name for found in client.read_flows()}
        known = sorted(f"{flows[found.flow_id]}/{found.name}" for found in client.read_deployments())
        register = "up" if settings().platform == "embedded" else "deploy"
        raise SpecError(
            f"deployment {name!r}",
            f"is not registered; known: {', '.join(known) or 'none'}",
            f"Name one of these, or add it to prefect.yaml and run `slipway {register}`.",
        ) from error


def ongoing(client: "SyncPrefectClient", name: str, parameters: dict[str, Any]) -> "FlowRun | None":
    """A run of the deployment `name` with these parameters that has not ended, the oldest one; or None."""
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import TERMINAL_STATES, StateType
    from prefect.client.schemas.sorting import FlowRunSort

    living = [kind for kind in StateType if kind not in TERMINAL_STATES]
    found = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment(client, name).id])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=living))),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
    )
    same = (run for run in found if parameters.items() <= run.parameters.items())
    return next(same, None)


@dataclass
class Follower:
    """Looks at one run by asking Prefect; `seen` records of its log are known already."""

    client: "SyncPrefectClient"
    run: "FlowRun"
    seen: int = 0
    steps: dict[Any, str] = field(default_factory=dict)
    told: bool = False
    server: str = "Prefect server"

    def look(self) -> Look:
        """Its state, and what is new in its log: finished steps, warnings, and the flow's own words."""
        state = self.client.read_flow_run(self.run.id).state
        logs = self.read_logs()
        self.told = self.told or any(
            log.task_run_id is None and log.message.startswith(FINISHED) for log in logs
        )
        news = tuple(line for line in map(self.line, logs) if line)
        return Look("" if state is None else str(state.name), phase(state), news, self.told)

    def read_logs(self) -> "list[Log]":
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
        from prefect.client.schemas.sorting import LogSort

        of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self.run.id]))
        logs = self.client.read_logs(log_filter=of_run, offset=self.seen, sort=LogSort.TIMESTAMP_ASC)
        self.seen += len(logs)
        if any(log.task_run_id not in self.steps for log in logs if log.task_run_id):
            self.steps |= self.read_steps()
        return logs

    def read_steps(self) -> dict[Any, str]:
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

        this = FlowRunFilter(id=FlowRunFilterId(any_=[self.run.id]))
        return {step.id: step.name for step in self.client.read_task_runs(flow_run_filter=this)}

    def line(self, log: "Log") -> str | None:
        """What to show of one record, or None. Tracebacks stay in the Prefect UI; the reason is raised."""
        first = log.message.split("\n", 1)[0]
        if log.task_run_id is None:
            return None if first.startswith((FINISHED, *NOISE)) else first
        step = self.steps.get(log.task_run_id, "step")
        if first.startswith(FINISHED):
            return f"{step}: {first.removeprefix(FINISHED).strip(' ()')}"
        return f"{step}: {first}" if log.level >= WARNING else None


def phase(state: "State[Any] | None") -> Phase:
    if state is None or state.is_scheduled():
        return "scheduled"
    if state.is_pending():
        return "pending"
    return "ended" if state.is_final() else "running"


def outcome(client: "SyncPrefectClient", name: str, run: "FlowRun") -> Triggered:
    """What came of a run that ended, or RunFailed."""
    state, url = run.state, page(client, run)
    if state is None or not state.is_completed():
        observed = (
            "has no state" if state is None else f"ended {state.name}: {state.message or 'no reason given'}"
        )
        raise RunFailed(f"{name} ({run.name})", observed, f"Its log: {url}")
    result = handover.kept(client, name.partition("/")[0], run.id)
    return Triggered(name, url, str(state.name), state.message or "", result)


def page(client: "SyncPrefectClient", run: "FlowRun") -> str:
    """What a person opens to see the run; how, if it is reached by a forward that ends with this command."""
    found = settings()
    root = str(client.api_url).rstrip("/").removesuffix("/api")
    path = f"/runs/flow-run/{run.id}"
    if found.prefect_page:
        return f"{found.prefect_page}{path}"
    if found.forwarded:
        return f"http://127.0.0.1:4200{path} while `slipway open prefect` runs"
    return f"{root}{path}"
