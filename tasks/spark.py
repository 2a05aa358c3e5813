"""One Spark session in this process: created when first needed, on the loopback address or with pods as executors.

Whatever calls Spark does so inside `working()`. Embedded, Spark is this machine (`local[*]`) and reads and writes
its files; on a cluster it reads and writes the store itself, as executors do not see the disk of the flow's pod.
"""

import atexit
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks import spark_cluster, store
from tasks.errors import PlatformError
from tasks.settings import Settings, settings

JAVA = "Install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless), or use another engine."
MORE_MEMORY = (
    "Give executors more memory (job variable `executor_memory`), or the model more of them (`executors`)."
)
LOOK = 2.0
"""Seconds between two looks at executors that are waited for."""
GRACE = 10.0
"""Seconds that Java may take to remove its executors, once it is told to end."""


class _Running:
    """Spark's Java process, and how many blocks of `working` are open."""

    java: "subprocess.Popen[bytes] | None" = None
    blocks = 0


_running = _Running()
_starting = threading.RLock()


def session() -> Any:
    """The session. Raises PlatformError if pyspark or a Java 17 is missing, or no executor comes up."""
    with _starting:
        return _session()


def on_store() -> bool:
    """Whether Spark reads and writes the store itself: its executors are pods."""
    return settings().inside


def read(uris: Sequence[str]) -> Any:
    """The parquet files as one frame."""
    return session().read.parquet(*(_address(uri) for uri in uris))


def write(frame: Any, folder: str) -> None:
    """Write the frame as parquet files, and nothing else, to a folder that is not there yet."""
    frame.write.parquet(_address(folder))
    for file in store.list_files(folder):
        if not file.endswith(".parquet"):
            store.delete(file)


@contextmanager
def working() -> Iterator[None]:
    """Around everything that calls Spark; blocks may be nested.

    A signal may end the block inside a call to Java, after which nothing more can be asked of it: it is ended,
    not stopped. On a cluster executors are there as long as the outermost block. Raises PlatformError if Spark
    itself was lost.
    """
    _running.blocks += 1
    try:
        yield
    except Exception as error:
        if (lost := _lost(error)) is not None:
            raise PlatformError("engine spark", *lost) from error
        raise
    except BaseException:
        end()
        raise
    finally:
        _running.blocks -= 1
        if on_store() and not _running.blocks:
            stop()


def stop() -> None:
    """Stop the session, if there is one, and Java with it; executors go at once."""
    if _running.java is not None and _running.java.poll() is None and _session.cache_info().currsize:
        _session().stop()
    end()


def end() -> None:
    """End Java without asking it anything; the next call of `session` starts anew."""
    java, _running.java = _running.java, None
    _session.cache_clear()
    if java is None:
        return
    with suppress(ProcessLookupError):
        os.killpg(java.pid, signal.SIGTERM)  # its last act is to remove the executors
    try:
        java.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(java.pid, signal.SIGKILL)
        java.wait()
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    SparkContext._active_spark_context = SparkContext._gateway = SparkContext._jvm = None
    SparkSession._instantiatedSession = None


