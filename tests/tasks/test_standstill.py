"""What stops around a restore, and what makes it go on."""

from typing import Any

from tasks.kubernetes import DEPLOYMENT, STATEFUL_SET
from tasks.standstill import all_ready, ready, renewed, servers


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
