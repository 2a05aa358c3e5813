"""What the embedded platform wrote down about itself: `<home>/platform.json`, and the lock beside it.

`slipway bootstrap` writes its settings into the same file; what is known of the embedded platform stays there.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infra.local.processes import Identity
from infra.local.services import addresses
from tasks.errors import PlatformError


@dataclass(frozen=True)
class Running:
    """One service that was started: who it is, the hash of how it was started, whether it has been well since."""

    identity: Identity
    recipe: str
    well: bool = False


@dataclass
class State:
    """Ports by role, services by name, addresses for `tasks.settings`, and what was registered at Prefect.

    `cluster` holds the settings of a cluster, if `slipway bootstrap` ran after the last `slipway up`.
    """

    ports: dict[str, int] = field(default_factory=dict)
    services: dict[str, Running] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    registered: str = ""
    cluster: dict[str, Any] = field(default_factory=dict)


def read(home: Path) -> State:
    """The state under `home`; empty when the platform never started there."""
    path = home / "platform.json"
    try:
        written: dict[str, Any] = json.loads(path.read_text())
        found = dict(written["settings"])
        cluster = found if found.get("platform") == "cluster" else {}
        if cluster and "ports" not in written:
            return State(cluster=cluster)
        ports = {str(role): int(port) for role, port in written["ports"].items()}
        return State(
            ports=ports,
            services={
                name: Running(Identity.read(entry["identity"]), str(entry["recipe"]), bool(entry["well"]))
                for name, entry in written["services"].items()
            },
            addresses=(addresses(ports) if ports else {}) if cluster else found,
            registered=str(written["registered"]),
            cluster=cluster,
        )
    except FileNotFoundError:
        return State()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlatformError(
            str(path),
            f"is damaged ({error!r})",
            "Delete it and run `slipway up`: data are elsewhere and stay.",
        ) from error


def write(home: Path, state: State) -> None:
    """Replace the file as a whole, so that a reader never sees half of it."""
    document = {
        "settings": state.cluster or state.addresses,
        "ports": state.ports,
        "services": {name: asdict(running) for name, running in state.services.items()},
        "registered": state.registered,
    }
    beside = home / f"platform.json.{os.getpid()}"
    beside.write_text(json.dumps(document, indent=1))
    beside.replace(home / "platform.json")


@contextmanager
def lock(home: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One `up` or `down` per home at a time; the kernel frees it when the holder dies."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "platform.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another `slipway up` or `down` of this home to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
