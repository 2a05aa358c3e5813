"""The embedded platform: up, up again, down, beside another one, and after something was killed."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from infra import local
from infra.local.processes import family, marked
from tasks.settings import Settings

pytestmark = pytest.mark.platform
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
SERVICES = ["prefect", "mlflow", "model-server", "worker"]


def pids(home: Path) -> dict[str, int | None]:
    return {service.name: service.pid for service in local.status(home).services}


@pytest.fixture(scope="module")
def second(platform: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Any]]]:
    """Another home on this machine, brought up by two commands at the same time; and what the two said."""
    home = tmp_path_factory.mktemp("second")
    command = [str(Path(sys.executable).with_name("slipway")), "up", "--json"]
    environment = {**os.environ, "SLIPWAY_HOME": str(home)}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        yield home, [one.communicate(timeout=240) for one in both]
    finally:
        local.down(home)
    assert not marked(home)


def test_every_service_runs_and_writes_a_log(platform: Settings) -> None:
    status = local.status(platform.home)
    assert status.up
    assert [service.name for service in status.services] == SERVICES
    assert all(Path(service.log).parent == platform.home / "logs" for service in status.services)


def test_up_when_all_is_well_changes_nothing_and_returns_at_once(platform: Settings) -> None:
    before, said = pids(platform.home), []
    began = time.process_time(), time.monotonic()
    assert local.up(platform.home, said.append).up
    used, took = time.process_time() - began[0], time.monotonic() - began[1]
    assert pids(platform.home) == before
    assert said == []
    assert used < 1.0
    assert took < 3.0, "under 1 s on an idle machine"


def test_every_server_listens_on_the_loopback_address_only(platform: Settings) -> None:
    listening = {
        connection.laddr
        for service in local.status(platform.home).services
        for process in family(psutil.Process(service.pid))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(listening) >= 4
    assert {address.ip for address in listening} <= LOOPBACK


def test_mlflow_refuses_a_foreign_host_header(platform: Settings) -> None:
    url = f"{platform.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(url, trust_env=False).status_code == 200
    assert httpx.get(url, headers={"Host": "evil.example"}, trust_env=False).status_code == 403


def test_prefect_serves_its_interface_with_its_own_address(platform: Settings) -> None:
    root = platform.prefect_url.removesuffix("/api")
    assert (
        "<html" in httpx.get(f"{root}/", headers={"Accept": "text/html"}, follow_redirects=True).text.lower()
    )
    assert httpx.get(f"{root}/ui-settings").json()["api_url"] == platform.prefect_url


def test_artifacts_are_files_that_everybody_here_can_read(platform: Settings) -> None:
    found = httpx.get(f"{platform.mlflow_url}/api/2.0/mlflow/experiments/get?experiment_id=0").json()
    assert found["experiment"]["artifact_location"].startswith(f"file://{platform.home}/mlflow/artifacts")


def test_a_killed_service_is_started_alone_and_on_its_port(platform: Settings) -> None:
    before = pids(platform.home)
    killed = psutil.Process(before["model-server"])
    killed.kill()
    psutil.wait_procs([killed], timeout=10)
    assert not local.status(platform.home).up
    assert local.up(platform.home).up
    after = pids(platform.home)
    assert {name for name in SERVICES if before[name] != after[name]} == {"model-server"}
    assert local.status(platform.home).addresses["serving_rest_url"] == platform.serving_rest_url


def test_a_service_that_hangs_is_started_again(platform: Settings) -> None:
    before = pids(platform.home)
    psutil.Process(before["model-server"]).suspend()
    said: list[str] = []
    assert local.up(platform.home, said.append).up
    assert "model-server: runs but does not answer; starting it again" in said
    assert pids(platform.home)["model-server"] != before["model-server"]


def test_two_commands_at_once_start_one_platform(second: tuple[Path, list[Any]]) -> None:
    home, said = second
    first, other = (json.loads(output) for output, _ in said)
    assert first["up"]
    assert first == other
    assert any("waiting for another" in errors for _, errors in said)
    assert {service["name"]: service["pid"] for service in first["services"]} == pids(home)


def test_two_homes_do_not_share_a_port(platform: Settings, second: tuple[Path, list[Any]]) -> None:
    ours, theirs = (set(local.status(home).addresses.values()) for home in (platform.home, second[0]))
    assert len(ours) == len(theirs) == 4
    assert not ours & theirs


def test_down_leaves_nothing_but_data_and_touches_no_other_home(
    platform: Settings, second: tuple[Path, list[Any]]
) -> None:
    home, _ = second
    others = pids(platform.home)
    (home / "platform.json").unlink()  # the marks in the processes' environment are enough
    assert sorted(local.down(home)) == sorted(SERVICES)
    assert not marked(home)
    assert pids(platform.home) == others
    assert local.status(platform.home).up
    assert (home / "prefect" / "prefect.db").exists()
    assert (home / "mlflow" / "mlflow.db").exists()
    assert local.down(home) == ()
    shutil.rmtree(home)
