"""What each identity may do in the object store: tried on SeaweedFS itself."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.devcluster.programs import program
from tasks import identities
from tasks.platform_lock import PlatformLock
from tasks.secrets import Place, wanted
from tests.model_server.server import free_ports
from tests.tasks.test_platform_lock import parsed

BUCKET = "slipway"
TOP = (
    "datasets",
    "prepared",
    "converted",
    "completed",
    "records",
    "scores",
    "scratch",
    "mlflow",
    "verification",
)
WRITERS = {
    "datasets": {"training"},
    "prepared": {"training", "release"},
    "converted": {"training", "release"},
    "completed": {"training", "release"},
    "records": {"training", "release"},
    "scores": {"training"},
    "scratch": {"training", "notebook"},
    "mlflow": {"mlflow"},
    "verification": set(),
}
READERS = {
    **{prefix: {"training", "release"} for prefix in TOP},
    "datasets": {"training", "release", "notebook"},
    "scores": {"training", "release", "notebook"},
    "scratch": {"training", "release", "notebook"},
    "mlflow": {"training", "release", "mlflow", "serving"},
}
USERS = ("mlflow", "training", "release", "serving", "notebook")

Client = Callable[[str], Any]


def test_the_whole_bucket_is_written_by_the_administrator_alone() -> None:
    for user, actions in identities.rights("b").items():
        for action in actions:
            what, _, where = action.partition(":")
            assert user == "admin" or what in ("Read", "List") or where.endswith("/*"), (user, action)
            assert not where or where == "b" or where.startswith("b/")


def test_what_is_written_where_is_what_this_file_says() -> None:
    assert set(TOP) - {"verification"} == {
        prefix for prefixes in identities.WRITES.values() for prefix in prefixes
    }


@pytest.fixture(scope="module")
def keys() -> dict[str, Any]:
    """The store's configuration as bootstrap makes it."""
    lock: PlatformLock = parsed()
    made = wanted(lock, {}, lambda: os.urandom(20).hex())[Place("slipway", "slipway-s3")]
    found: dict[str, Any] = json.loads(made["config.json"])
    return found


