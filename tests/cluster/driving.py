"""A pod with the rights and the place of a Spark driver: scripts that run there start executors of its own."""

import json
import subprocess
import textwrap
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tasks.markers import markers
from tasks.platform_lock import load_lock
from tasks.pools import template
from tests.cluster.outside import Done, Outside
from tests.cluster.pods import kubectl

TRAINING = load_lock().namespaces.training
SMALL = {
    "SLIPWAY_SPARK_EXECUTORS": "1",
    "SLIPWAY_SPARK_EXECUTOR_CPU": "300m",
    "SLIPWAY_SPARK_EXECUTOR_MEMORY": "1Gi",
}
PREAMBLE = """
import json, os, signal, sys, time
from tasks import preparation, sources, spark
from tasks.spec import load_spec
def give(value):
    'What the test gets.'
    print(json.dumps(value), flush=True)
"""


@dataclass(frozen=True)
class Driver:
    """The pod `name`, with the rights and the place of a Spark driver; what scripts there `give` comes back."""

    cli: Outside
    name: str

    def command(self, body: str, **environment: str) -> list[str]:
        variables = [f"{name}={value}" for name, value in {**SMALL, **environment}.items()]
        script = PREAMBLE + textwrap.dedent(body)
        place = ["kubectl", "exec", "--namespace", TRAINING, self.name, "--", "env", *variables]
        return self.cli.command(*place, "python", "-c", script)

    def run(self, body: str, **environment: str) -> Done:
        return subprocess.run(
            self.command(body, **environment), env=self.cli.environment(),
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip

    def python(self, body: str, **environment: str) -> Any:
        done = self.run(body, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def running(self, body: str, **environment: str) -> "Iterator[subprocess.Popen[str]]":
        with subprocess.Popen(
            self.command(body, **environment), env=self.cli.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    def executors(self) -> list[dict[str, Any]]:
        """The pods of this driver's executors that have not ended."""
        of = ("--namespace", TRAINING, "--selector", "spark-role=executor")
        found = kubectl(self.cli, "get", "pods", *of, "--output", "json")
        return [
            pod
            for pod in json.loads(found)["items"]
            if pod["metadata"]["ownerReferences"][0]["name"] == self.name
            and pod["status"]["phase"] in ("Pending", "Running")
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def seconds_until_none(self, limit: float) -> float:
        """How long executors stayed."""
        started = time.monotonic()
        while self.executors():
            assert time.monotonic() - started < limit, self.executors()
            time.sleep(0.5)
        return time.monotonic() - started


@contextmanager
def driver(cli: Outside) -> Iterator[Driver]:
    """The pod, made from the pool's own template; it goes with all its executors."""
    made = Driver(cli, f"driver-{uuid.uuid4().hex[:6]}")
    file = cli.home / f"{made.name}.json"
    file.write_text(json.dumps(driver_pod(made.name)))
    kubectl(cli, "apply", "--filename", str(file))
    place = ("--namespace", TRAINING)
    try:
        kubectl(cli, "wait", "--for=condition=Ready", f"pod/{made.name}", *place, "--timeout=50s")
        yield made
    finally:
        kubectl(cli, "delete", "pod", made.name, *place, "--grace-period=1", "--wait=false")


def driver_pod(name: str) -> dict[str, Any]:
    """A pod as the pool `spark` starts them, that does nothing by itself."""
    lock = load_lock()
    image = lock.image("flow-spark")
    known = markers({"flow-spark": image}, lock.namespaces.model_dump())
    job = template("spark", "kubernetes", known)["job_configuration"]["job_manifest"]["spec"]["template"]
    spec = dict(job["spec"])
    for key in ("parallelism", "completions", "nodeSelector", "tolerations"):
        spec.pop(key, None)
    container = dict(spec["containers"][0])
    container |= {"args": ["sleep", "infinity"], "image": image}
    container["env"] = [*container["env"], {"name": "SLIPWAY_SPARK_IMAGE", "value": image}]
    container["resources"] = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": TRAINING, **job["metadata"]},
        "spec": {**spec, "containers": [container]},
    }
