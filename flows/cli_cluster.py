"""The commands of who runs the platform. `flows/cli.py` registers them."""

import signal
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from flows import cli_models, console

if TYPE_CHECKING:
    from flows.teardown import TornDown

Json = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON document, and nothing else.")
]
Lock = Annotated[Path | None, Parameter(help="A platform file of your own, instead of infra/platform.yaml.")]
Flag = Annotated[bool, Parameter(negative="")]


def bootstrap(
    *,
    lock: Lock = None,
    charts: Path | None = None,
    plan: Flag = False,
    check: Flag = False,
    verify: Flag = False,
    json: Json = False,
) -> Any:
    """Bring the cluster of the kubeconfig to the platform of infra/platform.yaml; only what differs is touched.

    Parameters
    ----------
    charts
        A folder with the charts that other projects publish (archives, or charts' folders), where their
        repositories are out of reach.
    plan
        Only print what would be changed, and change nothing.
    check
        The same, with exit code 1 if there is anything: somebody edited a resource by hand, or the lock changed.
    verify
        Use every component to see that it works, also those that did not change.
    """
    ready = _alone()
    from tasks.platform_lock import LOCK

    if plan or check:
        from flows.plan import plan_bootstrap

        ready()
        return plan_bootstrap(lock or LOCK, charts=charts, check=check)
    from flows.bootstrap import bootstrap as flow

    ready()
    return flow(lock or LOCK, verify_all=verify, charts=charts)


def teardown(*, lock: Lock = None, delete_data: Flag = False, json: Json = False) -> Any:
    """Remove the platform and every released model from the cluster; data volumes stay.

    Parameters
    ----------
    delete_data
        The volumes too: every run, model and object of the store.
    """
    ready = _alone()
    from flows.teardown import teardown as flow
    from tasks.platform_lock import LOCK, load_lock
    from tasks.settings import settings

    ready()
    removed: TornDown = flow(lock or LOCK, delete_data=delete_data)
    _forget(settings().home, load_lock(lock or LOCK).namespaces.platform)
    return removed


def open_(name: Annotated[str, Parameter(help="hub, prefect, mlflow, or a model that is live.")]) -> None:
    """Open a page of the platform, or a model: at its host, or forwarded to this machine until Ctrl-C ends it."""
    from tasks.opening import opened

    with opened(name) as page:
        console.say(f"{page.name}: {page.url}")
        if page.login:
            console.say(page.login)
        webbrowser.open(page.url)
        with suppress(KeyboardInterrupt):  # how a person ends it
            if page.forwarded:
                signal.pause()


def housekeeping(*, dry_run: Flag = False, json: Json = False) -> Any:
    """Remove old Jobs, runs, prepared data and models that nobody registered, as the schedule does each night.

    Parameters
    ----------
    dry_run
        Only say what would go.
    """
    from tasks.settings import settings

    if settings().platform == "cluster":
        from flows import remote

        return remote.followed("housekeeping", "platform", dry_run=dry_run or None)
    cli_models.prepare("Prefect", "MLflow")
    from flows.housekeeping import housekeeping as flow

    return flow(dry_run=dry_run)


def _alone() -> Callable[[], None]:
    """A Prefect server of this process's own: the cluster has none before bootstrap, nor after teardown.

    It starts while the flow is imported; call what is given before the flow.
    """
    from infra.local.prefect_database import ensure_database
    from tasks.alone import own_server
    from tasks.settings import settings

    ensure_database(settings().home / "alone")
    ready = own_server(settings().home)
    console.follow_flows()
    return ready


def _forget(home: Path, platform: str) -> None:
    """Commands mean the embedded platform again, unless they mean another cluster's than the one torn down."""
    from infra.local import state

    if (home / "platform.json").exists():
        known = state.read(home)
        if known.cluster.get("platform_namespace") == platform:
            known.cluster = {}
            state.write(home, known)
