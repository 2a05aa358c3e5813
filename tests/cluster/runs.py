"""Flow runs on the cluster under test: started with a compute of their own, looked at, and hurt."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.platform_lock import load_lock
from tasks.prefect_api import ask
from tasks.reach import reached
from tasks.settings import Settings
from tests.cluster.outside import Outside
from tests.cluster.platform_state import get
from tests.cluster.pods import kubectl

TRAINING = load_lock().namespaces.training
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@contextmanager
def servers(place: Outside) -> Iterator[Settings]:
    """Prefect and MLflow of the platform, forwarded for the block."""
    with place.here(), reached("Prefect", "MLflow") as found:
        yield found


def start(api: str, deployment: str, parameters: dict[str, Any], **job_variables: Any) -> str:
    """Id of a new run of `deployment` (flow/name), whose pod has these job variables."""
    found = ask("GET", f"{api}/deployments/name/{deployment}").raise_for_status().json()["id"]
    body = {"job_variables": job_variables, "parameters": parameters, "state": {"type": "SCHEDULED"}}
    answer = ask("POST", f"{api}/deployments/{found}/create_flow_run", body)
    return str(answer.raise_for_status().json()["id"])


def until(api: str, run: str, types: tuple[str, ...], patience: float) -> dict[str, Any]:
    """The flow run, once the type of its state is one of `types`."""
    deadline = time.monotonic() + patience
    while True:
        found: dict[str, Any] = ask("GET", f"{api}/flow_runs/{run}").raise_for_status().json()
        if found["state_type"] in types:
            return found
        assert time.monotonic() < deadline, found["state"]
        time.sleep(0.5)


def jobs(place: Outside, run: str) -> list[dict[str, Any]]:
    return get(place, TRAINING, "jobs", "--selector", f"prefect.io/flow-run-id={run}")


def pod(place: Outside, run: str) -> str:
    """Name of the run's pod, once it runs."""
    deadline = time.monotonic() + 60
    while True:
        found = get(place, TRAINING, "pods", "--selector", f"prefect.io/flow-run-id={run}")
        running = [each["metadata"]["name"] for each in found if each["status"]["phase"] == "Running"]
        if running:
            return str(running[0])
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def evict(place: Outside, name: str) -> None:
    """As the drain of a node does it."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": TRAINING}}
    file = place.home / f"evict-{name}.json"
    file.write_text(json.dumps(body))
    kubectl(place, "create", "--raw", f"/api/v1/namespaces/{TRAINING}/pods/{name}/eviction", "-f", str(file))


def kill(place: Outside, name: str) -> None:
    """SIGKILL to every process of the pod's container but its first, which cannot get one from inside."""
    script = (
        "import os, psutil\n"
        "for process in psutil.process_iter():\n"
        "    if process.pid not in (1, os.getpid()):\n"
        "        process.kill()\n"
    )
    kubectl(place, "exec", "--namespace", TRAINING, name, "--", "python", "-c", script)


def registered(model: str) -> tuple[list[str], dict[str, str]]:
    """The versions of a registered model, and its aliases."""
    from mlflow import MlflowClient

    client = MlflowClient()
    versions = sorted(str(each.version) for each in client.search_model_versions(f"name = '{model}'"))
    return versions, dict(client.get_registered_model(model).aliases)
