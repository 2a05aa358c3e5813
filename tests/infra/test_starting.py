"""Ports, races and failures while the platform starts, on its fastest server."""

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra import local
from infra.local import ports
from infra.local.processes import marked
from infra.local.services import PREFERRED, Service, answers
from infra.local.starting import Start
from infra.local.state import State, read
from infra.local.status import is_well
from tasks.errors import PlatformError


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind((ports.LOOPBACK, 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    yield Start(tmp_path, State(), print)
    local.down(tmp_path)
    assert not marked(tmp_path)


def model_server(start: Start) -> Service:
    return next(service for service in start.wanted() if service.name == "model-server")


def drive(start: Start, name: str = "model-server") -> None:
    """What `run` does, for one service only."""
    while name not in start.well:
        service = next(service for service in start.wanted() if service.name == name)
        if start.may_start(service):
            start.start(service)
        start.check(service, time.monotonic())


def test_a_port_of_last_time_is_taken_again_unless_somebody_else_has_it(start: Start, busy_port: int) -> None:
    free = ports.choose((), set())
    start.state.ports = {"prefect": free, "mlflow": busy_port, "rest": free, "grpc": free}
    start.choose_ports()
    chosen = start.state.ports
    assert chosen["prefect"] == free
    assert chosen["mlflow"] != busy_port
    assert len(set(chosen.values())) == len(PREFERRED)


def test_a_server_that_loses_its_port_to_a_race_takes_another(start: Start, busy_port: int) -> None:
    start.choose_ports()
    start.use_ports({**start.state.ports, "rest": busy_port})
    drive(start)
    assert start.state.ports["rest"] != busy_port
    assert answers(f"{read(start.home).addresses['serving_rest_url']}/v2/health/ready")


def test_a_grpc_port_shared_without_an_error_is_noticed(start: Start) -> None:
    """gRPC listens with SO_REUSEPORT: two servers on one port would each get a part of the requests."""
    start.choose_ports()
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((f"::ffff:{ports.LOOPBACK}", start.state.ports["grpc"]))
        before = start.state.ports["grpc"]
        # Listening only now: the choice of ports would have seen it.
        other.listen()
        drive(start)
    assert start.state.ports["grpc"] != before
    assert is_well(model_server(start), start.state)


def test_a_server_that_does_not_start_says_which_why_and_what_next(start: Start) -> None:
    start.choose_ports()
    broken = replace(model_server(start), command=("/bin/sh", "-c", "echo no such luck; exit 3"))
    start._wanted = (broken,)
    with pytest.raises(PlatformError) as raised:
        drive(start)
    assert str(raised.value).startswith(
        f"model-server ({start.home}/logs/model-server.log): ended while it started"
    )
    assert "no such luck" in str(raised.value)
    assert raised.value.next_step.endswith("then run `slipway up` again.")


def test_a_damaged_state_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "platform.json").write_text("{")
    with pytest.raises(PlatformError, match=r"platform\.json: is damaged"):
        local.status(tmp_path)
