"""The control groups below which all pods live: made before the kubelet, which wants them, and removed with
whatever still runs in them."""

import os
import signal
import time
from pathlib import Path

from infra.devcluster.layout import CGROUP
from tasks.errors import PlatformError

_ROOT = Path("/sys/fs/cgroup")


def create() -> None:
    for hierarchy in _hierarchies():
        folder = hierarchy / CGROUP
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # a cpuset of version 1 starts empty, and takes nobody
            own, parent = folder / setting, hierarchy / setting
            if own.exists() and parent.exists() and not own.read_text().strip():
                own.write_text(parent.read_text())


def remove(timeout: float = 20.0) -> None:
    """Kill what is in them, and remove them from the leaves up."""
    deadline = time.monotonic() + timeout
    while left := [folder for hierarchy in _hierarchies() for folder in _tree(hierarchy / CGROUP)]:
        for pid in {pid for folder in left for pid in _members(folder)}:
            _kill(pid)
        for folder in left:
            try:
                folder.rmdir()
            except OSError:
                continue  # its last process is still ending: looked at again below
        if time.monotonic() > deadline:
            raise PlatformError(
                f"control group {left[-1]}",
                f"still holds {sorted({pid for folder in left for pid in _members(folder)}) or 'no process'}",
                "A process that cannot be killed waits for a device: look at its stack in /proc, then try again.",
            )
        time.sleep(0.05)


def leftovers() -> list[Path]:
    return [hierarchy / CGROUP for hierarchy in _hierarchies() if (hierarchy / CGROUP).is_dir()]


def _hierarchies() -> list[Path]:
    """Every mounted hierarchy: one with version 2, one a controller with version 1."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return sorted(path for path in _ROOT.iterdir() if path.is_dir() and not path.is_symlink())


def _tree(folder: Path) -> list[Path]:
    """`folder` and all below it, children first."""
    if not folder.is_dir():
        return []
    below = [Path(at) for at, _, _ in os.walk(folder)]
    return sorted(below, key=lambda path: -len(path.parts))


def _members(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []  # removed meanwhile


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # ended by itself
