"""A real MLServer process of the locked environment, on free ports and a folder of its own."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import tritonclient.grpc as triton
from slipway_model_server.digest import artifact_digest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

IMAGE = Path(__file__).parents[2] / "images" / "model-server"
COMMAND = (str(IMAGE / ".venv" / "bin" / "mlserver"),)
AS_IN_A_POD = (str(IMAGE / ".venv" / "bin" / "python"), "-m", "slipway_model_server.serve")
RUNTIME = "slipway_model_server.runtime.Runtime"


@dataclass
class Server:
    """`rest` is a client with the server's base address, `grpc` one with its connection."""

    folder: Path
    rest: httpx.Client
    grpc: triton.InferenceServerClient

    def load(
        self,
        name: str,
        model: Path,
        digest: str | None = None,
        version: str = "1",
        implementation: str = RUNTIME,
    ) -> httpx.Response:
        """Name `model` in a model-settings.json and ask the server to load it; its answer."""
        settings = {
            "name": name,
            "implementation": implementation,
            "parameters": {
                "uri": str(model),
                "extra": {"digest": artifact_digest(model) if digest is None else digest, "version": version},
            },
        }
        path = self.folder / name / "model-settings.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(settings))
        return self.rest.post(f"/v2/repository/models/{name}/load")

    def infer(self, name: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        return self.rest.post(f"/v2/models/{name}/infer", json={"inputs": inputs})

    def ready(self, name: str) -> bool:
        return self.rest.get(f"/v2/models/{name}/ready").status_code == 200


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def model_server(
    folder: Path, command: tuple[str, ...] = COMMAND, variables: dict[str, str] | None = None
) -> Iterator[Server]:
    """Run `command` over `folder` with these environment `variables` beside the usual, and stop it at the end."""
    http, grpc = free_ports(2)
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "load_models_at_startup": False,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    environment = {
        name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")
    }
    environment |= variables or {}
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen(
            [*command, "start", folder], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            with (
                httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=60) as rest,
                triton.InferenceServerClient(f"127.0.0.1:{grpc}") as client,
            ):
                _wait(process, rest, folder)
                yield Server(folder, rest, client)
        finally:
            process.terminate()
            process.wait(timeout=30)


@retry(
    retry=retry_if_exception_type((httpx.TransportError, ConnectionError)),
    stop=stop_after_delay(60),
    wait=wait_fixed(0.1),
    reraise=True,
)
def _wait(process: "subprocess.Popen[bytes]", rest: httpx.Client, folder: Path) -> None:
    if process.poll() is not None:
        raise RuntimeError(
            f"the model server ended with {process.returncode}:\n{(folder / 'server.log').read_text()}"
        )
    if rest.get("/v2/health/live").status_code != 200:
        raise ConnectionError("not live yet")
