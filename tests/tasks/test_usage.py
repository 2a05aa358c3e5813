"""Whose each pod is, and what all pods of one owner ask for and use."""

import re
from io import StringIO
from typing import Any

import pytest
import yaml

from flows.show import show
from tasks.cluster_status import ClusterStatus, Part
from tasks.deployments import FILE
from tasks.resources import requested
from tasks.usage import NO_METRICS, Usage, look, models_of, usage
from tests.tasks.test_kubernetes import Api, api

__all__ = ["api"]  # a fixture

MODELS = {"iris": "iris", "iris-spark": "iris"}


def container(cpu: str = "100m", memory: str = "64Mi", **more: str) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


def pod(name: str, labels: dict[str, str], phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "here", "labels": labels, **metadata},
        "spec": {"containers": [container()]},
        "status": {"phase": phase},
    }


def owners(*pods: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(one.owner, one.name): one.pods for one in usage(pods, (), MODELS)}


def executor(driver: str) -> dict[str, Any]:
    references = [{"kind": "Pod", "name": driver}]
    return pod(f"{driver}-exec-1", {"spark-role": "executor"}, ownerReferences=references)


FLOW = {"prefect.io/deployment-name": "iris-spark", "prefect.io/flow-run-id": "1"}
HUB = {"component": "singleuser-server", "hub.jupyter.org/username": "anna-kowalska---503c514d"}


@pytest.mark.parametrize(
    ("pods", "whose"),
    [
        ([pod("a", {"app.kubernetes.io/instance": "a", "app.kubernetes.io/name": "x"})], ("component", "a")),
        ([pod("a", {"app.kubernetes.io/name": "prefect"})], ("component", "prefect")),
        ([pod("bare", {})], ("component", "bare")),
        ([pod("a", {"seldon-deployment-id": "iris", "app.kubernetes.io/name": "x"})], ("model", "iris")),
        ([pod("a", FLOW)], ("model", "iris")),
        ([pod("a", {**FLOW, "prefect.io/deployment-name": "platform"})], ("component", "flow runs")),
        ([pod("a", HUB, annotations={"hub.jupyter.org/username": "anna.kowalska"})], ("user", "anna.kowalska")),
        ([pod("a", HUB)], ("user", "anna-kowalska---503c514d")),
    ],
)  # fmt: skip
def test_a_pod_is_whose_its_labels_say(pods: list[dict[str, Any]], whose: tuple[str, str]) -> None:
    assert owners(*pods) == {whose: 1}


def test_executors_are_of_whoever_drives_them() -> None:
    assert owners(pod("driver", FLOW), executor("driver")) == {("model", "iris"): 2}
    assert owners(pod("notebook", HUB), executor("notebook")) == {
        ("user", HUB["hub.jupyter.org/username"]): 2
    }
    assert owners(executor("gone")) == {("component", "gone-exec-1"): 1}


def test_pods_that_are_over_count_no_more_but_still_name_their_executors() -> None:
    over = pod("driver", FLOW, "Succeeded")
    assert owners(over) == {}
    assert owners(over, executor("driver")) == {("model", "iris"): 1}


def test_what_all_pods_of_an_owner_ask_for_and_use_is_summed() -> None:
    pods = [pod("a", FLOW), pod("b", FLOW, "Pending"), pod("c", {"app.kubernetes.io/name": "prefect"})]
    measured = [
        {
            "metadata": {"name": "a", "namespace": "here"},
            "containers": [
                {"usage": {"cpu": "81527103n", "memory": "1024Ki"}},
                {"usage": {"cpu": "1m", "memory": "0"}},
            ],
        },
        {"metadata": {"name": "a", "namespace": "elsewhere"}, "containers": []},
    ]
    assert usage(pods, measured, MODELS) == (
        Usage("component", "prefect", 1, 0.1, 64 * 2**20, None, None),
        Usage("model", "iris", 2, 0.2, 128 * 2**20, 0.083, 2**20),
    )


def test_a_pod_asks_for_what_its_node_keeps_for_it() -> None:
    first = [container("2", "32Mi"), container("50m", "32Mi", restartPolicy="Always")]
    found = requested({"containers": [container(), container(), {}], "initContainers": first})
    assert (found.cpu, found.memory) == (2.0, 160 * 2**20)


def test_the_deployments_of_the_file_are_of_the_models_that_they_run_for() -> None:
    found = models_of(yaml.safe_load(FILE.read_text()))
    assert found == {"iris": "iris", "flight-delays": "flight-delays", "flight-delays-spark": "flight-delays"}


@pytest.mark.parametrize("why", [NO_METRICS, None])
def test_people_see_a_line_an_owner_and_why_nothing_is_measured(why: str | None) -> None:
    part = Part("prefect", "platform", "slipway", "running", "1/1", None)
    used = (0.5, 300 * 2**20) if why is None else (None, None)
    told = StringIO()
    show(ClusterStatus("slipway", (part,), (Usage("user", "anna", 1, 0.25, 2**30, *used),), why), told)
    line = next(line for line in told.getvalue().splitlines() if "anna" in line)
    assert line.split() == ["user", "anna", "1", "0.25", *(["0.50"] if not why else []), "1,024", "Mi"] + (
        ["300", "Mi"] if not why else []
    )
    assert ("What is used is not known" in told.getvalue()) is (why is not None)


def listed(*things: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 200, {"metadata": {}, "items": list(things)}


def test_what_is_used_comes_from_the_metrics_api(api: Api) -> None:
    metrics = {
        "metadata": {"name": "a", "namespace": "here"},
        "containers": [{"usage": {"cpu": "500m", "memory": "3Mi"}}],
    }
    api.answers += [listed(pod("a", FLOW)), listed(metrics)]
    found, why = look(["here"], MODELS)
    assert [(one.name, one.cpu_used, one.memory_used) for one in found] == [("iris", 0.5, 3 * 2**20)]
    assert why is None
    assert [path.partition("?")[0] for _, path in api.asked] == [
        "/api/v1/namespaces/here/pods",
        "/apis/metrics.k8s.io/v1beta1/namespaces/here/pods",
    ]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "has no metrics API"),
        (503, "the metrics API .* server is overloaded"),
        (403, "may not list pods"),
    ],
)
def test_without_it_what_was_asked_for_is_shown_and_why_there_is_no_more(
    api: Api, status: int, said: str
) -> None:
    api.answers += [listed(pod("a", FLOW))]
    api.refuse(status, "the server is overloaded", times=5)
    ((one,), why) = look(["here"], MODELS)
    assert (one.cpu_requested, one.cpu_used, one.memory_used) == (0.1, None, None)
    assert why is not None
    assert re.search(said, why)


def test_nothing_is_missed_where_there_are_no_pods(api: Api) -> None:
    assert look(["here"], MODELS) == ((), None)
