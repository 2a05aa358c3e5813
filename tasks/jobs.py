"""Jobs: how they ended."""

from tasks.kubernetes import Manifest

ENDS = ("Complete", "Failed")


def end_of(job: Manifest | None) -> Manifest | None:
    """Pure: the condition by which a Job ended, of type `Complete` or `Failed`; None while it has not."""
    conditions = ((job or {}).get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] in ENDS and each["status"] == "True"), None)
