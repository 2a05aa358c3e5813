"""What is old and not needed any more goes: Jobs, prepared rows, runs, models that nobody registered, images."""

from dataclasses import replace

from prefect import flow

from flows.steps import step
from tasks import handover, old_data, old_images, old_jobs, old_runs, tracking
from tasks import housekeeping as keeping
from tasks.housekeeping import Age, Housekeeping
from tasks.locks import one_at_a_time

find = step(keeping.find, "find")
remove_jobs = step(old_jobs.remove, "jobs")
remove_data = step(old_data.remove, "data")
remove_runs = step(old_runs.remove, "runs and models")
remove_images = step(old_images.remove, "images")


@flow(name="housekeeping", flow_run_name="housekeeping")
def housekeeping(
    run_days: Age = 90, data_days: Age = 30, job_hours: Age = 24, image_days: Age = 30, dry_run: bool = False
) -> Housekeeping:
    """Remove what has not been used for so long; with `dry_run` only say what that is.

    Nothing that a registered version refers to goes, whether it is `champion`, `previous` or neither; nor do runs
    that people logged themselves, datasets, scores, scratch, gate records and images that anything names. Running
    it again is harmless.
    """
    tracking.check_server()
    with one_at_a_time("housekeeping", "platform"):
        old = find(run_days, data_days, job_hours, image_days)
        if not dry_run:
            remove_jobs(old.jobs)
            old = replace(old, data=remove_data(old.data))
            remove_runs(old.runs)
            old = replace(old, images=remove_images(old.images))
    result = keeping.result(old, dry_run)
    handover.keep("housekeeping", result)
    return result
