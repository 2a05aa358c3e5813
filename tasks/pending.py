"""Runs whose pod never starts: their image cannot be pulled, or no node has room for them.

Prefect would leave such a run Pending for ever. A process of the cluster (`python -m tasks.pending`) with a
worker's rights looks every few seconds. After the time that the Job's annotation allows, the run becomes Crashed
with the pod's reason, and the Job is deleted. It keeps nothing: killed, it goes on from what it sees.
"""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.errors import PlatformError
from tasks.jobs import end_of
from tasks.kubernetes import JOB, POD, Cluster, Manifest, client
from tasks.pods import trouble
from tasks.prefect_api import ask
from tasks.settings import settings, variable

RUN = "prefect.io/flow-run-id"
"""Label that Prefect's worker gives to Jobs and pods."""
TIMEOUT = "slipway.io/pending-timeout"
"""Annotation of a Job, such as `600s`: the templates of the work pools set it."""
DEFAULT = 600.0
EVERY = 5.0
"""Seconds between two looks."""
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Overdue:
    """A Job whose pod has not started in time, and why."""

    job: str
    run: str
    reason: str


def overdue(jobs: Iterable[Manifest], pods: Iterable[Manifest], now: datetime) -> list[Overdue]:
    """Pure: the Jobs that wait for longer than they may."""
    by_job: dict[str, list[Manifest]] = {}
    for pod in pods:
        by_job.setdefault(pod["metadata"].get("labels", {}).get("job-name", ""), []).append(pod)
    found = []
    for job in jobs:
        metadata = job["metadata"]
        own = by_job.get(metadata["name"], [])
        waited = (now - datetime.fromisoformat(metadata["creationTimestamp"])).total_seconds()
        allowed = seconds((metadata.get("annotations") or {}).get(TIMEOUT))
        if waited > allowed and not has_ended(job) and all(is_pending(pod) for pod in own):
            reason = trouble(own) or ("its pod says nothing of why" if own else "no pod was made for it")
            about = f"Pending for {waited:.0f} s, {allowed:.0f} s are allowed (pending_timeout)"
            found.append(Overdue(metadata["name"], metadata["labels"][RUN], f"{about}: {reason}"))
    return found


def seconds(annotation: str | None) -> float:
    try:
        return float((annotation or "").removesuffix("s"))
    except ValueError:
        return DEFAULT


def has_ended(job: Manifest) -> bool:
    return "deletionTimestamp" in job["metadata"] or end_of(job) is not None


def is_pending(pod: Manifest) -> bool:
    return str((pod.get("status") or {}).get("phase", "Pending")) == "Pending"


def sweep(cluster: Cluster, api: str, now: datetime) -> list[Overdue]:
    """End what is overdue in the cluster's namespace. The Job goes last: a sweep that is killed is done again."""
    jobs = [job for job in cluster.list(JOB) if RUN in (job["metadata"].get("labels") or {})]
    found = overdue(jobs, cluster.list(POD) if jobs else (), now)
    for one in found:
        crash(api, one)
        cluster.delete(JOB, one.job)
    return found


def crash(api: str, one: Overdue) -> None:
    """Set the run to Crashed, unless it has ended or is no longer there."""
    answer = ask("GET", f"{api}/flow_runs/{one.run}")
    if answer.status_code == 404 or answer.raise_for_status().json()["state_type"] in ENDED:
        return
    state = {"type": "CRASHED", "name": "Crashed", "message": one.reason}
    ask("POST", f"{api}/flow_runs/{one.run}/set_state", {"state": state, "force": True}).raise_for_status()


def main() -> None:
    """Sweep the namespaces of NAMESPACES until this process is ended."""
    import httpx

    api = settings().prefect_url
    clusters = [client(name) for name in variable("NAMESPACES").split(",")]
    while True:
        for cluster in clusters:
            try:
                for one in sweep(cluster, api, datetime.now(UTC)):
                    sys.stdout.write(f"{cluster.namespace}/{one.job}: {one.reason}\n")
            except (PlatformError, httpx.HTTPError) as error:
                sys.stdout.write(f"{cluster.namespace}: {error}; looked at again in {EVERY:.0f} s\n")
            sys.stdout.flush()
        time.sleep(EVERY)


if __name__ == "__main__":
    main()
