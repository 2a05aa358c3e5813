from typing import Any

import pytest
import yaml

from tasks import needed_secrets
from tasks.errors import PlatformError
from tasks.helm import Chart
from tasks.kubernetes import Kind

CHART = """
kind: Deployment
metadata: {name: hub}
spec:
  template:
    spec:
      initContainers:
        - env: [{name: A, valueFrom: {secretKeyRef: {name: google, key: client-id}}}]
      containers:
        - env:
            - {name: B, valueFrom: {secretKeyRef: {name: google, key: client-secret}}}
            - {name: C, valueFrom: {secretKeyRef: {name: hub, key: token}}}
            - {name: D, valueFrom: {secretKeyRef: {name: other, key: x, optional: true}}}
            - {name: E, value: plain}
            - {name: F, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
---
kind: Secret
metadata: {name: hub}
---
kind: Service
metadata: {name: hub}
spec: {ports: []}
"""


class Cluster:
    """Secrets by namespace and name: a stand-in for the API."""

    def __init__(self, **secrets: dict[str, str]) -> None:
        self.secrets = secrets

    def get(self, _kind: Kind, name: str, namespace: str) -> dict[str, Any] | None:
        assert namespace == "notebooks"
        return {"data": self.secrets[name]} if name in self.secrets else None


def chart() -> Chart:
    return Chart("jupyterhub", "", "notebooks", "", CHART)


def test_what_containers_read_and_the_chart_does_not_bring() -> None:
    found = needed_secrets.needed(list(yaml.safe_load_all(CHART)), "notebooks")
    assert found == [("notebooks", "google", "client-id"), ("notebooks", "google", "client-secret")]


@pytest.mark.parametrize(
    ("secrets", "words"),
    [
        (
            {},
            "Secret google in notebooks: is not there. The component jupyterhub reads client-id of it: create it",
        ),
        ({"google": {"client-id": "x"}}, "Secret google in notebooks: has no key client-secret"),
    ],
)
def test_what_is_missing_is_named(secrets: dict[str, dict[str, str]], words: str) -> None:
    with pytest.raises(PlatformError, match=words):
        needed_secrets.check(Cluster(**secrets), chart())  # type: ignore[arg-type]


def test_nothing_is_said_when_all_is_there() -> None:
    needed_secrets.check(Cluster(google={"client-id": "x", "client-secret": "y"}), chart())  # type: ignore[arg-type]
