"""JupyterHub on the cluster under test, from its own chart, for as long as the tests of a module run."""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.forwarding import forwarded
from tasks.kubernetes import POD, SECRET, VOLUME_CLAIM, client
from tasks.platform_lock import LOCK, load_lock
from tests.cluster.outside import Done, Outside

PASSWORD = "infra/jupyterhub/password.yaml"
"""What the committed lock says of who may log in."""
HOST = "hub.example.com"
"""Where the hub's people are sent back to by who knows them."""
SPACES = load_lock().namespaces


@dataclass(frozen=True)
class Place:
    """Where a hub is to be: `file` is a lock that has it."""

    cli: Outside
    file: Path
    charts: Path

    def run(self, *arguments: str) -> Done:
        return self.cli.slipway("bootstrap", *self._arguments, *arguments, timeout=1500)

    def bootstrap(self) -> dict[str, Any]:
        return self.cli.answer("bootstrap", *self._arguments, timeout=1500)

    @property
    def _arguments(self) -> tuple[str, ...]:
        return "--lock", str(self.file), "--charts", str(self.charts)

    def pods(self, namespace: str, **labels: str) -> list[dict[str, Any]]:
        return client(namespace).list(POD, labels)

    def servers(self) -> list[str]:
        """Pods of people's servers."""
        found = self.pods(SPACES.notebooks, component="singleuser-server")
        return [each["metadata"]["name"] for each in found]

    def claims(self) -> list[str]:
        return [each["metadata"]["name"] for each in client(SPACES.notebooks).list(VOLUME_CLAIM)]

    @contextmanager
    def reached(self) -> Iterator[str]:
        """Where a browser on this machine finds the hub."""
        with forwarded(SPACES.notebooks, "service/proxy-public", 80) as url:
            yield url.rstrip("/")


def with_hub(text: str, *values: str) -> str:
    """Pure: the lock with JupyterHub; `values` say who may log in."""
    told = text.replace("    enabled: false\n", "    enabled: true\n")
    if PASSWORD not in values:
        told = re.sub(r"(?m)^  hub: \{.*\}$", f"  hub: {{host: {HOST}, let_in: [ingress]}}", told)
    return told.replace(f", {PASSWORD}]", f", {', '.join(values)}]")


@contextmanager
def place(cli: Outside, charts: Path, folder: Path, *values: str) -> Iterator[Place]:
    """What is needed to have a hub; it is taken away afterwards, and its people's volumes with it."""
    if not (charts / "jupyterhub").exists() and not list(charts.glob("jupyterhub-*.tgz")):
        pytest.skip(f"needs the chart jupyterhub in {charts}")
    file = folder / "platform.yaml"
    file.write_text(with_hub(LOCK.read_text(), *values))
    with cli.here():
        try:
            yield Place(cli, file, charts)
        finally:
            for name, space in (("jupyterhub", SPACES.notebooks), ("notebooks", SPACES.platform)):
                kubectl_or_helm(
                    cli, "helm", "uninstall", name, "--namespace", space, "--wait", "--ignore-not-found"
                )
            kinds = "pods,persistentvolumeclaims"
            for space in (SPACES.notebooks, SPACES.executors):
                kubectl_or_helm(cli, "kubectl", "delete", kinds, "--all", "--namespace", space)


def kubectl_or_helm(cli: Outside, *command: str) -> None:
    done = cli.run(*command, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def shared_password() -> str:
    """Of password.yaml: everybody's."""
    secret = client(SPACES.platform).get(SECRET, "slipway-hub")
    assert secret is not None
    return base64.b64decode(secret["data"]["password"]).decode()
