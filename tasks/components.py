"""Bringing each component of the platform to what the lock says, and seeing that it works."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tasks import (
    automations,
    charts,
    deployments,
    drift,
    helm,
    hub_secrets,
    needed_secrets,
    pods,
    pools,
    seldon_core,
    verification,
)
from tasks.charts import say
from tasks.kubernetes import Cluster, client
from tasks.lock_parts import Component
from tasks.markers import known_of
from tasks.platform import PAGES, Known, PrefectApi, Record, addresses, read_record, write_record
from tasks.platform_lock import LOCK, PlatformLock
from tasks.serving.seldon_routes import Routes, ensure_gateway, find_routes
from tasks.settings import child_environment, variable

Did = Literal["installed", "upgraded", "unchanged", "yours", "left out"]


@dataclass(frozen=True)
class Row:
    """One component, as it is now."""

    component: str
    version: str
    address: str
    did: Did
    verified_by: str


@dataclass(frozen=True)
class Rendered:
    """What the charts say, by component, for a cluster with these routes."""

    charts: Mapping[str, helm.Chart]
    routes: Routes
    """What the cluster has that leads to models from outside."""


@dataclass(frozen=True)
class Site:
    """The cluster as it was found, and what its charts render to."""

    cluster: Cluster
    lock: PlatformLock
    charts: Mapping[str, helm.Chart]
    drifted: Mapping[str, tuple[str, ...]]
    """By chart, what somebody changed by hand since."""
    releases: Mapping[str, helm.Release]
    record: Record
    routes: Routes
    """What the cluster has that leads to models from outside."""
    verify_all: bool

    def last(self, component: Component) -> Known:
        return self.record.of(component.name)


def render(cluster: Cluster, lock: PlatformLock, found: charts.Charts) -> Rendered:
    """Every chart that was found, with what it is told."""
    routes = find_routes(cluster)
    known = known_of(lock, routes) | hub_secrets.known(cluster, lock)
    wanted = [
        helm.Wanted(one.name, found[one.name], lock.namespace(one), charts.values(one, lock, known, routes))
        for one in lock.components
        if one.name in found
    ]
    return Rendered({chart.name: chart for chart in helm.render_all(wanted)}, routes)


def survey(cluster: Cluster, lock: PlatformLock, rendered: Rendered, verify_all: bool) -> Site:
    """What is there of what the charts say. Writes nothing."""
    charts = rendered.charts.values()
    releases = helm.releases(cluster, lock.namespaces.model_dump().values())
    stand = [chart for chart in charts if helm.action(releases.get(chart.name), chart) == "nothing"]
    return Site(
        cluster, lock, rendered.charts, drift.drifted(stand), releases, read_record(cluster), rendered.routes,
        verify_all,
    )  # fmt: skip


def bring(site: Site, component: Component, prefect: PrefectApi) -> Row:
    """Install, upgrade or leave the component; verify it if it changed or never was; write down what it is."""
    if not component.enabled:
        how = f"{component.left_out}, then set `enabled: true` in {LOCK.name}"
        return Row(component.name, component.version, "", "left out", f"not enabled; to have it: {how}")
    made_from, did = _brought(site, component, prefect)
    last, verified_by = site.last(component), ""
    if component.verify:
        proven = did in ("unchanged", "yours") and last.verified == made_from and not site.verify_all
        if proven and component.verify not in verification.FREE:
            verified_by = last.verified_by
        else:
            say(component, "verifying")
            verified_by = verification.verify(
                site.cluster, site.lock, component.verify, site.lock.component("work-pools").pools
            )
    known = Known(component.version, made_from, made_from if component.verify else "", verified_by)
    there = read_record(site.cluster)
    write_record(site.cluster, there, there.with_component(component.name, known))
    return Row(component.name, component.version, address(site, component), did, verified_by)


def address(site: Site, component: Component) -> str:
    """Pure: what a person opens; without a host in the lock, where it is in the cluster."""
    outside = addresses(site.lock, site.routes).get(PAGES.get(component.name, ""), "")
    if component.name == "routes" and outside:
        return f"{outside}/seldon/{site.lock.namespaces.serving}/"
    return outside or component.address


def settle(site: Site, settings: Mapping[str, Any]) -> None:
    """Write down how commands find the platform, and forget components that left the lock."""
    there = read_record(site.cluster)
    known = {one.name: there.of(one.name) for one in site.lock.components}
    write_record(site.cluster, there, Record(settings, known))


def _brought(site: Site, component: Component, prefect: PrefectApi) -> tuple[str, Did]:
    """What the component is made from now, and what was done for it."""
    if component.name in OWN:
        return OWN[component.name](site, component, prefect)
    if component.name in site.charts:
        return _chart(site, component)
    brought = site.lock.model_dump(mode="json", include={"store", "postgres"})
    return _hash([component.version, brought]), "yours"


def _chart(site: Site, component: Component) -> tuple[str, Did]:
    chart, release = site.charts[component.name], site.releases.get(component.name)
    if release is not None and release.pending:
        say(component, f"revision {release.revision} was left {release.status} by a killed helm: unlocked")
        helm.unlock(site.cluster, release)
    by_hand = site.drifted.get(component.name, ())
    for what in by_hand:
        say(component, f"changed by hand: {what}")
    action = helm.action(release, chart, bool(by_hand))
    needed_secrets.check(site.cluster, chart)
    beside = HELPERS.get(component.name)
    prepared = beside.prepare(site.cluster, site.lock, chart) if beside else ()
    for what in prepared:
        say(component, what)
    if action != "nothing":
        say(component, "installing" if action == "install" else "upgrading")
        helm.bring(chart, component.timeout, pods.watch(client(chart.namespace), chart.objects))
    if by_hand:
        drift.remove_additions(chart)
    finished = beside.finish(site.cluster, site.lock) if beside else False
    if action == "nothing" and not prepared and not finished:
        return chart.hash, "unchanged"
    return chart.hash, "installed" if action == "install" else "upgraded"


def _pools(site: Site, component: Component, prefect: PrefectApi) -> tuple[str, Did]:
    known = known_of(site.lock)
    made_from = _hash([pools.template(pool, "kubernetes", known) for pool in component.pools])
    return made_from, _did(site, component, bool(pools.make_pools(prefect.url, "kubernetes", known)))


def _deployments(site: Site, component: Component, prefect: PrefectApi) -> tuple[str, Did]:
    registered = deployments.ensure(prefect.url, child_environment(_client(prefect.url)))
    if registered is not None:
        say(component, "registered what prefect.yaml says")
    return deployments.file_hash(), _did(site, component, registered is not None)


def _automations(site: Site, component: Component, prefect: PrefectApi) -> tuple[str, Did]:
    made = automations.ensure_automations(prefect.url)
    return _hash(automations.ZOMBIES), _did(site, component, bool(made))


def _routes(site: Site, component: Component, prefect: PrefectApi) -> tuple[str, Did]:
    written = ensure_gateway(site.cluster, site.lock, site.routes)
    made_from = _hash([site.routes, site.lock.reach.models.model_dump()])
    return made_from, _did(site, component, written)


OWN = {"routes": _routes, "work-pools": _pools, "deployments": _deployments, "automations": _automations}
"""Components that are no charts: most live in Prefect."""


HELPERS = {seldon_core.COMPONENT: seldon_core}
"""What a published chart leaves to us, before Helm and after it."""


def _client(api: str) -> dict[str, str]:
    """What `prefect deploy` reads to find the cluster's server, and to be let in."""
    return {
        "PREFECT_API_URL": api,
        "PREFECT_API_AUTH_STRING": variable("PREFECT_API_AUTH_STRING"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_HOME": variable("PREFECT_HOME"),
        "DO_NOT_TRACK": "1",
    }


def _did(site: Site, component: Component, written: bool) -> Did:
    if not written:
        return "unchanged"
    return "upgraded" if site.last(component).made_from else "installed"


def _hash(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:40]
