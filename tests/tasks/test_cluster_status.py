"""What `slipway status` makes of the objects of a cluster."""

from typing import Any

from tasks.cluster_status import ClusterStatus, Part, model_part, part


def workload(name: str, wanted: int, ready: int, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "slipway"},
        "spec": {"replicas": wanted, "template": {"metadata": {"labels": labels}}},
        "status": {"readyReplicas": ready} if ready else {},
    }


def service(name: str, port: int, **selector: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "slipway"},
        "spec": {"selector": selector or None, "ports": [{"port": port}]},
    }


def test_a_server_has_the_address_of_the_service_that_selects_its_pods() -> None:
    services = [service("other", 1, app="other"), service("bare", 2), service("prefect", 4200, app="prefect")]
    found = part(workload("prefect", 1, 1, app="prefect", version="3"), services)
    assert found == Part("prefect", "platform", "slipway", "running", "1/1", "prefect.slipway.svc:4200")


def test_a_worker_needs_no_address_and_one_that_is_not_ready_says_so() -> None:
    found = part(workload("worker-pandas", 2, 1, app="worker"), [])
    assert (found.condition, found.ready, found.address) == ("not ready", "1/2", None)
    assert part(workload("worker-spark", 0, 0), []).condition == "stopped"


def test_a_model_counts_the_pods_of_all_its_predictors() -> None:
    model = {"metadata": {"name": "iris", "namespace": "slipway-serving"}}
    predictors = [
        workload("iris-v1", 1, 1, **{"seldon-deployment-id": "iris"}),
        workload("iris-v2", 2, 0, **{"seldon-deployment-id": "iris"}),
        workload("other-v1", 1, 1, **{"seldon-deployment-id": "other"}),
    ]
    found = model_part(model, predictors, service("iris-live", 9000))
    assert (found.condition, found.ready) == ("not ready", "1/3")
    assert found.address == "iris-live.slipway.svc:9000"


def test_the_platform_is_up_when_all_its_parts_run_whatever_models_do() -> None:
    good = Part("prefect", "platform", "slipway", "running", "1/1", None)
    bad = Part("iris", "model", "slipway-serving", "not ready", "0/1", None)
    assert ClusterStatus("slipway", (good, bad)).up
    assert not ClusterStatus("slipway", ()).up
    assert not ClusterStatus("slipway", (good, Part("x", "platform", "slipway", "stopped", "0/0", None))).up
