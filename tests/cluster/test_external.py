"""A platform on a Postgres and an S3 of the user's own: those of the platform under test, given by Secrets."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tasks.platform_lock import PlatformLock, load_lock
from tasks.secrets import KEY, KEY_SECRET, MODELS, POSTGRES, S3, S3_ADMIN, Place, manifest
from tests.cluster.outside import Outside
from tests.cluster.pods import SETTLED, kubectl, run
from tests.cluster.second import Second

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
BUCKET = "users-own"
DATABASES = ("own_mlflow", "own_prefect")
PASSWORD = "known-to-all"  # of databases that live as long as this test
PORT = 18333
"""Of the network namespace that commands run in: nobody else listens there."""
POLICY = "users-own"
"""Lets the second platform in, as a server outside the cluster would."""
MADE_BY = {"slipway.io/role": "verification"}
DATABASES_MADE = f"""{SETTLED}
import json, os, psycopg
from psycopg import sql
settled(os.environ["HOST"], int(os.environ["PORT"]))
where = {{"host": os.environ["HOST"], "port": os.environ["PORT"], "user": "postgres"}}  # with PGPASSWORD
with psycopg.connect(**where, autocommit=True) as server:
    for name in {DATABASES!r}:
        words = {{"name": sql.Identifier(name), "password": sql.Literal({PASSWORD!r})}}
        said = ["drop database if exists {{name}} with (force)", "drop role if exists {{name}}"]
        if os.environ["MAKE"]:
            said += ["create role {{name}} login password {{password}}", "create database {{name}} owner {{name}}"]
        for each in said:
            server.execute(sql.SQL(each).format(**words))
