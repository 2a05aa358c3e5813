"""What bootstrap says of a component that the lock does not enable, and what it takes away of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import charts, components, helm, left_out
from tasks.kubernetes import NAMESPACE, POD, SECRET, VOLUME_CLAIM
from tasks.plan import foresee
from tasks.platform import make_namespaces
from tasks.platform_lock import LOCK, PlatformLock, load_lock, parse_lock
from tasks.secrets import MADE_BY
from tasks.usage import USER
from tests.tasks.cluster_memory import ALL, NAMES, Memory

NOTHING: Any = None


def test_a_component_that_is_not_enabled_is_left_out_with_how_to_get_it() -> None:
    lock = load_lock()
    for name in ("notebooks", "jupyterhub"):
        row = components.bring(NOTHING, lock.component(name), NOTHING)
        assert (row.component, row.did, row.address) == (name, "left out", "")
        assert "infra/jupyterhub/README.md" in row.verified_by
        assert "set `enabled: true` in platform.yaml" in row.verified_by


def test_no_chart_is_looked_for_in_its_name() -> None:
    lock = load_lock()
    wanted = lock.model_copy(
        update={
            "components": (lock.component("base"), lock.component("notebooks"), lock.component("jupyterhub"))
        }
    )
    assert set(charts.find_charts(wanted)) == {"base"}


class Site:
    charts: dict[str, Any] = {}  # noqa: RUF012


def test_a_plan_changes_nothing_of_it() -> None:
    assert foresee(Site, load_lock().component("jupyterhub"), NOTHING).why == ()  # type: ignore[arg-type]


def with_notebooks() -> PlatformLock:
    document = yaml.safe_load(LOCK.read_text())
    for component in document["components"]:
        component["enabled"] = True
    return parse_lock(yaml.safe_dump(document), Path("platform.yaml"))


def release(name: str, space: str) -> tuple[Any, str, str, dict[str, str]]:
    return SECRET, space, name, {"owner": "helm", "name": name, "version": "1", "status": "deployed"}


def notebooks_were(*more: Any) -> Memory:
    """A platform whose lock once enabled them."""
    cluster = Memory(
        release("base", NAMES.platform),
        release("notebooks", NAMES.platform),
        release("jupyterhub", NAMES.notebooks),
        (POD, NAMES.notebooks, "jupyter-anna", {USER: "anna"}),
        (SECRET, NAMES.notebooks, "slipway-notebook", MADE_BY),
        (SECRET, NAMES.notebooks, "hub", {"app.kubernetes.io/managed-by": "Helm"}),
        *more,
    )
    for each in cluster.list(SECRET, {"owner": "helm"}, namespace="*"):
        each["type"] = "helm.sh/release.v1"
    return cluster


@pytest.fixture
def uninstalled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for Helm, which has no cluster here: what it was told to uninstall."""
    names: list[str] = []
    monkeypatch.setattr(helm, "uninstall", lambda name, namespace, timeout: names.append(name))
    return names


def test_namespaces_of_notebooks_are_made_only_where_notebooks_are() -> None:
    bare: Any = Memory()
    for space in ALL:
        bare.delete(NAMESPACE, space)
    made = list[str]()
    bare.apply = lambda manifest: made.append(manifest["metadata"]["name"])
    make_namespaces(bare, load_lock())
    assert made == [NAMES.platform, NAMES.training, NAMES.serving]
    assert set(with_notebooks().spaces.values()) == set(ALL)


def test_what_is_no_longer_enabled_goes_with_its_namespaces(uninstalled: list[str]) -> None:
    cluster: Any = notebooks_were()
    assert left_out.find(cluster, load_lock()).lines() == (
        f"Helm release jupyterhub in {NAMES.notebooks} is to go",
        f"Helm release notebooks in {NAMES.platform} is to go",
        f"Namespace {NAMES.executors} is to go",
        f"Namespace {NAMES.notebooks} is to go",
    )
    found = left_out.remove(cluster, load_lock())
    assert uninstalled == ["jupyterhub", "notebooks"]
    gone = (f"namespace {NAMES.executors}", f"namespace {NAMES.notebooks}")
    assert found.changes == ("jupyterhub", "notebooks", *gone)
    assert cluster.names(NAMESPACE, "") == {NAMES.platform, NAMES.training, NAMES.serving}
    assert left_out.said(found, load_lock()) == ()


