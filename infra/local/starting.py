"""Starting services together: spawn, wait until each is well, take another port when one was lost to a race."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from infra.local import ports as port_choice
from infra.local import state as states
from infra.local.deployments import register
from infra.local.prefect_database import ensure_database
from infra.local.processes import family, marked, spawn, stop
from infra.local.services import (
    PREFERRED,
    Service,
    addresses,
    log_tail,
    services,
    write_model_server_settings,
)
from infra.local.status import is_well
from tasks.errors import PlatformError
from tasks.pools import make_pools
from tasks.serving.local import LocalServing
from tasks.settings import Settings

START_SECONDS = 180.0
"""How long a service may take from its start until it answers."""
MOMENT = 3.0
"""How long one that has been well may fail to answer before it is started again."""
PAUSE = 0.1
PORT_ATTEMPTS = 4


@dataclass
class Start:
    """One `up` at work: what is wanted, what is well, what was started and must still become well."""

    home: Path
    state: states.State
    say: Callable[[str], None]
    well: set[str] = field(default_factory=set)
    pending: dict[str, float] = field(default_factory=dict)
    """Name -> time (monotonic, seconds) by which it must be well."""
    attempts: dict[str, int] = field(default_factory=dict)
    database: "Future[None]" = field(default_factory=Future)
    """Prefect's database, being made ready beside."""
    _wanted: tuple[Service, ...] = ()

    def wanted(self) -> tuple[Service, ...]:
        return self._wanted

    def run(self) -> None:
        """Bring every service up. Raises PlatformError naming the first that did not come."""
        began = time.monotonic()
        self.choose_ports()
        self.look()
        with ThreadPoolExecutor(1) as beside:
            self.database = beside.submit(ensure_database, self.home)
            registered = None
            while True:
                for service in self.wanted():
                    if self.may_start(service):
                        self.start(service)
                for service in self.wanted():
                    if service.name in self.pending:
                        self.check(service, began)
                if registered is None and "prefect" in self.well:
                    registered = beside.submit(register, self.home, self.state, self.say)
                if len(self.well) == len(self.wanted()) and registered is not None:
                    self.serve_models()
                    return registered.result()
                time.sleep(PAUSE)

    def choose_ports(self) -> None:
        """Keep the ports of servers that live; for the others the last, the preferred, or any free one."""
        ports = self.state.ports
        known = services(self.home, ports) if ports else ()
        living = {role for service in known if self.alive(service) for role in service.roles}
        chosen: dict[str, int] = {role: ports[role] for role in living}
        for role, preferred in PREFERRED.items():
            if role not in chosen:
                chosen[role] = port_choice.choose((ports.get(role), preferred), set(chosen.values()))
        self.use_ports(chosen)

    def use_ports(self, chosen: dict[str, int]) -> None:
        self.state.ports, self.state.addresses = chosen, addresses(chosen)
        self._wanted = services(self.home, chosen)
        states.write(self.home, self.state)

    def look(self) -> None:
        """Sort the services that live: well, still starting, or to be stopped and started again."""
        for name in self.state.services.keys() - {service.name for service in self.wanted()}:
            process = self.state.services.pop(name).identity.process()  # a service of an earlier version
            stop(family(process) if process else ())
        for service in self.wanted():
            running = self.state.services.get(service.name)
            process = running.identity.process() if running else None
            if running is None or process is None:
                continue
            if running.recipe != service.recipe:
                self.say(f"{service.name}: started otherwise than now wanted; starting it again")
                self.discard(service)
            elif self.recovers(service, running):
                self.well.add(service.name)
            else:
                self.say(f"{service.name}: runs but does not answer; starting it again")
                self.discard(service)

    def recovers(self, service: Service, running: states.Running) -> bool:
        """Wait for one that lives but does not answer: a moment, or what is left of the time for its start."""
        left = running.identity.created + START_SECONDS - time.time()
        until = time.monotonic() + (MOMENT if running.well else max(MOMENT, left))
        while self.alive(service) and time.monotonic() < until:
            if is_well(service, self.state):
                return True
            time.sleep(PAUSE)
        return False

    def alive(self, service: Service) -> bool:
        running = self.state.services.get(service.name)
        return running is not None and running.identity.process() is not None

    def discard(self, service: Service) -> None:
        """Stop what is left of a service, also what nobody wrote down; a lone worker's flow runs go on."""
        running = self.state.services.pop(service.name, None)
        process = running.identity.process() if running else None
        if service.is_worker:
            left = {p for p, name in marked(self.home).items() if name == service.name and service.runs_in(p)}
        else:
            left = {p for p, name in marked(self.home).items() if name == service.name}
            left |= set(family(process)) if process else set()
        stop(left)

    def may_start(self, service: Service) -> bool:
        if service.name in self.well or service.name in self.pending:
            return False
        if service.name == "prefect":
            if not self.database.done():
                return False
            self.database.result()
        return service.after is None or service.after in self.well

    def start(self, service: Service) -> None:
        self.discard(service)
        if service.name == "model-server":
            write_model_server_settings(self.home, self.state.ports)
        identity = spawn(list(service.command), dict(service.environment), service.folder, service.log)
        self.state.services[service.name] = states.Running(identity, service.recipe)
        states.write(self.home, self.state)
        self.pending[service.name] = time.monotonic() + START_SECONDS

    def check(self, service: Service, began: float) -> None:
        if not self.alive(service):
            self.lost(service)
        elif is_well(service, self.state):
            if self.shares_port(service):
                self.say(f"{service.name}: another server took its port at the same time; taking another")
                self.move(service)
                return
            if service.name == "prefect":
                make_pools(self.state.addresses["prefect_url"], "process")
            del self.pending[service.name]
            self.well.add(service.name)
            running = self.state.services[service.name]
            self.state.services[service.name] = replace(running, well=True)
            states.write(self.home, self.state)
            self.say(
                f"{service.name}: ready after {time.monotonic() - began:.1f} s  {service.page or ''}".rstrip()
            )
        elif time.monotonic() > self.pending[service.name]:
            self.discard(service)
            raise failure(service, f"did not answer within {START_SECONDS:.0f} s")

    def serve_models(self) -> None:
        """Have the model server serve what was live when it ended; one bad model does not stop the others."""
        found = Settings.model_validate({"home": self.home, **self.state.addresses})
        for model, why in LocalServing.of(found).load_told().items():
            self.say(f"{model} is not served: {why}; see `slipway live {model}`")

    def lost(self, service: Service) -> None:
        """One that ended before it was well: try another port if its own belongs to another now."""
        self.state.services.pop(service.name, None)
        taken = [role for role in service.roles if not port_choice.is_free(self.state.ports[role])]
        if taken and self.attempts.get(service.name, 0) < PORT_ATTEMPTS:
            self.say(f"{service.name}: its port was taken meanwhile; taking another")
            self.move(service)
            return
        states.write(self.home, self.state)
        raise failure(service, "ended while it started")

    def shares_port(self, service: Service) -> bool:
        process = self.state.services[service.name].identity.process()
        own = {p.pid for p in family(process)} if process else set()
        return any(port_choice.strangers(self.state.ports[role], own) for role in service.roles)

    def move(self, service: Service) -> None:
        """Start the service again on ports that nobody prefers."""
        self.attempts[service.name] = self.attempts.get(service.name, 0) + 1
        self.discard(service)
        others = {role: port for role, port in self.state.ports.items() if role not in service.roles}
        for role in service.roles:
            others[role] = port_choice.choose((), set(others.values()))
        self.use_ports(others)
        self.pending.pop(service.name, None)


def failure(service: Service, observed: str) -> PlatformError:
    return PlatformError(
        f"{service.name} ({service.log})",
        f"{observed}; the end of its log:\n{log_tail(service.log)}",
        "\nCorrect what the log says, then run `slipway up` again.",
    )
