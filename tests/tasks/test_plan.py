from typing import Any

import pytest

from tasks.helm import Chart, Release
from tasks.kubernetes import CONFIG_MAP, SECRET, Cluster, Kind
from tasks.noting import Noting
from tasks.plan import Change, Plan, dropped, unfinished

CHART = Chart("mlflow", "infra/charts/mlflow", "slipway", "{}", "kind: Service\nmetadata: {name: mlflow}\n")


class Readable(Cluster):
    """A cluster in memory that knows no other verb than get."""

    def __init__(self, **objects: dict[str, Any]) -> None:
        self.namespace, self._objects = "slipway", objects

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        return self._objects.get(f"{kind.name}_{name}")


def config(**data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "slipway"},
        "data": data,
    }


def test_what_would_be_written_is_noted_field_by_field_and_nothing_is_written() -> None:
    noting = Noting(Readable(ConfigMap_a=config(x="1", theirs="2"), ConfigMap_b=config()))
    noting.apply(config(x="3"))
    noting.merge(CONFIG_MAP, "b", {"metadata": {"labels": {"l": "m"}}})
    noting.create({**config(), "metadata": {"name": "c", "namespace": "other"}})
    assert noting.delete(CONFIG_MAP, "a")
    assert not noting.delete(CONFIG_MAP, "d")
    assert noting.notes == [
        'ConfigMap a in slipway: data.x is "1", wanted "3"',
        'ConfigMap b in slipway: metadata.labels is unset, wanted {"l": "m"}',
        "ConfigMap c in other is not there",
        "ConfigMap a in slipway is to go",
    ]


def test_nothing_of_a_secret_is_told() -> None:
    noting = Noting(Readable(Secret_s={"data": {"key": "planted"}}))
    noting.merge(SECRET, "s", {"data": {"key": "another"}})
    assert noting.notes == ["Secret s in slipway: data.key differs"]


def test_what_the_chart_no_longer_has_is_to_go_but_for_hooks() -> None:
    hook = {"kind": "Job", "metadata": {"name": "migrate", "annotations": {"helm.sh/hook": "pre-upgrade"}}}
    there = [{"kind": "Service", "metadata": {"name": name}} for name in ("mlflow", "old")]
    assert dropped(CHART, [*there, hook]) == ("Service old in slipway is to go",)


@pytest.mark.parametrize(
    ("status", "words"),
    [("deployed", ()), ("pending-upgrade", ("revision 2 of the Helm release is pending-upgrade",))],
)
def test_a_release_that_a_killed_helm_left_is_a_reason(status: str, words: tuple[str, ...]) -> None:
    assert unfinished(Release("mlflow", 2, status, "")) == words


@pytest.mark.parametrize(("changes", "check", "code"), [((), True, 0), ((1,), True, 1), ((1,), False, 0)])
def test_only_a_check_fails_because_something_would_change(
    changes: tuple[int, ...], check: bool, code: int
) -> None:
    change = Change("mlflow", "upgrade", ("x",))
    assert Plan(tuple(change for _ in changes), check).exit_code == code
