"""What stops around a restore, and what makes it go on."""

from typing import Any

import pytest

from tasks import platform, verification
from tasks.errors import PlatformError
from tasks.kubernetes import CONFIG_MAP, DEPLOYMENT, JOB, POD, STATEFUL_SET
from tasks.platform_lock import load_lock
from tasks.pods import ready
from tasks.standstill import all_ready, gone, renewed, servers, standstill, stop
from tests.tasks.cluster_memory import NAMES, Memory

LOCK = load_lock()


def workload(name: str, label: str, replicas: int) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": label}},
        "spec": {"replicas": replicas},
    }


def test_what_writes_to_the_databases_stops_and_starts_as_it_was() -> None:
    found = [
        (STATEFUL_SET, workload("prefect", "prefect", 1)),
        (STATEFUL_SET, workload("postgres", "postgres", 1)),
        (DEPLOYMENT, workload("worker-pandas", "worker", 3)),
        (DEPLOYMENT, workload("trigger", "trigger", 1)),
        (DEPLOYMENT, workload("mlflow", "mlflow", 0)),  # left so by a restore that was killed
        (DEPLOYMENT, {"metadata": {"name": "somebody's"}, "spec": {}}),
    ]
    assert [(one.name, one.replicas, one.part) for one in servers(found)] == [
        ("prefect", 1, "prefect"), ("worker-pandas", 3, "worker"), ("trigger", 1, "trigger"),
        ("mlflow", 1, "mlflow"),
    ]  # fmt: skip


def test_a_pod_is_ready_when_it_says_so() -> None:
    assert ready({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    assert not ready({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    assert not ready({})


def pod(uid: str, well: bool = True) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(well)}]
    return {"metadata": {"uid": uid}, "status": {"conditions": conditions}}


def test_servers_are_there_when_as_many_as_must_be_are_ready() -> None:
    assert all_ready(2, [pod("a"), pod("b")])
    assert not all_ready(2, [pod("a")])
    assert not all_ready(2, [pod("a"), pod("b", well=False)])
    assert all_ready(0, []), "a platform without notebooks has no trigger"


def test_a_database_is_there_again_when_none_of_its_old_pods_is_left() -> None:
    assert renewed({"a"}, [pod("b")])
    assert not renewed({"a"}, [pod("a")])
    assert not renewed({"a"}, [pod("a"), pod("b")])
    assert not renewed({"a"}, [])


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_ended_counts_for_nothing(phase: str) -> None:
    evicted = {"metadata": {"uid": "a"}, "status": {"phase": phase}}
    assert gone([evicted])
    assert not gone([evicted, pod("b")])
    assert all_ready(1, [evicted, pod("b")])
    assert renewed({"a"}, [evicted, pod("b")])
    assert not renewed({"a"}, [evicted])


def running() -> Memory:
    prefect = {"prefect.io/flow-run-id": "1"}
    cluster: Any = Memory(
        (CONFIG_MAP, NAMES.platform, platform.RECORD),
        (JOB, NAMES.platform, "slipway-restore"),
        (JOB, NAMES.platform, "slipway-backup"),
        (JOB, NAMES.training, "retrain", prefect),
        (JOB, NAMES.serving, "release", prefect),
        (JOB, NAMES.serving, "somebody's"),
        (DEPLOYMENT, NAMES.platform, "trigger", {"app.kubernetes.io/name": "trigger"}),
    )
    cluster.get(DEPLOYMENT, "trigger")["spec"] = {"replicas": 1}
    return cluster  # type: ignore[no-any-return]


def test_flow_runs_and_what_killed_commands_left_at_work_stop_with_the_servers() -> None:
    cluster: Any = running()
    stopped = stop(cluster, LOCK)
    assert [(one.name, one.replicas) for one in stopped.servers] == [("trigger", 1)]
    assert cluster.get(DEPLOYMENT, "trigger")["spec"] == {"replicas": 0}
    assert cluster.names(JOB, NAMES.platform) == cluster.names(JOB, NAMES.training) == set()
    assert cluster.names(JOB, NAMES.serving) == {"somebody's"}


def test_nothing_is_restored_while_the_pod_of_a_killed_restore_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verification, "GONE", 0.0)
    cluster: Any = running()
    left = {"name": "left", "labels": {"job-name": "slipway-restore"}}
    cluster.there[POD, NAMES.platform, "left"] = {"metadata": left}
    with pytest.raises(PlatformError, match="Job slipway-restore in slipway: or a pod of it is still there"):
        stop(cluster, LOCK)


def test_a_restore_that_did_not_end_is_remembered_until_one_does() -> None:
    cluster: Any = running()
    said: list[str] = []
    platform.check_whole(cluster)
    with pytest.raises(KeyboardInterrupt), standstill(cluster, LOCK, said.append):
        raise KeyboardInterrupt
    assert "what was not started yet stays stopped" in said[0]
    with pytest.raises(PlatformError, match=r"is half of a backup.*Run `slipway restore` again"):
        platform.check_whole(cluster)
    with standstill(cluster, LOCK, said.append):
        pass
    platform.check_whole(cluster)


def test_a_job_whose_containers_do_not_start_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PATIENCE", 0.0)
    cluster: Any = Memory()
    waiting = {"waiting": {"reason": "InvalidImageName", "message": "postgres@None"}}
    status = {"containerStatuses": [{"name": "postgres", "state": waiting}]}

    def apply(manifest: dict[str, Any]) -> None:
        cluster.there[JOB, NAMES.platform, "dump"] = manifest
        metadata = {
            "name": "dump-1",
            "labels": {"job-name": "dump"},
            "creationTimestamp": "2026-11-25T00:00:00Z",
        }
        made = {"metadata": metadata, "spec": {"containers": []}, "status": status}
        cluster.there[POD, NAMES.platform, "dump-1"] = made

    cluster.apply = apply
    ended = verification.run_job(
        cluster, {"metadata": {"name": "dump", "labels": {}}, "spec": {"activeDeadlineSeconds": 3600}}
    )
    assert not ended.well
    assert ended.said == "no container ran for 0 s (dump-1/postgres: InvalidImageName postgres@None)"