@pytest.fixture(scope="module")
def client(keys: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Clients of a SeaweedFS that runs as the chart runs it, by identity; each prefix holds an object."""
    weed = program("seaweedfs", "weed")
    if not weed.exists():
        pytest.skip(f"{weed} is not there: `make cluster` builds it")
    folder = tmp_path_factory.mktemp("store")
    (folder / "config.json").write_text(json.dumps(keys))
    s3, *others = free_ports(9)
    names = (
        "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "volume.port.public",
        "filer.port", "filer.port.grpc", "s3.port.grpc",
    )  # fmt: skip
    command = [
        weed, "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        "-master.volumeSizeLimitMB=64", "-master.telemetry=false", "-volume.max=0", "-s3", f"-s3.port={s3}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 'config.json'}",
        *(f"-{name}={port}" for name, port in zip(names, others, strict=True)),
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    secret = {
        each["name"]: (each["credentials"][0]["accessKey"], each["credentials"][0]["secretKey"])
        for each in keys["identities"]
    }

    def made(user: str) -> Any:
        key, hidden = secret[user]
        return boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{s3}", region_name="us-east-1", aws_access_key_id=key,
            aws_secret_access_key=hidden, config=Config(retries={"max_attempts": 1}),
        )  # fmt: skip

    try:
        until = time.monotonic() + 60
        while not well(f"http://127.0.0.1:{s3}/healthz"):
            assert time.monotonic() < until, (folder / "log").read_text()[-3000:]
            time.sleep(0.3)
        admin = made("admin")
        admin.create_bucket(Bucket=BUCKET)
        for prefix in TOP:
            admin.put_object(Bucket=BUCKET, Key=f"{prefix}/there/object", Body=b"kept")
            admin.put_object(Bucket=BUCKET, Key=f"{prefix}-other/object", Body=b"kept")
        yield made
    finally:
        process.kill()  # it takes its time to end, for data that goes anyway
        process.wait(30)


def well(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def allowed(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 403:
            return False
        raise
    return True


@pytest.mark.parametrize("user", USERS)
def test_each_identity_writes_below_its_own_prefixes_only(client: Client, user: str) -> None:
    s3 = client(user)
    for prefix in TOP:
        mine = user in WRITERS[prefix]
        key, beside = f"{prefix}/{user}/new", f"{prefix}-other/new"
        part = {"Bucket": BUCKET, "Key": key}
        ways = {
            "put": lambda part=part: s3.put_object(**part, Body=b"x"),
            "delete": lambda part=part: s3.delete_object(**part),
            "multipart": lambda part=part: s3.create_multipart_upload(**part),
            "tags": lambda part=part: s3.put_object(**part, Body=b"x", Tagging="a=b"),
        }
        for way, call in ways.items():
            assert allowed(call) == mine, (user, way, prefix)
        assert not allowed(lambda beside=beside: s3.put_object(Bucket=BUCKET, Key=beside, Body=b"x")), beside


@pytest.mark.parametrize("user", USERS)
def test_each_identity_reads_below_its_own_prefixes_only(client: Client, user: str) -> None:
    s3 = client(user)
    for prefix in TOP:
        mine = user in READERS[prefix]
        key = f"{prefix}/there/object"
        assert allowed(lambda key=key: s3.get_object(Bucket=BUCKET, Key=key)) == mine, (user, prefix)
        for under in (prefix, f"{prefix}/", f"{prefix}/there"):
            listed = lambda under=under: s3.list_objects_v2(Bucket=BUCKET, Prefix=under)  # noqa: E731
            assert allowed(listed) == mine, (user, under)
    everything = user in ("training", "release")
    assert allowed(lambda: s3.list_objects_v2(Bucket=BUCKET)) == everything


@pytest.mark.parametrize("user", USERS)
def test_no_request_that_names_its_keys_elsewhere_gets_around_it(client: Client, user: str) -> None:
    """Copies name what they read in a header, bulk deletions what they delete in the body."""
    s3 = client(user)
    own = identities.WRITES[user][0] if identities.WRITES[user] else "scratch"
    for prefix in TOP:
        source = {"Bucket": BUCKET, "Key": f"{prefix}/there/object"}
        copied = allowed(
            lambda source=source: s3.copy_object(Bucket=BUCKET, Key=f"{own}/{user}/copy", CopySource=source)
        )
        assert copied == (user in WRITERS[own] and user in READERS[prefix]), (user, prefix)
        if user not in WRITERS[prefix]:
            doomed = {"Objects": [{"Key": source["Key"]}]}
            said = s3.delete_objects(Bucket=BUCKET, Delete=doomed)
            assert said.get("Errors"), (user, prefix)
            assert client("admin").get_object(**source)["Body"].read() == b"kept"


@pytest.mark.parametrize("user", USERS)
def test_the_bucket_itself_is_the_administrators(client: Client, user: str) -> None:
    s3 = client(user)
    everyone = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::slipway/*"}
            ],
        }
    )
    assert not allowed(lambda: s3.put_bucket_policy(Bucket=BUCKET, Policy=everyone))
    assert not allowed(lambda: s3.create_bucket(Bucket=f"of-{user}"))
    assert not allowed(lambda: s3.delete_bucket(Bucket=BUCKET))
    rule = {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}
    assert not allowed(
        lambda: s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rule)
    )


@pytest.mark.parametrize("key", ["scratch/../records/there/object", "scratch/%2e%2e/records/there/object"])
def test_a_prefix_is_not_left_by_dots(client: Client, key: str) -> None:
    with suppress(ClientError):
        client("notebook").put_object(Bucket=BUCKET, Key=key, Body=b"forged")
    kept = client("admin").get_object(Bucket=BUCKET, Key="records/there/object")["Body"].read()
    assert kept == b"kept"
