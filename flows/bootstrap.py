"""A cluster with Seldon Core -> the platform: every component of infra/platform.yaml, verified by using it."""

from dataclasses import dataclass
from pathlib import Path

from prefect import flow

from flows.steps import step
from tasks import charts as sources
from tasks import (
    components,
    hub_secrets,
    lease,
    left_out,
    platform,
    platform_lock,
    pulling,
    registry,
    seldon_core,
)
from tasks import preflight as checks
from tasks import secrets as keys
from tasks.components import Row
from tasks.settings import settings, write_platform_file

load_lock = step(platform_lock.load_lock, "lock")
as_found = step(seldon_core.as_found, "operator")
preflight = step(checks.preflight, "preflight")
find_charts = step(sources.find_charts, "charts")
render = step(components.render, "rendered charts")
check_fit = step(checks.check_fit, "rights, conflicts, room")
try_images = step(pulling.try_images, "images")
make_namespaces = step(platform.make_namespaces, "namespaces")
give_pull_secret = step(registry.give_pull_secret, "pull secret")
check_whole = step(platform.check_whole, "no restore")
make_secrets = step(keys.make_secrets, "secrets")
make_hub_secrets = step(hub_secrets.make_hub_secrets, "hub secrets")
remove_left_out = step(left_out.remove, "what is left out")
survey = step(components.survey, "survey")
bring = step(components.bring, "component", task_run_name="{component.name}")
settle = step(components.settle, "settings")


@dataclass(frozen=True)
class Bootstrapped:
    """Every component as it is now; `changed` names what was not so before, and what went. `kept`: what stays."""

    components: tuple[Row, ...]
    changed: tuple[str, ...]
    settings: str
    kept: tuple[str, ...] = ()


@flow(name="bootstrap", flow_run_name="bootstrap", persist_result=False)
def bootstrap(
    file: Path = platform_lock.LOCK, verify_all: bool = False, charts: Path | None = None
) -> Bootstrapped:
    """Bring the cluster of the kubeconfig to what `file` says; a no-op where it is so already.

    Killed at any point and run again, it goes on. `verify_all`: also what did not change is verified anew.
    `charts`: a folder with the charts that other projects publish, instead of their repositories.
    Raises PlatformError naming the component, what was seen of it, and the next step; also if another bootstrap or
    teardown of the platform is at work. The Lease that says so is all that is written where nothing has to change.
    """
    lock = as_found(load_lock(file))
    cluster = preflight(lock)
    found = find_charts(lock, charts)
    rendered = render(cluster, lock, found)
    if check_fit(cluster, lock, rendered):
        try_images(cluster, lock)
    make_namespaces(cluster, lock)
    with lease.held(cluster, "bootstrap"):
        check_whole(cluster)
        give_pull_secret(cluster, lock)
        make_secrets(cluster, lock)
        if make_hub_secrets(cluster, lock):
            rendered = render(cluster, lock, found)
        gone = remove_left_out(cluster, lock)
        site = survey(cluster, lock, rendered, verify_all)
        with platform.PrefectApi(cluster, lock) as prefect:
            rows = tuple(bring(site, component, prefect) for component in lock.components)
        told = platform.platform_settings(lock, site.routes)
        settle(site, told)
    write_platform_file(settings().home, told)
    changed = tuple(row.component for row in rows if row.did in ("installed", "upgraded"))
    kept = left_out.said(gone, lock)
    return Bootstrapped(rows, (*gone.changes, *changed), str(settings().home / "platform.json"), kept)
