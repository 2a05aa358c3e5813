"""Every process of the cluster: those written down at the start, and those that are recognised."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from infra.devcluster.layout import DATA, LOGS, RUN, cache
from infra.devcluster.services import Service
from infra.local.processes import Identity, stop
from infra.local.processes import spawn as spawn_detached
from tasks.errors import PlatformError

_NAMES = ("etcd", "containerd", "containerd-shim")
_MODULE = "infra.devcluster.seldon_standin"


def spawn(service: Service) -> Identity:
    """Start a service, detached; its log is `<data>/logs/<name>.log`."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    direct = {"NO_PROXY": "*", "no_proxy": "*"}  # nothing that it speaks to is outside
    return spawn_detached(list(service.command), {"PATH": path, **direct}, service.folder, log(service.name))


def log(name: str) -> Path:
    return LOGS / f"{name}.log"


def log_tail(name: str, lines: int = 15) -> str:
    path = log(name)
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"


def belongs(executable: str, name: str, command: list[str]) -> bool:
    """Whether a process is one of the cluster's, whoever started it and when.

    Our own builds are known by where they lie, Debian's by their name and by the folders they were given.
    """
    places = (str(DATA), str(RUN))
    if executable.startswith(f"{cache()}/programs/"):
        return any(place in part for part in command for place in places)
    known = name.startswith(_NAMES) or _MODULE in command
    return known and any(place in part for part in command for place in places)


def found() -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["exe", "name", "cmdline"])
        if belongs(process.info["exe"] or "", process.info["name"] or "", list(process.info["cmdline"] or ()))
    ]


def stop_controllers(polite: float = 5.0) -> None:
    """End all that could start a pod again; etcd, containerd and the pods still run."""
    stop([process for process in found() if not _name(process).startswith(_NAMES)], polite)


def stop_all(polite: float = 5.0) -> None:
    """End every process of the cluster: what starts others first."""
    stop_controllers(polite)
    stop([process for process in found() if _name(process) in ("containerd", "etcd")], polite)
    stop(found(), 0.5)


def wait_until(what: str, ready: Callable[[], bool], timeout: float, log_of: str = "") -> None:
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            tail = f"; the end of {log(log_of)}:\n{log_tail(log_of)}\n" if log_of else ""
            raise PlatformError(
                what, f"not after {timeout:.0f} s{tail}", "Look at the logs, then run `make cluster-down`."
            )
        time.sleep(0.1)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""
