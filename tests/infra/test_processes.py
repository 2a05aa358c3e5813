"""Which processes are the platform's, and how they end."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from infra import local
from infra.local.processes import HOME_MARK, SERVICE_MARK, Identity, marked, spawn, stop

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


def wait_for_output(log: Path) -> None:
    """Until the process has said that it is up (a test's own time limit ends this if it never does)."""
    while not log.exists() or b"up" not in log.read_bytes():
        pass


def test_a_pid_that_was_given_to_another_process_is_not_ours() -> None:
    me = psutil.Process()
    assert Identity.of(me).process() == me
    assert Identity(os.getpid(), me.create_time() - 100).process() is None


def test_a_process_lives_on_in_a_session_of_its_own_and_ends_when_stopped(tmp_path: Path) -> None:
    identity = spawn(SLEEP, {}, tmp_path, tmp_path / "log")
    assert os.getsid(identity.pid) == identity.pid
    process = identity.process()
    assert process is not None
    assert stop([process]) == 0
    assert identity.process() is None


def test_one_that_ignores_a_polite_request_is_killed(tmp_path: Path) -> None:
    identity = spawn(STUBBORN, {}, tmp_path, tmp_path / "log")
    wait_for_output(tmp_path / "log")
    process = identity.process()
    assert process is not None
    assert stop([process], polite=0.2) == 1
    assert identity.process() is None


def test_down_ends_what_a_worker_started_even_if_nothing_was_written_down(tmp_path: Path) -> None:
    """A flow run whose worker was killed: only the mark it inherited says that it belongs to this home."""
    marks = {HOME_MARK: str(tmp_path), SERVICE_MARK: "worker-pandas"}
    spawn(SLEEP, marks, tmp_path, tmp_path / "log")
    other = subprocess.Popen(
        SLEEP, env={**os.environ, HOME_MARK: str(tmp_path / "other"), SERVICE_MARK: "mlflow"}
    )
    try:
        wait_for_output(tmp_path / "log")
        assert local.down(tmp_path) == ("worker-pandas",)
        assert not marked(tmp_path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_the_address_of_another_server_is_not_handed_on(tmp_path: Path) -> None:
    code = "import os; print('up', [k for k in os.environ if k.startswith(('PREFECT_', 'MLFLOW_'))])"
    os.environ["PREFECT_API_KEY"] = "another server's"
    try:
        identity = spawn([sys.executable, "-c", code], {"MLFLOW_OURS": "1"}, tmp_path, tmp_path / "log")
    finally:
        del os.environ["PREFECT_API_KEY"]
    psutil.wait_procs([p for p in [identity.process()] if p], timeout=20)
    assert (tmp_path / "log").read_text() == "up ['MLFLOW_OURS']\n"
