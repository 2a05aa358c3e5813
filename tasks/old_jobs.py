"""Jobs of flow runs and of bootstrap's checks that ended long ago, with their pods.

Kubernetes removes them itself a few minutes after their end; this is for those that it did not, where its
controller for that was off or away.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tasks.jobs import end_of
from tasks.kubernetes import JOB, Manifest, client
from tasks.secrets import is_ours as made_here
from tasks.settings import settings

PREFECT = "prefect.io/"
"""What the labels begin with that Prefect's worker gives the Job of a flow run."""


@dataclass(frozen=True)
class EndedJob:
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def ended(jobs: Iterable[Manifest], before: datetime) -> tuple[EndedJob, ...]:
    """Pure: those of ours that completed or failed before then."""
    return tuple(
        EndedJob(job["metadata"]["namespace"], job["metadata"]["name"])
        for job in jobs
        if is_ours(job)
        and (end := end_of(job)) is not None
        and datetime.fromisoformat(end["lastTransitionTime"]) < before
    )


def is_ours(job: Manifest) -> bool:
    """Pure: whether the Job is a flow run, or one of bootstrap's checks."""
    return made_here(job) or any(label.startswith(PREFECT) for label in job["metadata"].get("labels") or {})


def find(before: datetime) -> tuple[EndedJob, ...]:
    """In the namespaces of the platform; none where there is no cluster."""
    found = settings()
    if found.platform != "cluster":
        return ()
    spaces = dict.fromkeys((found.platform_namespace, found.training_namespace, found.serving_namespace))
    return ended((job for space in spaces for job in client(space).list(JOB)), before)


def remove(jobs: Iterable[EndedJob]) -> None:
    """With their pods; may be repeated."""
    for job in jobs:
        client(job.namespace).delete(JOB, job.name)
