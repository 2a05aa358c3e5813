"""A cluster with Seldon Core -> the platform: every component of infra/platform.yaml, verified by using it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow

from flows.steps import step
from tasks import components, platform, platform_lock
from tasks import preflight as checks
from tasks import secrets as keys
from tasks.components import Row
from tasks.settings import settings, write_platform_file

load_lock = step(platform_lock.load_lock, "lock")
preflight = step(checks.preflight, "preflight")
make_namespaces = step(platform.make_namespaces, "namespaces")
make_secrets = step(keys.make_secrets, "secrets")
survey = step(components.survey, "charts")
bring = step(components.bring, "component", task_run_name="{component.name}")
keep = step(components.keep, "record")


@dataclass(frozen=True)
class Bootstrapped:
    """Every component as it is now; `changed` names those that were not so before."""

    components: tuple[Row, ...]
    changed: tuple[str, ...]
    settings: str

    def to_dict(self) -> dict[str, Any]:
        rows = [
            {
                "component": row.component,
                "version": row.version,
                "address": row.address,
                "did": row.did,
                "verified_by": row.verified_by,
            }
            for row in self.components
        ]
        return {"components": rows, "changed": list(self.changed), "settings": self.settings}


@flow(name="bootstrap", flow_run_name="bootstrap", persist_result=False)
def bootstrap(file: Path = platform_lock.LOCK, verify_all: bool = False) -> Bootstrapped:
    """Bring the cluster of the kubeconfig to what `file` says; a no-op where it is so already.

    Killed at any point and run again, it goes on. `verify_all`: also what did not change is verified anew.
    Raises PlatformError naming the component, what was seen of it, and the next step.
    """
    lock = load_lock(file)
    cluster = preflight(lock)
    make_namespaces(cluster, lock.namespaces)
    make_secrets(cluster, lock)
    site = survey(cluster, lock, verify_all)
    rows: list[Row] = []
    with platform.PrefectApi(cluster, lock) as prefect:
        for component in lock.components:
            rows.append(bring(site, component, prefect))
            keep(site, rows)
    found = platform.platform_settings(lock)
    keep(site, rows, found)
    write_platform_file(settings().home, found)
    changed = tuple(row.component for row in rows if row.did in ("installed", "upgraded"))
    return Bootstrapped(tuple(rows), changed, str(settings().home / "platform.json"))
