"""The services of the embedded platform: how each is started, and how it shows that it is well."""

import hashlib
import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import psutil

from infra.local.ports import LOOPBACK
from infra.local.processes import HOME_MARK, SERVICE_MARK
from tasks.pools import POOLS
from tasks.settings import ROOT, Settings, client_environment

WORKER = "worker"
"""One process works for every pool: what it imports takes 3 s of a core and 160 MB."""
PREFERRED = {"prefect": 4200, "mlflow": 5000, "rest": 9000, "grpc": 9500}
MODEL_SERVER = ROOT / "images" / "model-server"


@dataclass(frozen=True)
class Service:
    """One process: `health` is the URL that answers 200 when it is well (the worker has none: see `up`)."""

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    folder: Path
    log: Path
    roles: tuple[str, ...] = ()
    """The ports it listens on, by role."""
    health: str | None = None
    page: str | None = None
    """What a person opens, or a client calls."""
    after: str | None = None
    """The service that must be well before this one is started, so that the slowest ones have the cores."""

    @property
    def is_worker(self) -> bool:
        return self.name == WORKER

    def runs_in(self, process: psutil.Process) -> bool:
        """Whether `process` is the service itself, not something that it started."""
        try:
            return process.cmdline()[1:] == list(self.command[1:])
        except psutil.NoSuchProcess:
            return False

    @property
    def recipe(self) -> str:
        """Hash of how it is started: a service whose recipe changed is started again."""
        environment = [pair for pair in self.environment if pair[0] != "NO_PROXY"]  # differs by the caller's
        said = [self.command, environment, str(self.folder), code_version(self.name)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


@lru_cache(maxsize=8)
def code_version(name: str) -> str:
    """Hash of what the process has loaded and would not notice to have changed: locks, the served runtime."""
    if name == "model-server":
        files = [MODEL_SERVER / "uv.lock", *sorted((MODEL_SERVER / "slipway_model_server").glob("*.py"))]
    else:
        files = [ROOT / "uv.lock"]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes() if file.exists() else b"")
    return digest.hexdigest()


def addresses(ports: dict[str, int]) -> dict[str, str]:
    """What `tasks.settings` reads: the URLs that go with `ports`."""
    return {
        "prefect_url": f"http://{LOOPBACK}:{ports['prefect']}/api",
        "mlflow_url": f"http://{LOOPBACK}:{ports['mlflow']}",
        "serving_rest_url": f"http://{LOOPBACK}:{ports['rest']}",
        "serving_grpc": f"{LOOPBACK}:{ports['grpc']}",
    }


def settings_at(home: Path, found: Mapping[str, Any]) -> Settings:
    """The settings of a process that uses the platform under `home`."""
    return Settings(home=home, platform="embedded", **found)


def services(home: Path, ports: dict[str, int]) -> tuple[Service, ...]:
    """Pure: every service of the platform under `home`, on `ports`, in the order they are started."""
    clients = client_environment(settings_at(home, addresses(ports)))
    return (
        _prefect(home, ports["prefect"], clients),
        _mlflow(home, ports["mlflow"]),
        _model_server(home, ports["rest"]),
        _worker(home, clients),
    )


def _prefect(home: Path, port: int, clients: dict[str, str]) -> Service:
    url = f"http://{LOOPBACK}:{port}"
    own = {
        "PREFECT_HOME": clients["PREFECT_HOME"],
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_UI_API_URL": f"{url}/api",
        "PREFECT_UI_STATIC_DIRECTORY": str(home / "prefect" / "ui"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Prefect's default lets any web page that is open in a browser here start runs.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": url,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # A schedule made or changed in the UI is looked at within 10 s; the default is a minute.
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "10",
        # Flow runs that ended 90 days ago go, with their logs and artifacts.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        # Done in `prefect_database`, once.
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
        # Kept in memory, leases would be forgotten at a restart, and what they lock be locked for ever.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "5",
        "DO_NOT_TRACK": "1",
    }
    command = (sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port))
    return _service(home, "prefect", command, own, roles=("prefect",), health=f"{url}/api/health", page=url)


def _mlflow(home: Path, port: int) -> Service:
    url = f"http://{LOOPBACK}:{port}"
    own = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    files = home / "mlflow"
    command = (
        sys.executable, "-m", "infra.local.mlflow_server", "--port", str(port),
        "--database", str(files / "mlflow.db"), "--artifacts", str(files / "artifacts"),
    )  # fmt: skip
    return _service(home, "mlflow", command, own, roles=("mlflow",), health=f"{url}/health", page=url)


def _model_server(home: Path, port: int) -> Service:
    url = f"http://{LOOPBACK}:{port}"
    command = (str(MODEL_SERVER / ".venv" / "bin" / "mlserver"), "start", str(home / "serving"))
    # OpenMP's threads would spin between two requests, on cores that others need.
    own = {"OMP_WAIT_POLICY": "PASSIVE"}
    return _service(
        home, "model-server", command, own, folder=home / "serving", roles=("rest", "grpc"),
        health=f"{url}/v2/health/live", page=url,
    )  # fmt: skip


def _worker(home: Path, clients: dict[str, str]) -> Service:
    command = (sys.executable, "-m", "infra.local.worker", "--name", socket.gethostname(), *POOLS)
    own = {**clients, "PREFECT_WORKER_QUERY_SECONDS": "2", "PREFECT_WORKER_HEARTBEAT_SECONDS": "10"}
    return _service(home, WORKER, command, own, after="mlflow")


def _service(
    home: Path,
    name: str,
    command: tuple[str, ...],
    environment: dict[str, str],
    *,
    folder: Path = ROOT,
    roles: tuple[str, ...] = (),
    health: str | None = None,
    page: str | None = None,
    after: str | None = None,
) -> Service:
    marks = {HOME_MARK: str(home), SERVICE_MARK: name}
    log = home / "logs" / f"{name}.log"
    everything = tuple(sorted({**environment, **marks}.items()))
    return Service(name, command, everything, folder, log, roles, health, page, after)


def write_model_server_settings(home: Path, ports: dict[str, int]) -> None:
    """MLServer's settings.json, and the model repository: `serve_models` has it serve what lies there."""
    models = home / "serving" / "models"
    models.mkdir(parents=True, exist_ok=True)
    document = {
        "debug": False,
        "host": LOOPBACK,
        "http_port": ports["rest"],
        "grpc_port": ports["grpc"],
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "model_repository_root": str(models),
        # MLServer ends when one of the models that it loads at its start fails: they are loaded afterwards.
        "load_models_at_startup": False,
    }
    (home / "serving" / "settings.json").write_text(json.dumps(document, indent=1))


@lru_cache(maxsize=1)
def client() -> httpx.Client:
    """HTTP without any proxy: every address is this machine's."""
    return httpx.Client(trust_env=False, timeout=2.0)


def answers(url: str) -> bool:
    """Whether a server is well there."""
    try:
        return client().get(url).status_code == 200
    except httpx.TransportError:
        return False


def log_tail(log: Path, lines: int = 25) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log yet)"
