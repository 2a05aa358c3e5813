"""`up` and `down`: the embedded platform under one home folder."""

from collections.abc import Callable
from pathlib import Path

import psutil

from infra.local import state as states
from infra.local.install import ensure_model_server
from infra.local.processes import family, marked, stop
from infra.local.services import WORKER
from infra.local.starting import Start
from infra.local.status import Status, status
from tasks.settings import settings


def quiet(message: str) -> None:
    """The default for `say`."""


def up(home: Path, say: Callable[[str], None] = quiet) -> Status:
    """Start what does not run under `home`, and register what `prefect.yaml` says. A no-op when all is well.

    Raises PlatformError naming the service that did not start, with the end of its log; the others keep
    running, and the next `up` goes on from there.
    """
    home = home.resolve()
    with states.lock(home, say):
        ensure_model_server(say)
        state = states.read(home)
        state.cluster = {}  # from now on commands mean this platform
        if not (home / "prefect" / "prefect.db").exists():
            state.registered = ""
        Start(home, state, say).run()
    settings.cache_clear()
    return status(home)


def down(home: Path, say: Callable[[str], None] = quiet) -> tuple[str, ...]:
    """Stop everything that runs for `home`; data stay. Returns the names of what was stopped.

    Workers and their flow runs end first, while Prefect can still be told.
    """
    home = home.resolve()
    if not home.exists():
        return ()
    with states.lock(home, say):
        state = states.read(home)
        stopped: list[str] = []
        for workers in (True, False):
            running = _running(home, state)
            doomed = {p: name for p, name in running.items() if name.startswith(WORKER) == workers}
            for name in dict.fromkeys(doomed.values()):
                say(f"stopping {name}")
                stopped.append(name)
            stop(doomed)
        state.services = {}
        states.write(home, state)
    settings.cache_clear()
    return tuple(stopped)


def _running(home: Path, state: states.State) -> dict[psutil.Process, str]:
    """Every process of this home with the service it belongs to: those written down, and those that are marked."""
    found: dict[psutil.Process, str] = {}
    for name, running in state.services.items():
        process = running.identity.process()
        found |= dict.fromkeys(family(process) if process else (), name)
    return found | marked(home)
