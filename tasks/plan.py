"""What bootstrap would change, found without writing anything to the cluster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tasks import (
    automations,
    deployments,
    drift,
    fields,
    helm,
    hub_secrets,
    platform,
    pools,
    registry,
    secrets,
)
from tasks.components import HELPERS, Site
from tasks.errors import PlatformError
from tasks.kubernetes import Cluster, Manifest
from tasks.lock_parts import Component
from tasks.markers import known_of
from tasks.noting import Noting
from tasks.platform import PrefectApi
from tasks.platform_lock import PlatformLock
from tasks.serving.seldon_routes import ensure_gateway

Does = Literal["make", "install", "upgrade", "put right", "cannot be told"]
SERVER = "prefect"
"""The component that must be there before pools, deployments and automations can be asked for."""


@dataclass(frozen=True)
class Change:
    """What would be done to one part of the platform; a line for each field, or object, that is the reason."""

    part: str
    does: Does
    why: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Every change; none: the cluster is what the lock says."""

    changes: tuple[Change, ...]
    check: bool = False
    """Whether a change is a failure of the command that asked."""

    @property
    def exit_code(self) -> int:
        return 1 if self.check and self.changes else 0


def around(cluster: Cluster, lock: PlatformLock) -> tuple[Change, ...]:
    """Namespaces, pull secret and Secrets."""
    steps: Mapping[str, Callable[[Cluster], Any]] = {
        "namespaces": lambda noting: platform.make_namespaces(noting, lock.namespaces),
        "pull secret": lambda noting: registry.give_pull_secret(noting, lock),
        "secrets": lambda noting: secrets.make_secrets(noting, lock),
        "hub secrets": lambda noting: hub_secrets.make_hub_secrets(noting, lock),
    }
    return tuple(Change(name, "make", noted(cluster, step)) for name, step in steps.items())


def settings(site: Site, told: Mapping[str, Any]) -> Change:
    """What commands read to find the platform."""
    lines = fields.said(fields.differing(dict(site.record.settings), dict(told)))
    return Change("settings", "make", tuple(lines))


def foresee(site: Site, component: Component, prefect: PrefectApi) -> Change:
    """What `components.bring` would do to the component, and why; no `why` if nothing."""
    if component.name in site.charts:
        return of_chart(site, component)
    if component.name == "routes":
        return Change(
            component.name,
            "make",
            noted(site.cluster, lambda noting: ensure_gateway(noting, site.lock, site.routes)),
        )
    if component.name not in IN_PREFECT:
        return Change(component.name, "make", ())
    if SERVER in site.charts and SERVER not in site.releases:
        return Change(component.name, "make", ("Prefect is not there yet",))
    try:
        return Change(component.name, "make", IN_PREFECT[component.name](site, prefect))
    except PlatformError as error:
        return Change(component.name, "cannot be told", (str(error),))


def of_chart(site: Site, component: Component) -> Change:
    chart, release = site.charts[component.name], site.releases.get(component.name)
    by_hand = site.drifted.get(component.name, ())
    if helm.action(release, chart) == "install" or release is None:
        return Change(
            component.name,
            "install",
            tuple(f"{drift.title(chart, each)} is not there" for each in chart.objects),
        )
    if helm.action(release, chart) == "nothing":
        return Change(component.name, "put right", (*by_hand, *beside(site, component)))
    return Change(
        component.name,
        "upgrade",
        (
            *unfinished(release),
            *drift.drifted([chart]).get(chart.name, ()),
            *left_out(chart, helm.objects_of(site.cluster, release)),
            *beside(site, component),
        )
        or ("its manifests changed, but none of their objects",),
    )


def unfinished(release: helm.Release) -> tuple[str, ...]:
    """Pure: that the newest revision is none that works."""
    if release.status == "deployed":
        return ()
    return (f"revision {release.revision} of the Helm release is {release.status}",)


def left_out(chart: helm.Chart, there: list[Manifest]) -> tuple[str, ...]:
    """Pure: the objects of the installed release that the chart no longer has."""
    kept = {drift.title(chart, each) for each in chart.objects}
    before = [drift.title(chart, each) for each in there if not drift.is_hook(each)]
    return tuple(f"{each} is to go" for each in before if each not in kept)


def beside(site: Site, component: Component) -> tuple[str, ...]:
    """What is done beside a published chart."""
    helper = HELPERS.get(component.name)
    if helper is None:
        return ()
    chart = site.charts[component.name]
    lines = noted(site.cluster, lambda noting: helper.prepare(noting, site.lock, chart))
    return lines or noted(site.cluster, lambda noting: helper.finish(noting, site.lock))


def noted(cluster: Cluster, step: Callable[[Cluster], Any]) -> tuple[str, ...]:
    """What `step` would write."""
    noting = Noting(cluster)
    step(noting)
    return tuple(noting.notes)


def _pools(site: Site, prefect: PrefectApi) -> tuple[str, ...]:
    known = known_of(site.lock)
    lines: list[str] = []
    for pool, there in pools.differing(prefect.url, "kubernetes", known).items():
        if there is None:
            lines.append(f"work pool {pool} is not there")
            continue
        found = fields.differing(there, pools.template(pool, "kubernetes", known))
        lines += [f"work pool {pool}: {line}" for line in fields.said(found)]
    return tuple(lines)


def _deployments(site: Site, prefect: PrefectApi) -> tuple[str, ...]:
    why = deployments.differing(prefect.url)
    return () if why is None else (f"prefect.yaml: {why}",)


def _automations(site: Site, prefect: PrefectApi) -> tuple[str, ...]:
    lines: list[str] = []
    for wanted, there in automations.differing(prefect.url):
        about = f"automation {wanted['name']!r}"
        if there is None:
            lines.append(f"{about} is not there")
            continue
        found = fields.differing(there, automations.marked(wanted), only_wanted=True)
        lines += [f"{about}: {line}" for line in fields.said(found)]
    return tuple(lines)


IN_PREFECT: Mapping[str, Callable[[Site, PrefectApi], tuple[str, ...]]] = {
    "work-pools": _pools,
    "deployments": _deployments,
    "automations": _automations,
}
