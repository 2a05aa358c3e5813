"""How commands reach a cluster's servers from outside: forwards and keys for the time of one block."""

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tasks import forwarding, kubernetes, reach
from tasks.errors import PlatformError
from tasks.reach import reached
from tasks.settings import settings

SECRETS = {
    ("slipway", "slipway-prefect"): {"auth-string": "admin:secret"},
    ("slipway-serving", "slipway-s3"): {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "s",
        "config": "no",
    },
    ("slipway-serving", "slipway-mlflow"): {
        "MLFLOW_TRACKING_USERNAME": "release",
        "MLFLOW_TRACKING_PASSWORD": "hush",
    },
}


class Cluster:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def get(self, kind: Any, name: str) -> dict[str, Any] | None:
        if (self.namespace, name) == ("slipway", "slipway-platform"):
            return {"data": {"settings.json": json.dumps({"platform": "cluster", "store": "s3://there"})}}
        held = SECRETS.get((self.namespace, name))
        if held is None:
            return None
        return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in held.items()}}


@pytest.fixture
def opened(home: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, int]]]:
    """A cluster, seen from outside; what was forwarded, by namespace, service and port."""
    now: list[tuple[str, str, int]] = []

    @contextmanager
    def forwarded(namespace: str, target: str, port: int) -> Iterator[str]:
        now.append((namespace, target, port))
        yield f"http://127.0.0.1:{port + 10000}"
        now.remove((namespace, target, port))

    secret = (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "AWS_PROFILE",
    )
    for name in (*secret, "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    monkeypatch.setenv("SLIPWAY_PLATFORM", "cluster")
    settings.cache_clear()
    monkeypatch.setattr(forwarding, "forwarded", forwarded)
    monkeypatch.setattr(kubernetes, "client", Cluster)
    monkeypatch.setattr(reach, "require", lambda *servers: None)
    yield now
    os.environ.clear()
    os.environ.update(before)


def test_servers_and_keys_are_there_in_the_block_and_gone_after_it(
    opened: list[tuple[str, str, int]],
) -> None:
    with reached("Prefect", "MLflow", "store") as found:
        assert opened == [
            ("slipway", "service/prefect", 4200),
            ("slipway", "service/mlflow", 5000),
            ("slipway", "service/s3", 8333),
        ]
        assert found.prefect_url == "http://127.0.0.1:14200/api"
        assert found.mlflow_url == "http://127.0.0.1:15000"
        assert found.s3_endpoint == "http://127.0.0.1:18333"
        assert found.store == "s3://there", "as bootstrap left it in the cluster"
        assert found.prefect_auth.get_secret_value() == "admin:secret"
        assert (found.mlflow_user, found.mlflow_password.get_secret_value()) == ("release", "hush")
        assert "secret" not in repr(found)
        assert "hush" not in repr(found)
        assert os.environ["AWS_ACCESS_KEY_ID"] == "key"
        assert "config" not in os.environ
        with reached("Prefect"):
            assert len(opened) == 3, "what is reached already is not forwarded again"
    assert opened == []
    assert not settings().prefect_url
    assert not settings().store
    assert "AWS_ACCESS_KEY_ID" not in os.environ
    assert "PREFECT_API_AUTH_STRING" not in os.environ
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ


def test_an_address_that_is_configured_is_not_forwarded(
    opened: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_PREFECT_URL", "https://prefect.example/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "me:mine")
    settings.cache_clear()
    with reached("Prefect") as found:
        assert opened == []
        assert found.prefect_url == "https://prefect.example/api"


def test_a_store_of_the_users_own_gets_the_keys_that_lie_in_the_cluster(
    opened: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_S3_ENDPOINT", "https://s3.example")
    settings.cache_clear()
    with reached("store") as found:
        assert (opened, found.s3_endpoint, os.environ["AWS_ACCESS_KEY_ID"]) == (
            [],
            "https://s3.example",
            "key",
        )
    monkeypatch.setenv("AWS_PROFILE", "mine")
    with reached("store"):
        assert "AWS_ACCESS_KEY_ID" not in os.environ


def test_in_a_pod_nothing_is_forwarded(
    opened: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with reached("Prefect", "MLflow", "store"):
        assert opened == []


def test_a_cluster_without_the_platform_says_so(
    opened: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_PLATFORM_NAMESPACE", "elsewhere")
    settings.cache_clear()
    with (
        pytest.raises(
            PlatformError, match=r"slipway-platform in namespace elsewhere: does not exist.*bootstrap"
        ),
        reached("Prefect", "store"),
    ):
        pass
