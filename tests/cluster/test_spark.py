"""Spark on the cluster: a driver in the flow's pod, executors beside it, data in the store."""

import base64
import json
import textwrap
import time
from collections.abc import Iterator

import pytest

from tests.cluster import driving
from tests.cluster.driving import TRAINING, Driver
from tests.cluster.outside import Done, Outside
from tests.cluster.pods import kubectl

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(scope="module")
def driver(platform_up: Outside) -> Iterator[Driver]:
    with driving.driver(platform_up) as made:
        yield made


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
        "for process in psutil.process_iter(['cmdline']):\n"  # None for one that has ended
        "    command = ' '.join(process.info['cmdline'] or ())\n"
        "    if 'spark.working' in command and process.pid != os.getpid():\n"
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
    last = done.stderr.strip().splitlines()[-2]  # kubectl has the last word
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
