"""What bootstrap says of a component that the lock does not enable."""

from typing import Any

from tasks import charts, components
from tasks.plan import foresee
from tasks.platform_lock import load_lock

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
