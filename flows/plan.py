"""What a bootstrap of the cluster would change. Changes nothing."""

from pathlib import Path

from prefect import flow

from flows.bootstrap import as_found, check_fit, find_charts, load_lock, preflight, render, survey
from flows.steps import step
from tasks import plan, platform, platform_lock
from tasks.plan import Plan

around = step(plan.around, "namespaces and secrets")
foresee = step(plan.foresee, "component", task_run_name="{component.name}")


@flow(name="plan", flow_run_name="plan", persist_result=False)
def plan_bootstrap(file: Path = platform_lock.LOCK, charts: Path | None = None, check: bool = False) -> Plan:
    """What `bootstrap` would do to bring the cluster to what `file` says, and why, field by field.

    `check`: any change counts as a failure, which the command's exit code tells. Raises PlatformError if something
    is missing without which bootstrap would not begin; images are not tried, which takes a Job.
    """
    lock = as_found(load_lock(file))
    cluster = preflight(lock)
    rendered = render(cluster, lock, find_charts(lock, charts))
    check_fit(cluster, lock, rendered)
    site = survey(cluster, lock, rendered, False)
    before = around(cluster, lock)
    with platform.PrefectApi(cluster, lock) as prefect:
        parts = tuple(foresee(site, component, prefect) for component in lock.components)
    last = plan.settings(site, platform.platform_settings(lock, site.routes))
    return Plan(tuple(one for one in (*before, *parts, last) if one.why), check)
