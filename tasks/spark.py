"""One Spark session in this process: created when first needed, stopped at exit, on the loopback address."""

import atexit
import logging
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import lru_cache
from typing import Any

from tasks.errors import PlatformError

JAVA = "Install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless), or use another engine."
_starting = threading.Lock()


def session() -> Any:
    """The session. Raises PlatformError if pyspark or a Java 17 is missing."""
    with _starting:
        return _session()


@lru_cache(maxsize=1)
def _session() -> Any:
    try:
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise PlatformError("engine spark", f"{error}", "Run `uv sync --extra spark`.") from error
    check_java()
    scratch = tempfile.mkdtemp(prefix="slipway-spark-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    builder = SparkSession.builder.appName("slipway").master("local[*]")
    for key, value in options(scratch).items():
        builder = builder.config(key, value)
    try:
        created = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise PlatformError("engine spark", f"Spark did not start: {error}", JAVA) from error
    created.sparkContext.setLogLevel("ERROR")
    created.sparkContext.pythonExec = sys.executable  # else the first `python3` on PATH
    # What this logger prints comes as an exception as well.
    logging.getLogger("DataFrameQueryContextLogger").setLevel(logging.CRITICAL)
    atexit.register(created.stop)
    return created


def options(scratch: str) -> dict[str, str]:
    """Spark's configuration; `scratch` is a folder for its temporary files."""
    return {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.driver.memory": "2g",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
        "spark.sql.warehouse.dir": f"{scratch}/warehouse",
        "spark.local.dir": scratch,
        "spark.log.level": "ERROR",
        "spark.ui.showConsoleProgress": "false",
    }


def check_java() -> None:
    """Raises PlatformError unless there is a Java that Spark 4 can use."""
    java = shutil.which("java")
    if java is None:
        raise PlatformError("engine spark", "there is no `java` on this machine's PATH", JAVA)
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
