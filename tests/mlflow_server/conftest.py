"""The MLflow server as its image runs it: prepared, asking for a login, with our policy."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tasks.settings import set_variables
from tests.model_server.server import free_ports

IMAGE = Path(__file__).parents[2] / "images" / "mlflow"
CHART = Path(__file__).parents[2] / "infra" / "charts" / "mlflow" / "templates" / "deployment.yaml"
PASSWORDS = {
    user: f"the password of {user}" for user in ("admin", "training", "release", "notebook", "somebody")
}
HOST = "mlflow.example.com"
"""Of the server's page, where the lock gives it one."""

Login = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Server:
    url: str
    folder: Path

    def ask(self, user: str, method: str, path: str, body: object = None) -> httpx.Response:
        """One request to `/api/2.0/mlflow/PATH` (or to PATH itself, if it starts with a slash)."""
        where = path if path.startswith("/") else f"/api/2.0/mlflow/{path}"
        login = (user, PASSWORDS[user])
        return httpx.request(method, f"{self.url}{where}", json=body, auth=login, trust_env=False, timeout=30)


@pytest.fixture(scope="session")
def python() -> Path:
    """Python of the image's locked environment."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not on PATH: the MLflow server's environment cannot be installed")
    done = subprocess.run(
        ["uv", "sync", "--quiet", "--locked"],
        cwd=IMAGE,
        env={k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return IMAGE / ".venv" / "bin" / "python"


def environment(folder: Path) -> dict[str, str]:
    given = {user: password for user, password in PASSWORDS.items() if user != "somebody"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW_"))}
    return {
        **kept,
        **{f"{user.upper()}_PASSWORD": password for user, password in given.items()},
        "PYTHONPATH": str(IMAGE),
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of the tests",
        "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": source_rule(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }


def source_rule() -> str:
    """What the chart tells the server of the sources of versions."""
    found = re.search(r'SOURCE_VALIDATION_REGEX, value: "(.+)"', CHART.read_text())
    assert found
    return found[1]


def prepare(python: Path, folder: Path, **passwords: str) -> None:
    """Do what the pod's init container does; `passwords` stand in for those of the tests."""
    given = {f"{user.upper()}_PASSWORD": password for user, password in passwords.items()}
    done = subprocess.run(
        [python, "-m", "slipway_mlflow.prepare"],
        env={**environment(folder), **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def server(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("mlflow")
    prepare(python, folder)
    (port,) = free_ports(1)
    command = [
        python.parent / "mlflow", "server", "--app-name=basic-auth", "--host=127.0.0.1", f"--port={port}",
        "--workers=1", "--serve-artifacts", f"--artifacts-destination={folder / 'artifacts'}",
        f"--allowed-hosts=127.0.0.1:*,{HOST}", f"--cors-allowed-origins=https://{HOST}",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(folder), stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait(url, process, folder / "log")
        found = Server(url, folder)
        made = found.ask(
            "admin", "POST", "users/create", {"username": "somebody", "password": PASSWORDS["somebody"]}
        )
        assert made.is_success, made.text
        yield found
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    pytest.fail(log.read_text())


@pytest.fixture
def login(server: Server, tmp_path: Path) -> Login:
    """In the block, this process's tasks speak to the server as `user`."""

    @contextmanager
    def as_user(user: str) -> Iterator[None]:
        before = set_variables(
            {
                "SLIPWAY_HOME": str(tmp_path),
                "SLIPWAY_MLFLOW_URL": server.url,
                "SLIPWAY_STORE": str(tmp_path / "store"),
                "SLIPWAY_ARTIFACTS": str(server.folder / "artifacts"),
                "MLFLOW_TRACKING_USERNAME": user,
                "MLFLOW_TRACKING_PASSWORD": PASSWORDS[user],
            }
        )
        try:
            yield
        finally:
            set_variables(before)

    return as_user
