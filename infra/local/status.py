"""How the embedded platform is: a small value that prints well, as a table or as JSON."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from infra.local import state as states
from infra.local.services import Service, answers, services
from infra.local.workers_online import worker_online
from tasks.pools import POOLS

Condition = Literal["running", "not answering", "stopped"]


@dataclass(frozen=True)
class ServiceStatus:
    name: str
    condition: Condition
    pid: int | None
    url: str | None
    log: str


@dataclass(frozen=True)
class Status:
    """`up` is True when every service runs and answers."""

    home: str
    services: tuple[ServiceStatus, ...]
    addresses: dict[str, str]

    @property
    def up(self) -> bool:
        return bool(self.services) and all(s.condition == "running" for s in self.services)

    def to_dict(self) -> dict[str, Any]:
        return {"up": self.up, **asdict(self)}


def status(home: Path) -> Status:
    """What runs under `home` now. Changes nothing, waits for nobody."""
    home = home.resolve()
    state = states.read(home)
    if not state.ports:
        return Status(str(home), (), {})
    found = services(home, state.ports)
    with ThreadPoolExecutor(len(found)) as threads:
        each = tuple(threads.map(lambda service: one(service, state), found))
    return Status(str(home), each, state.addresses)


def one(service: Service, state: states.State) -> ServiceStatus:
    running = state.services.get(service.name)
    process = running.identity.process() if running else None
    condition: Condition = "stopped"
    if process is not None:
        condition = "running" if is_well(service, state) else "not answering"
    return ServiceStatus(
        service.name, condition, process.pid if process else None, service.page, str(service.log)
    )


def is_well(service: Service, state: states.State) -> bool:
    """Whether the service, whose process lives, does its work."""
    if service.health is not None:
        return answers(service.health)
    began = state.services[service.name].identity.created
    return all(worker_online(state.addresses["prefect_url"], pool, began) for pool in POOLS)
