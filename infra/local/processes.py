"""Processes of the embedded platform: started detached, recognised again, and stopped as a whole.

A pid alone proves nothing: it is reused, and another clone has servers of its own. A process is ours when
its pid and its time of creation are those written down, or when its environment carries the mark of this
home, which its children (flow runs that a worker started) inherit.
"""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tasks.settings import child_environment

HOME_MARK = "SLIPWAY_HOME"
SERVICE_MARK = "SLIPWAY_SERVICE"
POLITE_SECONDS = 8.0
"""How long processes may take to end after SIGTERM, before SIGKILL."""


@dataclass(frozen=True)
class Identity:
    """One process, for as long as it lives: `created` is seconds since the epoch."""

    pid: int
    created: float

    @classmethod
    def of(cls, process: psutil.Process) -> "Identity":
        return cls(process.pid, process.create_time())

    @classmethod
    def read(cls, written: dict[str, Any]) -> "Identity":
        return cls(int(written["pid"]), float(written["created"]))

    def process(self) -> psutil.Process | None:
        """The living process, or None when it ended (or its pid now belongs to another)."""
        try:
            found = psutil.Process(self.pid)
            if abs(found.create_time() - self.created) > 0.05:
                return None
            if found.status() == psutil.STATUS_ZOMBIE:
                found.wait(0)  # ours to reap when this process started it
                return None
        except (psutil.NoSuchProcess, psutil.TimeoutExpired):
            return None
        return found


def spawn(command: list[str], environment: dict[str, str], folder: Path, log: Path) -> Identity:
    """Start `command` in a session of its own, its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        started = subprocess.Popen(
            command,
            env=child_environment(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # The platform outlives this process, so nobody waits for it here; a child that ends is reaped by psutil.
    started.returncode = 0
    return Identity.of(psutil.Process(started.pid))


def marked(home: Path) -> dict[psutil.Process, str]:
    """Every living process that carries the mark of `home`, with its service: the services' own processes,
    and whatever they started (the flow runs of a worker)."""
    found = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # gone meanwhile, or another user's: not ours
        if SERVICE_MARK in environment and environment.get(HOME_MARK) == str(home):
            found[process] = environment[SERVICE_MARK]
    return found


def family(process: psutil.Process) -> list[psutil.Process]:
    """The process and its descendants."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def stop(processes: Iterable[psutil.Process], polite: float = POLITE_SECONDS) -> int:
    """End `processes`: SIGTERM to all at once, SIGKILL to those left after `polite` seconds.

    Returns how many had to be killed.
    """
    alive = list(processes)
    for process in alive:
        _signal(process, force=False)
    _, alive = psutil.wait_procs(alive, timeout=polite)
    for process in alive:
        _signal(process, force=True)
    psutil.wait_procs(alive, timeout=5)
    return len(alive)


def _signal(process: psutil.Process, *, force: bool) -> None:
    try:
        if force:
            process.kill()
        else:
            process.terminate()
            process.resume()  # one that was suspended can only then end
    except psutil.NoSuchProcess:
        return  # ended by itself, which is what was wanted