def test_users_volumes_stay_and_that_is_said_each_time(uninstalled: list[str]) -> None:
    cluster: Any = notebooks_were((VOLUME_CLAIM, NAMES.notebooks, "claim-anna"))
    found = left_out.remove(cluster, load_lock())
    assert cluster.names(NAMESPACE, "") == set(ALL) - {NAMES.executors}
    assert cluster.names(VOLUME_CLAIM, NAMES.notebooks) == {"claim-anna"}
    assert cluster.names(POD, NAMES.notebooks) == set()
    assert "slipway-notebook" not in cluster.names(SECRET, NAMES.notebooks)
    (line,) = left_out.said(found, load_lock())
    assert "claim-anna" in line
    cluster.delete(SECRET, "jupyterhub", NAMES.notebooks)  # Helm's record, which the stand-in leaves
    cluster.delete(SECRET, "notebooks", NAMES.platform)
    again = left_out.find(cluster, load_lock())
    assert again.lines() == ()
    assert left_out.said(again, load_lock()) == (line,)


def test_a_secret_that_somebody_made_stays_with_its_namespace_and_that_is_said(
    uninstalled: list[str],
) -> None:
    cluster: Any = notebooks_were((SECRET, NAMES.notebooks, "slipway-google"))
    found = left_out.remove(cluster, load_lock())
    assert cluster.names(NAMESPACE, "") == set(ALL) - {NAMES.executors}
    assert cluster.names(POD, NAMES.notebooks) == set()
    assert (
        {"slipway-google"}
        <= cluster.names(SECRET, NAMES.notebooks)
        <= {"slipway-google", "hub", "jupyterhub"}
    )
    (line,) = left_out.said(found, load_lock())
    assert f"Secret slipway-google in {NAMES.notebooks}" in line
    assert left_out.said(left_out.find(cluster, load_lock()), load_lock()) == (line,)


@pytest.mark.parametrize(
    ("secret", "theirs"),
    [
        ({"type": "Opaque"}, True),
        ({"type": "kubernetes.io/tls"}, True),
        ({"type": "helm.sh/release.v1"}, False),
        ({"type": "kubernetes.io/service-account-token"}, False),
        ({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}, False),
        ({"metadata": {"labels": MADE_BY}}, False),
        ({"metadata": {"labels": {"app.kubernetes.io/part-of": "slipway"}}}, True),
    ],
)
def test_a_secret_is_of_people_if_nothing_else_made_it(secret: dict[str, Any], theirs: bool) -> None:
    assert left_out.of_people({"metadata": {}, **secret}) is theirs


@pytest.mark.parametrize(
    "held", [(VOLUME_CLAIM, NAMES.notebooks, "claim-anna"), (SECRET, NAMES.notebooks, "slipway-google")]
)
def test_a_run_killed_after_the_release_went_is_finished_by_the_next_and_then_nothing_is_written(
    uninstalled: list[str], held: Any
) -> None:
    cluster: Any = notebooks_were(held)
    cluster.delete(SECRET, "jupyterhub", NAMES.notebooks)
    cluster.delete(SECRET, "notebooks", NAMES.platform)
    assert left_out.remove(cluster, load_lock()).changes == (f"namespace {NAMES.executors}",)
    assert uninstalled == []
    assert cluster.names(POD, NAMES.notebooks) == set()
    assert "slipway-notebook" not in cluster.names(SECRET, NAMES.notebooks)
    cluster.delete = None  # whatever is written now fails
    assert left_out.remove(cluster, load_lock()).changes == ()


def test_where_they_are_enabled_nothing_goes(uninstalled: list[str]) -> None:
    cluster: Any = notebooks_were()
    assert left_out.remove(cluster, with_notebooks()) == left_out.LeftOut()
    assert uninstalled == []
    assert cluster.names(NAMESPACE, "") == set(ALL)


def test_a_namespace_of_the_name_that_somebody_else_made_stays(uninstalled: list[str]) -> None:
    cluster: Any = Memory()
    cluster.there[NAMESPACE, "", NAMES.notebooks]["metadata"]["labels"] = {}
    assert left_out.find(cluster, load_lock()).namespaces == (NAMES.executors,)
