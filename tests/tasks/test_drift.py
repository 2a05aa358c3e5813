from typing import Any

import pytest

from tasks.drift import as_helm, is_hook, lines, plural, title
from tasks.helm import Chart

CHART = Chart("mlflow", "infra/charts/mlflow", "slipway", "{}", "")


def deployment(**spec: Any) -> dict[str, Any]:
    metadata = {
        "name": "mlflow",
        "resourceVersion": "1",
        "generation": 1,
        "managedFields": [],
        "labels": {"a": "b"},
    }
    return {
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": 1, **spec},
        "status": {"ready": 1},
    }


def changed(**metadata: Any) -> dict[str, Any]:
    whole = deployment()
    return {**whole, "metadata": {**whole["metadata"], **metadata}}


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (deployment(), []),
        ({**deployment(), "status": {"ready": 0}}, []),
        (changed(resourceVersion="2", generation=2), []),
        (deployment(replicas=0), ["spec.replicas is 0, wanted 1"]),
        (changed(labels={}), ['metadata.labels.a is unset, wanted "b"']),
    ],
)
def test_only_what_somebody_said_of_an_object_counts(there: dict[str, Any], words: list[str]) -> None:
    assert lines(there, deployment()) == words


def test_an_object_is_called_by_kind_name_and_namespace() -> None:
    assert title(CHART, {"kind": "Service", "metadata": {"name": "m"}}) == "Service m in slipway"
    assert title(CHART, {"kind": "ClusterRole", "metadata": {"name": "m"}}) == "ClusterRole m"


def test_an_object_is_compared_with_what_helm_adds_to_it() -> None:
    made = as_helm(CHART, {"kind": "Service", "metadata": {"name": "mlflow", "labels": {"a": "b"}}})
    assert made["metadata"] == {
        "name": "mlflow",
        "namespace": "slipway",
        "labels": {"a": "b", "app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "mlflow", "meta.helm.sh/release-namespace": "slipway"},
    }


def test_what_is_in_no_namespace_gets_none() -> None:
    made = as_helm(CHART, {"kind": "ClusterRole", "metadata": {"name": "release"}})
    assert "namespace" not in made["metadata"]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("NetworkPolicy", "networkpolicies"),
        ("Role", "roles"),
        ("ConfigMap", "configmaps"),
        ("PriorityClass", "priorityclasses"),
    ],
)
def test_a_kind_is_found_under_its_plural(kind: str, path: str) -> None:
    assert plural(kind) == path


def test_hooks_are_not_part_of_what_stays() -> None:
    assert is_hook({"metadata": {"annotations": {"helm.sh/hook": "pre-install"}}})
    assert not is_hook({"metadata": {}})