print(json.dumps("done"))
"""
BUCKET_TAKEN_AWAY = f"""{SETTLED}
import boto3, json, os
from urllib.parse import urlsplit
at = urlsplit(os.environ["ENDPOINT"])
settled(at.hostname, at.port)
bucket = boto3.resource("s3", endpoint_url=os.environ["ENDPOINT"]).Bucket({BUCKET!r})
keys = [each.key for each in bucket.objects.all()]
bucket.objects.all().delete()
bucket.delete()
print(json.dumps(sorted({{key.partition("/")[0] for key in keys}})))
"""


def given(secret: str, key: str, name: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def databases(cli: Outside, lock: PlatformLock, *, make: bool) -> None:
    """Make the databases and their users anew, or take them away."""
    environment = [
        given(POSTGRES, "postgres-password", "PGPASSWORD"), {"name": "HOST", "value": lock.postgres.host},
        {"name": "PORT", "value": str(lock.postgres.port)}, {"name": "MAKE", "value": "yes" if make else ""},
    ]  # fmt: skip
    run(
        cli,
        lock.namespaces.platform,
        DATABASES_MADE,
        labels=MADE_BY,
        environment=environment,
        image="mlflow",
    )


def take_bucket_away(cli: Outside, lock: PlatformLock) -> list[str]:
    """What lay in it, by prefix."""
    environment = [
        given(S3_ADMIN, KEY, KEY), given(S3_ADMIN, KEY_SECRET, KEY_SECRET),
        {"name": "ENDPOINT", "value": lock.store.endpoint},
    ]  # fmt: skip
    found: list[str] = run(
        cli, lock.namespaces.platform, BUCKET_TAKEN_AWAY, labels=MADE_BY, environment=environment
    )
    return found


def apply(cli: Outside, each: dict[str, Any]) -> None:
    file = cli.home / "manifest.json"
    file.write_text(json.dumps(each))
    kubectl(cli, "apply", "--filename", str(file))
    file.unlink()


def door(lock: PlatformLock) -> dict[str, Any]:
    servers = {"key": "app.kubernetes.io/name", "operator": "In", "values": ["postgres", "object-store"]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": POLICY, "namespace": lock.namespaces.platform},
        "spec": {
            "podSelector": {"matchExpressions": [servers]},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"namespaceSelector": {}}]}],
        },
    }


def secrets(cli: Outside, lock: PlatformLock, namespace: str) -> list[dict[str, Any]]:
    """What the user makes: the URIs of two databases, and keys to the store."""
    place = ("--namespace", lock.namespaces.platform, "--output", "json")
    keys = json.loads(kubectl(cli, "get", "secret", S3_ADMIN, *place))["data"]
    at = f"{lock.postgres.host}:{lock.postgres.port}"
    mlflow, prefect = DATABASES
    uris = {
        "mlflow-uri": f"postgresql://{mlflow}:{PASSWORD}@{at}/{mlflow}",
        "prefect-uri": f"postgresql+asyncpg://{prefect}:{PASSWORD}@{at}/{prefect}",
    }
    admin = manifest(Place(namespace, S3_ADMIN), {})
    return [{**admin, "data": keys}, manifest(Place(namespace, POSTGRES), uris)]


@contextmanager
def store_outside(cli: Outside, lock: PlatformLock) -> Iterator[str]:
    """An address at which the user's own store answers outside of the cluster, as it would by itself."""
    place = ("--namespace", lock.namespaces.platform, "service/s3", f"{PORT}:8333")
    with subprocess.Popen(
        cli.command("kubectl", "port-forward", *place),
        env=cli.environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as forwarding:
        assert forwarding.stdout is not None
        try:
            assert "Forwarding" in forwarding.stdout.readline()
            yield f"http://127.0.0.1:{PORT}"
        finally:
            forwarding.terminate()


@pytest.fixture
def own(platform_up: Outside, second: Second) -> Iterator[Second]:
    """A lock that names both servers, and everything a user does before bootstrap."""
    lock, cli = load_lock(), platform_up
    text = second.file.read_text()
    ours = second.lock
    for there, here in (
        (f"endpoint: {ours.store.endpoint}", f"endpoint: {lock.store.endpoint}"),
        (f"host: {ours.postgres.host}", f"host: {lock.postgres.host}"),
        (f"bucket: {ours.store.bucket}", f"bucket: {BUCKET}"),
        ("external: false", "external: true"),
    ):
        assert there in text
        text = text.replace(there, here)
    second.file.write_text(text)
    platform = second.namespaces[0]
    apply(cli, door(lock))
    try:
        databases(cli, lock, make=True)
        kubectl(cli, "create", "namespace", platform)
        for each in secrets(cli, lock, platform):
            apply(cli, each)
        yield second
    finally:
        second.teardown("--delete-models", "--delete-data")
        databases(cli, lock, make=False)
        kubectl(cli, "delete", "networkpolicy", POLICY, "--namespace", lock.namespaces.platform)
        kubectl(cli, "delete", "namespace", platform, "--ignore-not-found", "--timeout=50s")


def test_a_platform_on_servers_of_the_users_own_trains_and_serves(platform_up: Outside, own: Second) -> None:
    rows = {row["component"]: row for row in own.bootstrap()["components"]}
    assert [rows[name]["did"] for name in ("postgres", "object-store")] == ["yours", "yours"]
    assert all(
        rows[name]["verified_by"] for name in ("postgres", "object-store", "mlflow", "prefect", "workers")
    )
    platform, training, serving = own.namespaces[:3]
    stateful = ("get", "statefulsets", "--namespace", platform, "--output", "name")
    assert kubectl(own.cli, *stateful).split() == ["statefulset.apps/prefect"]
    for namespace, name in ((platform, S3), (training, S3), (serving, S3), (serving, MODELS)):
        kubectl(own.cli, "get", "secret", name, "--namespace", namespace)
    assert own.bootstrap()["changed"] == []

    assert own.cli.answer("retrain", "iris")["outcome"] == "released"
    with store_outside(own.cli, load_lock()) as endpoint:
        done = own.cli.slipway("live", "iris", "--json", SLIPWAY_S3_ENDPOINT=endpoint)
    assert done.returncode == 0, done.stderr + done.stdout
    (found,) = json.loads(done.stdout)["models"]
    assert (found["version"], found["disagreements"]) == (1, [])
    own.teardown("--delete-models", "--delete-data")
    left = take_bucket_away(platform_up, load_lock())
    assert {"datasets", "mlflow", "records"} <= set(left), "a store of the user's own keeps its data"