@lru_cache(maxsize=1)
def _session() -> Any:
    try:
        from py4j.protocol import Py4JJavaError
        from pyspark import SparkConf, SparkContext
        from pyspark.errors import PySparkRuntimeError
        from pyspark.java_gateway import launch_gateway
        from pyspark.sql import SparkSession
        from pyspark.traceback_utils import SCCallSiteSync
    except ImportError as error:
        raise PlatformError("engine spark", f"{error}", "Run `uv sync --extra spark`.") from error
    check_java()
    found = settings()
    scratch = tempfile.mkdtemp(prefix="slipway-spark-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    conf = SparkConf(loadDefaults=False).setAppName("slipway")
    for key, value in options(found, scratch).items():
        conf.set(key, value)
    if found.inside:
        _write_template(found, scratch)
    try:
        # In a session of its own: a signal to the flow's process group must not end Java under a running call.
        gateway = launch_gateway(conf, {"start_new_session": True})
        _running.java = gateway.proc
        context = SparkContext(conf=conf, gateway=gateway)
        context.setLogLevel("ERROR")
        # pyspark names each call to Java around it, and takes the name back also when a signal ends the call: then
        # it asks Java, which still works on the call, and waits for ever. From a depth of 1 on it names none.
        SCCallSiteSync._spark_stack_depth = 1
        context.pythonExec = sys.executable  # else the first `python3` on PATH
        if found.inside:
            _await_executors(context, found)
        created = SparkSession.builder.getOrCreate()
    except PySparkRuntimeError as error:
        end()
        raise PlatformError("engine spark", f"Spark did not start: {error}", JAVA) from error
    except Py4JJavaError as error:
        end()
        seen = str(error.java_exception)
        raise PlatformError("engine spark", f"Spark did not start: {seen}", "Read this run's log.") from error
    except BaseException:
        end()
        raise
    # What this logger prints comes as an exception as well.
    logging.getLogger("DataFrameQueryContextLogger").setLevel(logging.CRITICAL)
    atexit.unregister(stop)
    atexit.register(stop)
    return created


def options(found: Settings, scratch: str) -> dict[str, str]:
    """Spark's configuration; `scratch` is a folder for its temporary files."""
    everywhere = {
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
        "spark.sql.warehouse.dir": f"{scratch}/warehouse",
        "spark.local.dir": scratch,
        "spark.log.level": "ERROR",
        "spark.ui.showConsoleProgress": "false",
        **spark_cluster.s3a(found),
    }
    if found.inside:
        return everywhere | spark_cluster.options(found, f"{scratch}/executor.json")
    return everywhere | {
        "spark.master": "local[*]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.sql.shuffle.partitions": "8",
    }


def _write_template(found: Settings, scratch: str) -> None:
    from tasks import kubernetes

    if spark_cluster.executors_namespace(found) != found.pod_namespace:
        Path(scratch, "executor.json").write_text(json.dumps(spark_cluster.executor_pod({})))
        return
    driver = kubernetes.client(found.pod_namespace).get(kubernetes.POD, found.pod_name)
    if driver is None:
        raise PlatformError(
            f"pod {found.pod_namespace}/{found.pod_name}", "is not there, though this process runs in it",
            "See what sets POD_NAME and POD_NAMESPACE.",
        )  # fmt: skip
    Path(scratch, "executor.json").write_text(json.dumps(spark_cluster.executor_pod(driver)))


def _await_executors(context: Any, found: Settings) -> None:
    """Until the first executor is there: without one, Spark's first job would wait for ever and say nothing."""
    from py4j.protocol import Py4JError

    from tasks import kubernetes

    labels = {"spark-app-selector": context.applicationId, "spark-role": "executor"}
    deadline, seen = time.monotonic() + found.spark_timeout, ""
    space = spark_cluster.executors_namespace(found)
    while True:
        try:
            if context._jsc.sc().getExecutorMemoryStatus().size() > 1:  # the driver is one
                return
        except (Py4JError, OSError) as error:
            raise _no_executor(found, seen or "they failed one after another") from error
        seen = spark_cluster.trouble(kubernetes.client(space).list(kubernetes.POD, labels)) or seen
        if time.monotonic() > deadline:
            raise _no_executor(found, seen or f"none was there after {found.spark_timeout:.0f} s")
        time.sleep(LOOK)


def _no_executor(found: Settings, seen: str) -> PlatformError:
    size = f"{found.spark_executor_cpu} processors and {found.spark_executor_memory}"
    return PlatformError(
        f"Spark's executors ({found.spark_executors}, each with {size})",
        f"do not come up: {seen}",
        "Make them smaller (job variables `executors`, `executor_cpu`, `executor_memory`), or make room for them.",
    )


def _lost(error: BaseException) -> tuple[str, str] | None:
    """How Spark itself was lost, if that is what the error is about, and the next step."""
    if _running.java is not None and _ended(_running.java, error):
        return f"its Java process ended with {_running.java.returncode}", "Read this run's log; run again."
    at: BaseException | None = error
    while at is not None:
        _, found, how = str(at).partition("ExecutorLostFailure")
        if found:
            return f"executors were lost again and again {' '.join(how.split())[:400]}", MORE_MEMORY
        at = at.__cause__ or at.__context__
    return None


def _ended(java: "subprocess.Popen[bytes]", error: BaseException) -> bool:
    """Whether Java is gone; one that left a call unanswered is given a moment to be gone whole."""
    unanswered = type(error).__name__ in ("Py4JError", "Py4JNetworkError") or isinstance(error, OSError)
    try:
        java.wait(GRACE if unanswered else 0)
    except subprocess.TimeoutExpired:
        return False
    return True


def _address(uri: str) -> str:
    return f"s3a://{uri.removeprefix('s3://')}" if store.is_s3(uri) else f"file://{uri}"


def check_java() -> None:
    """Raises PlatformError unless there is a Java that Spark 4 can use."""
    home = settings().java_home
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        seen = f"in {home}/bin (JAVA_HOME)" if home else "on this machine's PATH"
        raise PlatformError("engine spark", f"there is no `java` {seen}", JAVA)
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
    version = java_version(answer.stderr + answer.stdout)
    if version is None or version < 17:
        raise PlatformError("engine spark", f"{java} is Java {version or 'of unknown version'}", JAVA)


def java_version(output: str) -> int | None:
    """The major version that `java -version` printed: 8 for "1.8.0_292", 17 for "17.0.15"."""
    _, quote, rest = output.partition('"')
    parts = rest.split('"')[0].split(".")
    if not quote or not parts[0].isdigit():
        return None
    return int(parts[1]) if parts[0] == "1" else int(parts[0])
