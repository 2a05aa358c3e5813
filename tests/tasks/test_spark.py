import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tasks import spark
from tasks.errors import PlatformError
from tasks.settings import ROOT


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


def test_a_missing_java_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlatformError, match=r"there is no `java` .*openjdk-17-jre-headless"):
        spark.check_java()


def test_an_old_java_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
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
