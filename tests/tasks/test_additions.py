from typing import Any

import pytest

from tasks.additions import added, text, without

CONTAINER = 'k:{"name":"mlflow"}'


def owned(manager: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields, **more}


def deployment(*entries: dict[str, Any]) -> dict[str, Any]:
    helm = {
        "f:spec": {
            "f:containers": {CONTAINER: {".": {}, "f:name": {}, "f:env": {'k:{"name":"A"}': {".": {}}}}}
        }
    }
    env = [{"name": "A", "value": "1"}, {"name": "DEBUG", "value": "1"}]
    return {
        "metadata": {
            "annotations": {"note": "x", "kept": "y"},
            "managedFields": [owned("helm", helm), *entries],
        },
        "spec": {"containers": [{"name": "other"}, {"name": "mlflow", "env": env, "args": ["a", "b"]}]},
    }


ENV = {"f:spec": {"f:containers": {CONTAINER: {"f:env": {'k:{"name":"DEBUG"}': {".": {}, "f:value": {}}}}}}}
NOTE = {"f:metadata": {"f:annotations": {"f:note": {}}}}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([], []),
        ([owned("kubectl-set", ENV)], ["spec.containers[mlflow].env[DEBUG]"]),
        ([owned("kubectl-annotate", NOTE)], ["metadata.annotations.note"]),
        (
            [owned("kubectl-edit", {**ENV, **NOTE})],
            ["spec.containers[mlflow].env[DEBUG]", "metadata.annotations.note"],
        ),
        ([owned("kubectl-rollout", NOTE)], []),
        ([owned("kube-controller-manager", NOTE)], []),
        ([owned("kubectl", {"f:spec": {"f:replicas": {}}}, subresource="scale")], []),
        ([owned("kubectl-edit", NOTE), owned("another", NOTE)], []),
        ([owned("kubectl-edit", {"f:spec": {"f:containers": {CONTAINER: {".": {}, "f:name": {}}}}})], []),
    ],
)
def test_only_what_kubectl_alone_wrote_was_added_by_hand(entries: list[Any], words: list[str]) -> None:
    assert [text(path) for path in added(deployment(*entries))] == words


def test_what_was_added_is_taken_away_and_nothing_else() -> None:
    there = deployment(owned("kubectl-edit", {**ENV, **NOTE}))
    made = without(there, list(added(there)))
    assert made["metadata"]["annotations"] == {"kept": "y"}
    assert made["spec"]["containers"][1] == {
        "name": "mlflow", "env": [{"name": "A", "value": "1"}], "args": ["a", "b"],
    }  # fmt: skip
    assert there == deployment(owned("kubectl-edit", {**ENV, **NOTE}))


def test_items_of_sets_are_taken_by_their_value() -> None:
    there = {"metadata": {"finalizers": ["a", "b"]}}
    assert without(there, [("f:metadata", "f:finalizers", 'v:"b"')]) == {"metadata": {"finalizers": ["a"]}}
    assert without(there, [("f:metadata", "f:finalizers", 'v:"c"'), ("f:none", "f:x")]) == there
