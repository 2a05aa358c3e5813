"""What housekeeping comes to: everything that is old and that nothing needs any more, by name."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field

from tasks import old_data, old_images, old_jobs, old_runs
from tasks.old_data import Unused
from tasks.old_images import OldImages
from tasks.old_jobs import EndedJob
from tasks.old_runs import Leaving

Age = Annotated[int, Field(ge=1)]
"""Days (or hours) after which something is old. Never 0: what a run is working with is younger than that."""


@dataclass(frozen=True)
class Housekeeping:
    """What was removed, or with `dry_run` would be."""

    dry_run: bool
    jobs: tuple[str, ...]
    data: tuple[str, ...]
    models: tuple[str, ...]
    runs: tuple[str, ...]
    images: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be cleaned, and why."""


@dataclass(frozen=True)
class Old:
    """What is there to be removed."""

    jobs: tuple[EndedJob, ...]
    data: tuple[Unused, ...]
    runs: Leaving
    images: OldImages


def find(run_days: int, data_days: int, job_hours: int, image_days: int) -> Old:
    now = datetime.now(UTC)
    return Old(
        old_jobs.find(now - timedelta(hours=job_hours)),
        old_data.find(now - timedelta(days=data_days)),
        old_runs.find(now - timedelta(days=run_days)),
        old_images.find(now - timedelta(days=image_days)),
    )


def result(old: Old, dry_run: bool) -> Housekeeping:
    """Pure: names for people, and for whoever follows the run."""
    return Housekeeping(
        dry_run,
        tuple(str(job) for job in old.jobs),
        tuple(one.uri for one in old.data),
        tuple(str(model) for model in old.runs.models),
        tuple(str(run) for run in old.runs.runs),
        tuple(str(image) for image in old.images.images),
        old.images.notes,
    )
