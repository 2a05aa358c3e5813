from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.pending import RUN, TIMEOUT, overdue, seconds

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def job(age: float, timeout: str | None = "60s", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "job",
            "labels": {RUN: "run"},
            "annotations": {TIMEOUT: timeout} if timeout else {},
            "creationTimestamp": (NOW - timedelta(seconds=age)).isoformat().replace("+00:00", "Z"),
        },
        "status": status,
    }


def pod(phase: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "job-x", "labels": {"job-name": "job"}},
        "status": {"phase": phase, **status},
    }


PULLING = {
    "containerStatuses": [
        {"name": "prefect-job", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}}
    ]
}
NO_ROOM = {
    "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient cpu."}]
}


@pytest.mark.parametrize(
    ("status", "reason"), [(PULLING, "ImagePullBackOff Back-off"), (NO_ROOM, "Insufficient cpu")]
)
def test_a_pod_that_never_starts_is_named_with_its_reason(status: dict[str, Any], reason: str) -> None:
    (found,) = overdue([job(61)], [pod("Pending", **status)], NOW)
    assert (found.job, found.run) == ("job", "run")
    assert found.reason.startswith("Pending for 61 s, 60 s are allowed (pending_timeout): ")
    assert reason in found.reason


@pytest.mark.parametrize(
    ("jobs", "pods"),
    [
        ([job(59)], [pod("Pending", **PULLING)]),
        ([job(599, None)], [pod("Pending", **PULLING)]),
        ([job(700)], [pod("Running")]),
        ([job(700)], [pod("Succeeded")]),
        ([job(700, conditions=[{"type": "Failed", "status": "True"}])], []),
        ([], [pod("Pending")]),
    ],
)
def test_what_started_or_ended_or_has_time_left_is_left_alone(jobs: list[Any], pods: list[Any]) -> None:
    assert overdue(jobs, pods, NOW) == []


def test_a_job_for_which_no_pod_could_be_made_is_overdue_too() -> None:
    (found,) = overdue([job(61)], [], NOW)
    assert found.reason.endswith("no pod was made for it")


@pytest.mark.parametrize(
    ("annotation", "wanted"), [("30s", 30.0), ("30", 30.0), (None, 600.0), ("soon", 600.0)]
)
def test_ten_minutes_are_allowed_where_nothing_is_said(annotation: str | None, wanted: float) -> None:
    assert seconds(annotation) == wanted
