"""A place outside the cluster: a network namespace from which nothing but the Kubernetes API can be reached."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import yaml

from tasks.reach import variables
from tasks.settings import ROOT

Done = subprocess.CompletedProcess[str]
HERE, THERE = "10.119.0.1", "10.119.0.2"
"""Addresses of the pair that joins this machine and the namespace."""


@dataclass(frozen=True)
class Outside:
    """Runs commands in the namespace `name`, with the kubeconfig of the cluster under test."""

    name: str
    kubeconfig: Path
    home: Path
    """SLIPWAY_HOME of what runs there."""

    def command(self, *arguments: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *arguments]

    def environment(self, **variables: str) -> dict[str, str]:
        own = {"KUBECONFIG": str(self.kubeconfig), "SLIPWAY_HOME": str(self.home)}
        return {**os.environ, **own, **variables}

    def run(self, *arguments: str, timeout: float = 300, **variables: str) -> Done:
        """Run a program there to its end."""
        return subprocess.run(
            self.command(*arguments), env=self.environment(**variables),
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def slipway(self, *arguments: str, timeout: float = 900, **variables: str) -> Done:
        """`slipway` with these arguments, as a user types it."""
        program = str(Path(sys.executable).with_name("slipway"))
        return self.run(program, *arguments, timeout=timeout, **variables)

    def answer(self, *arguments: str, timeout: float = 900) -> dict[str, Any]:
        """The JSON document of a `slipway` command that must succeed."""
        done = self.slipway(*arguments, "--json", timeout=timeout)
        assert done.returncode == 0, done.stderr + done.stdout
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    @contextmanager
    def here(self) -> Iterator[None]:
        """In the block this process, which reaches all that this machine does, means the same cluster."""
        own = {"KUBECONFIG": str(self.kubeconfig), "SLIPWAY_HOME": str(self.home)}
        with variables({**own, "SLIPWAY_PLATFORM": "cluster"}):
            yield


def find_kubeconfig() -> Path:
    """The file of the cluster under test; it may not exist."""
    return Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")


def api_server(kubeconfig: Path) -> tuple[str, int]:
    """Host and port of the API server of the current context."""
    document = yaml.safe_load(kubeconfig.read_text())
    contexts = {entry["name"]: entry["context"] for entry in document["contexts"]}
    clusters = {entry["name"]: entry["cluster"] for entry in document["clusters"]}
    url = urlparse(clusters[contexts[document["current-context"]]["cluster"]]["server"])
    return str(url.hostname), url.port or 443


@contextmanager
def outside(name: str, kubeconfig: Path, home: Path) -> Iterator[Outside]:
    """The namespace, for as long as the block runs: a route to the API server and rules that drop the rest.

    kubectl and helm are those that `make cluster` linked, where it did: a home of one's own has none.
    """
    path = f"{ROOT / '.slipway' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    host, port = api_server(kubeconfig)
    pair, peer = f"{name[:9]}-a", f"{name[:9]}-b"
    inside = ["ip", "netns", "exec", name]
    for left in (["netns", "delete", name], ["link", "delete", pair]):  # by a run that was killed
        subprocess.run(["ip", *left], capture_output=True, timeout=30, check=False)
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", pair, "type", "veth", "peer", "name", peer)
        _run("ip", "link", "set", peer, "netns", name)
        _run("ip", "address", "add", f"{HERE}/30", "dev", pair)
        _run("ip", "link", "set", pair, "up")
        _run(*inside, "ip", "address", "add", f"{THERE}/30", "dev", peer)
        _run(*inside, "ip", "link", "set", peer, "up")
        _run(*inside, "ip", "link", "set", "lo", "up")
        _run(*inside, "ip", "route", "add", "default", "via", HERE)
        _run(*inside, "iptables", "-A", "OUTPUT", "-o", "lo", "-j", "ACCEPT")
        to_api = ["-d", host, "-p", "tcp", "--dport", str(port), "-j", "ACCEPT"]
        _run(*inside, "iptables", "-A", "OUTPUT", *to_api)
        _run(*inside, "iptables", "-A", "OUTPUT", "-j", "REJECT")
        with variables({"PATH": path}):
            yield Outside(name, kubeconfig, home)
    finally:
        _run("ip", "netns", "delete", name)  # the pair goes with it


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
