import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tasks import spark
from tasks.errors import PlatformError, PreparationError
from tasks.settings import ROOT, settings


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_292"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("no such thing", None),
    ],
)
def test_java_version(output: str, version: int | None) -> None:
    assert spark.java_version(output) == version


@pytest.fixture
def only_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Java is what PATH has: a JAVA_HOME of this machine would be looked at first."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def test_a_missing_java_names_the_package(tmp_path: Path, only_path: pytest.MonkeyPatch) -> None:
    only_path.setenv("PATH", str(tmp_path))
    with pytest.raises(PlatformError, match=r"there is no `java` .*openjdk-17-jre-headless"):
        spark.check_java()


def test_an_old_java_names_the_package(tmp_path: Path, only_path: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    only_path.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(PlatformError, match=r"java is Java 11\. .*openjdk-17-jre-headless"):
        spark.check_java()


def test_a_missing_pyspark_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    with pytest.raises(PlatformError, match="uv sync --extra spark"):
        spark._session.__wrapped__()


@pytest.mark.spark
def test_the_session_is_one_and_listens_on_the_loopback_address_only() -> None:
    session = spark.session()
    assert spark.session() is session
    assert session.range(10).repartition(3).count() == 10
    java = [p for p in psutil.Process().children(recursive=True) if p.name() == "java"]
    listening = {c.laddr.ip for p in java for c in p.net_connections() if c.status == psutil.CONN_LISTEN}
    assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert listening
    assert session.sparkContext.uiWebUrl is None
    assert session.conf.get("spark.sql.execution.arrow.pyspark.enabled") == "true"


KILLED = """
import os, signal, sys, time
from tasks import spark


class Terminated(BaseException):
    pass


def terminated(*_):
    raise Terminated


signal.signal(signal.SIGTERM, terminated)
try:
    with spark.working():
        session = spark.session()
        print("working", spark._running.java.pid, flush=True)
        session.range(10**15).selectExpr("sum(hash(id))").collect()
except Terminated:
    print("terminated", flush=True)
with spark.working():
    print("again", spark.session().range(7).count(), flush=True)
"""


@pytest.mark.spark
def test_sigterm_to_the_process_group_inside_a_call_ends_java_not_the_callers_error() -> None:
    """As Prefect ends a run: were Java in the group, the call would fail before the signal is seen."""
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    word, pid = child.stdout.readline().split()
    assert word == "working"
    java = psutil.Process(int(pid))
    time.sleep(3)  # until the call is under way
    os.killpg(child.pid, signal.SIGTERM)
    assert child.stdout.readline().strip() == "terminated"
    assert not java.is_running()
    assert child.stdout.readline().strip() == "again 7"
    assert child.wait(60) == 0


LOST = """
import os, signal
from tasks import spark

with spark.working():
    session = spark.session()
    os.kill(spark._running.java.pid, signal.SIGKILL)
    session.range(7).count()
"""


@pytest.mark.spark
def test_a_java_process_that_is_gone_is_named() -> None:
    ran = subprocess.run([sys.executable, "-c", LOST], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "PlatformError: engine spark: its Java process ended with -9." in ran.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "Job aborted: ExecutorLostFailure (executor 1 exited) Reason: OOMKilled",
            "executors were lost again",
        ),
        ("Job aborted: division by zero", None),
    ],
)
def test_lost_executors_are_told_from_failing_code(words: str, expected: str | None) -> None:
    try:
        try:
            raise ValueError(words)
        except ValueError as error:
            raise PreparationError("features", "fails", "Correct them.") from error
    except PreparationError as error:
        lost = spark._lost(error)
    assert (lost is None) == (expected is None)
    assert expected is None or (lost is not None and lost[0].startswith(expected))


@pytest.mark.spark
def test_nothing_of_it_is_left_at_exit(tmp_path: Path) -> None:
    code = (
        "import psutil; from tasks import spark; spark.session().range(5).count();"
        "print(*[p.pid for p in psutil.Process().children(recursive=True)])"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    left = [psutil.Process(int(pid)) for pid in run.stdout.split() if psutil.pid_exists(int(pid))]
    _, alive = psutil.wait_procs(left, timeout=30)
    assert not alive
    assert not list(tmp_path.glob("slipway-spark-*"))
