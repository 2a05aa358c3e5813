"""A home folder of the test's own, a small model with data, and a stand-in for S3."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.settings import settings
from tests.tasks.shop import Shop


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`.slipway` of this test: its store, caches and remembered hashes."""
    folder = tmp_path / "home"
    monkeypatch.setenv("SLIPWAY_HOME", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Shop:
    """A model whose spec, functions and sources lie in a folder of the test's own."""
    return Shop(tmp_path / "shop")


@pytest.fixture(params=["pandas", "polars", pytest.param("spark", marks=pytest.mark.spark)])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a tmpfs needs rights that this user lacks")
    yield folder
    # lazy: a task that Spark has given up may still hold its file open
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def stand_in() -> Iterator[str]:
    """Address of moto's server, a stand-in for S3: it knows versions, ETags and If-Match, not real load."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(stand_in: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A versioned bucket `data` of the stand-in, through boto3; the settings point at it."""
    from tasks import store

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "stand-in")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("SLIPWAY_S3_ENDPOINT", stand_in)
    settings.cache_clear()
    store.s3.cache_clear()
    client = store.client()
    client.create_bucket(Bucket="data")
    client.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    yield client
    for version in client.list_object_versions(Bucket="data").get("Versions", []):
        client.delete_object(Bucket="data", Key=version["Key"], VersionId=version["VersionId"])
    for marker in client.list_object_versions(Bucket="data").get("DeleteMarkers", []):
        client.delete_object(Bucket="data", Key=marker["Key"], VersionId=marker["VersionId"])
    client.delete_bucket(Bucket="data")
    store.s3.cache_clear()
