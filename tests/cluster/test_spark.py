"""Spark on the cluster: a driver in the flow's pod, executors beside it, data in the store."""

import base64
import json
import subprocess
import textwrap
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tasks.platform_lock import load_lock
from tasks.pools import markers, template
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
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


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
        found = kubectl(
            self.cli,
            "get",
            "pods",
            "--namespace",
            TRAINING,
            "--selector",
            "spark-role=executor",
            "-o",
            "json",
        )
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


@pytest.fixture(scope="module")
def driver(platform_up: Outside) -> Iterator[Driver]:
    made = Driver(platform_up, f"driver-{uuid.uuid4().hex[:6]}")
    file = platform_up.home / f"{made.name}.json"
    file.write_text(json.dumps(driver_pod(made.name)))
    kubectl(platform_up, "apply", "--filename", str(file))
    try:
        ready = (
            "wait",
            "--for=condition=Ready",
            f"pod/{made.name}",
            "--namespace",
            TRAINING,
            "--timeout=50s",
        )
        kubectl(platform_up, *ready)
        yield made
    finally:
        gone = ("delete", "pod", made.name, "--namespace", TRAINING, "--grace-period=1", "--wait=false")
        kubectl(platform_up, *gone)


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


WORKING = """
with spark.working():
    session = spark.session()
    give("working")
    session.range(10**15).selectExpr("sum(hash(id))").collect()
"""


@pytest.mark.timeout(600)
def test_the_rows_of_flight_delays_are_those_of_pandas(driver: Driver) -> None:
    found = driver.python(
        """
        import polars as pl
        from polars.testing import assert_frame_equal
        spec = load_spec("flight-delays")
        sources.seed_sources(spec)
        snapshot = sources.take_snapshot(spec)
        took, rows = {}, {}
        for engine in ("pandas", "spark"):
            started = time.monotonic()
            prepared = preparation.prepare(spec, snapshot, engine, with_target=True)
            took[engine] = [round(time.monotonic() - started, 1), prepared.cached]
            rows[engine] = pl.read_parquet([str(file) for file in preparation.local_files(prepared)], glob=False)
        assert_frame_equal(rows["pandas"], rows["spark"], check_exact=False, rel_tol=1e-12, abs_tol=1e-12)
        give({"rows": rows["spark"].height, "took": took})
        """
    )
    print(found["took"])
    assert found["rows"] == 327_346
    assert not driver.executors()  # they go with the work, not only with the pod


@pytest.mark.timeout(300)
def test_executors_are_restricted_and_hold_no_key_in_plain_text(driver: Driver) -> None:
    keys = json.loads(
        kubectl(driver.cli, "get", "secret", "slipway-s3", "--namespace", TRAINING, "--output", "json")
    )["data"]
    with driver.running(WORKING) as process:
        assert process.stdout is not None
        assert "working" in process.stdout.readline()
        (pod,) = driver.executors()
    spec = pod["spec"]
    assert spec["serviceAccountName"] == "spark-executor"
    assert not [volume for volume in spec["volumes"] if "projected" in volume]  # no token
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"] == {"memory": "1Gi"}
    assert container["resources"]["requests"] == {"cpu": "300m", "memory": "1Gi"}
    given = {each["name"]: each for each in container["env"]}
    assert all("secretKeyRef" in given[key]["valueFrom"] for key in KEYS)
    assert not [key for key in KEYS if base64.b64decode(keys[key]).decode() in json.dumps(pod)]
    stop(driver, "KILL")
    driver.seconds_until_none(60)


def stop(driver: Driver, name: str) -> None:
    """Send the signal to the script that works there."""
    script = (
        "import os, psutil, signal\n"
        "for process in psutil.process_iter():\n"
        "    if 'spark.working' in ' '.join(process.cmdline()) and process.pid != os.getpid():\n"
        f"        process.send_signal(signal.SIG{name})\n"
    )
    kubectl(driver.cli, "exec", "--namespace", TRAINING, driver.name, "--", "python", "-c", script)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["TERM", pytest.param("KILL", marks=pytest.mark.slow)])
def test_executors_go_when_the_flow_is_killed_inside_a_call(driver: Driver, name: str) -> None:
    raising = """
    class Terminated(BaseException):
        pass
    def terminated(*_):
        raise Terminated
    signal.signal(signal.SIGTERM, terminated)
    """
    with driver.running(textwrap.dedent(raising) + WORKING) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "working" in process.stdout.readline()
        time.sleep(3)
        assert len(driver.executors()) == 1
        stop(driver, name)
        if name == "TERM":
            assert "Terminated" in process.stderr.read()
    print(f"SIG{name}: executors stayed {driver.seconds_until_none(60):.1f} s")


@pytest.mark.timeout(300)
def test_executors_without_room_are_named_with_the_reason(driver: Driver) -> None:
    done = driver.run(
        "with spark.working():\n    spark.session()",
        SLIPWAY_SPARK_EXECUTOR_MEMORY="900Gi", SLIPWAY_SPARK_TIMEOUT="10",
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "Spark's executors (1, each with 300m processors and 900Gi): do not come up" in last
    assert "Insufficient memory" in last
    assert "executor_memory" in last
    driver.seconds_until_none(30)


@pytest.fixture(scope="module")
def retrained(platform_up: Outside) -> Done:
    """The whole job on Spark, by the deployment of the pool `spark`."""
    done = platform_up.slipway(
        "retrain", "flight-delays", "--engine", "spark", "--force", "--json", timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.timeout(1000)
def test_flight_delays_is_retrained_on_spark(retrained: Done) -> None:
    assert json.loads(retrained.stdout)["outcome"] in ("released", "kept")
    assert "prepare: Completed" in retrained.stderr


@pytest.mark.timeout(1000)
def test_executors_predict(retrained: Done, platform_up: Outside, driver: Driver) -> None:
    results = {}
    for engine in ("polars", "spark"):
        destination = f"store://scores/flight-delays-{engine}"
        done = platform_up.slipway(
            "score", "flight-delays", destination, "--engine", engine, "--json", timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        results[engine] = json.loads(done.stdout)
    assert results["spark"]["rows"] == results["polars"]["rows"] == 336_776
    assert results["spark"]["digest"] == results["polars"]["digest"]
    difference = driver.python(
        """
        import io
        import polars as pl
        from tasks import store
        frames = []
        for engine in ("polars", "spark"):
            files = store.list_files(store.resolve(f"store://scores/flight-delays-{engine}", None))
            parts = [pl.read_parquet(io.BytesIO(store.read_bytes(f))) for f in files if f.endswith(".parquet")]
            frames.append(pl.concat(parts).sort("time_hour", "carrier", "flight"))
        give([frames[0].height, frames[0].drop(pl.selectors.float()).equals(frames[1].drop(pl.selectors.float()))])
        """
    )
    assert difference == [336_776, True]
