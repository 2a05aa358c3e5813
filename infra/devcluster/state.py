"""What the running cluster wrote down about itself, so that it can be recognised and taken away."""

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infra.devcluster.keys import write_secret
from infra.devcluster.layout import LOCK, STATE
from infra.local.processes import Identity
from tasks.errors import PlatformError


@dataclass
class State:
    """`started` is when; `ready` is false while a start is under way, and stays so when that was killed."""

    started: float = field(default_factory=time.time)
    ready: bool = False
    processes: dict[str, Identity] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    kubeconfig: str = ""
    previous_context: str | None = None
    new_folders: list[str] = field(default_factory=list)

    def dead(self) -> list[str]:
        """Services that were started and do not run any more."""
        return [name for name, identity in self.processes.items() if identity.process() is None]


def read() -> State | None:
    """None when no cluster was started, or all of it was taken away."""
    if not STATE.exists():
        return None
    try:
        written = json.loads(STATE.read_text())
        identities = {name: Identity.read(entry) for name, entry in written.pop("processes").items()}
        return State(**written, processes=identities)
    except (ValueError, KeyError, TypeError, AttributeError):
        return State()  # damaged: whatever runs is found without it


def write(state: State) -> None:
    write_secret(STATE, json.dumps(asdict(state), indent=2).encode())


@contextmanager
def locked(lock: Path = LOCK) -> Iterator[None]:
    """One start or stop at a time on this machine."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlatformError(
                "development cluster", "is being started or stopped by another command", "Wait for that one."
            ) from error
        yield
