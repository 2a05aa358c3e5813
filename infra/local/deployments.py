"""What the embedded platform registers at its Prefect server, when it changed."""

from collections.abc import Callable
from pathlib import Path

from infra.local import state as states
from infra.local.services import settings_at
from tasks import deployments, notify
from tasks.automations import ensure_automations
from tasks.settings import child_environment, client_environment


def register(home: Path, state: states.State, say: Callable[[str], None]) -> None:
    """Make the automations, and deploy `prefect.yaml` when it changed since last time."""
    found, wanted = settings_at(home, state.addresses), deployments.file_hash()
    told = notify.own_addresses(found)
    blocks = notify.ensure(found.prefect_url, told)
    ensure_automations(found.prefect_url, blocks.ids)
    notify.remove(found.prefect_url, told)
    if state.registered == wanted:
        return
    say("registering the deployments of prefect.yaml")
    deployments.register(found.prefect_url, child_environment(client_environment(found)))
    state.registered = wanted
    states.write(home, state)
