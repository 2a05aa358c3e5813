from typing import Any

import pytest

from tasks.helm import HASH, Chart, Release, action, decoded, encoded, failed, newest

CHART = Chart("mlflow", "infra/charts/mlflow", "slipway", "{}", "kind: Service\n---\n---\nkind: Deployment\n")


def revision(name: str, number: int, status: str, rendered: str = "") -> dict[str, Any]:
    labels = {"name": name, "version": str(number), "status": status, "owner": "helm"}
    return {
        "metadata": {"namespace": "slipway", "labels": {**labels, HASH: rendered} if rendered else labels}
    }


def test_of_all_revisions_the_newest_counts_also_past_nine() -> None:
    secrets = [revision("a", 9, "superseded"), revision("a", 10, "deployed", "x"), revision("b", 1, "failed")]
    assert newest(secrets) == {
        "a": Release("a", 10, "deployed", "x", "slipway"), "b": Release("b", 1, "failed", "", "slipway"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("there", "drifted", "wanted"),
    [
        (None, False, "install"),
        (Release("mlflow", 3, "uninstalled", CHART.hash), False, "install"),
        (Release("mlflow", 3, "deployed", CHART.hash), False, "nothing"),
        (Release("mlflow", 3, "deployed", CHART.hash), True, "upgrade"),
        (Release("mlflow", 3, "deployed", "another"), False, "upgrade"),
        (Release("mlflow", 3, "deployed", ""), False, "upgrade"),
        (Release("mlflow", 3, "failed", CHART.hash), False, "upgrade"),
        (Release("mlflow", 1, "pending-install", CHART.hash), False, "upgrade"),
        (Release("mlflow", 2, "pending-upgrade", CHART.hash), False, "upgrade"),
    ],
)
def test_a_release_is_touched_only_if_it_is_not_what_was_rendered(
    there: Release | None, drifted: bool, wanted: str
) -> None:
    assert action(there, CHART, drifted) == wanted


@pytest.mark.parametrize(
    ("status", "pending"),
    [("pending-install", True), ("pending-upgrade", True), ("pending-rollback", True), ("deployed", False)],
)
def test_a_killed_helm_leaves_its_release_pending(status: str, pending: bool) -> None:
    assert Release("a", 1, status, "").pending is pending


def test_a_release_is_marked_failed_and_nothing_else_of_it_changes() -> None:
    document = {"name": "a", "info": {"status": "pending-upgrade", "first_deployed": "x"}, "manifest": "ü"}
    there = decoded(encoded(failed(document)))
    assert there["info"]["status"] == "failed"
    assert there["info"]["first_deployed"] == "x"
    assert {**there, "info": None} == {**document, "info": None}


def test_the_manifests_alone_decide_the_hash() -> None:
    assert CHART.hash == Chart("mlflow", CHART.path, "slipway", '{"unused": 1}', CHART.manifest).hash
    assert CHART.hash != Chart("mlflow", CHART.path, "slipway", CHART.values, "kind: Service\n").hash
    assert len(CHART.hash) <= 63, "it must fit into a label"
    assert [each["kind"] for each in CHART.objects] == ["Service", "Deployment"]
