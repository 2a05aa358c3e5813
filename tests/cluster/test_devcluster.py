"""`make cluster` and `make cluster-down` leave the machine as it was. They take the cluster away, so they only run
where none is."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from infra.devcluster import cluster, processes, state
from infra.devcluster.layout import NAME
from infra.devcluster.network import SYSCTLS, run

pytestmark = pytest.mark.timeout(2400)  # the first start builds everything

EARLIER = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://127.0.0.1:9"}}],
    "users": [{"name": "me", "user": {"token": "none"}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
}
PLACES = (
    "/etc/cni", "/opt", "/run", "/run/netns", "/usr/libexec/kubernetes", "/var/lib", "/var/lib/cni",
    "/var/lib/kubelet", "/var/log", "/var/log/containers", "/var/log/pods",
)  # fmt: skip
KEPT = {"/var/lib/slipway-devcluster", "/run/slipway-devcluster.lock"}
"""What the next start takes up again: unpacked images, and a lock."""
POD = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  restartPolicy: Never
  securityContext: {runAsUser: 1000, runAsNonRoot: true, fsGroup: 1000}
  containers:
    - name: writer
      image: docker.io/library/python:3.11-slim
      args: [sh, -c, "echo written > /kept/file && cat /kept/file && exec sleep infinity"]
      volumeMounts: [{name: kept, mountPath: /kept}]
  volumes: [{name: kept, persistentVolumeClaim: {claimName: kept}}]
"""


def machine() -> dict[str, set[str]]:
    """What a cluster could leave behind."""
    rules = [run("iptables-save", "-t", table, check=False) for table in ("filter", "nat", "mangle", "raw")]
    chains = [
        line.split("[")[0]
        for dump in rules
        for line in dump.splitlines()
        if line.startswith("-A") or re.match(r":\S+ -", line)
    ]
    return {
        "processes": {f"{process.name()} {process.pid}" for process in processes.found()},
        "mounts": set(Path("/proc/self/mounts").read_text().splitlines()),
        "interfaces": {f"{name} {at.address}" for name, all_ in psutil.net_if_addrs().items() for at in all_},
        "routes": set(run("ip", "route", "show", "table", "all").splitlines()),
        "rules": set(chains),
        "sets": set(run("ipset", "list", "-n", check=False).splitlines()),
        "cgroups": {at for at, _, _ in os.walk("/sys/fs/cgroup")},
        "settings": {f"{name} {(Path('/proc/sys') / name).read_text()}" for name in SYSCTLS},
        "files": {str(path) for place in PLACES if Path(place).is_dir() for path in Path(place).iterdir()}
        - KEPT,
    }


def devcluster(command: str, kubeconfig: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "infra.devcluster", command],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kubectl(kubeconfig: Path, *arguments: str, given: str | None = None) -> str:
    program = str(Path(".slipway/bin/kubectl").resolve())
    return run(program, f"--kubeconfig={kubeconfig}", *arguments, given=given)


@pytest.fixture
def empty_machine(tmp_path: Path) -> Iterator[Path]:
    """A machine without a development cluster, and a kubeconfig that somebody uses for another one."""
    found = state.read()
    if found is not None and cluster.healthy(found):
        pytest.skip(
            "the development cluster runs, and this would take it away: run `make cluster-down` first"
        )
    kubeconfig = tmp_path / "kubeconfig"
    devcluster("down", kubeconfig)  # what a machine that was switched off may have left
    kubeconfig.write_text(yaml.safe_dump(EARLIER))
    yield kubeconfig
    devcluster("down", kubeconfig)


def test_the_machine_is_as_before_when_the_cluster_has_gone(empty_machine: Path) -> None:
    before = machine()

    devcluster("up", empty_machine)
    assert yaml.safe_load(empty_machine.read_text())["current-context"] == NAME
    kubectl(empty_machine, "apply", "-f", "-", given=POD)
    kubectl(empty_machine, "wait", "--for=condition=Ready", "pod/writer", "--timeout=60s")
    assert kubectl(empty_machine, "logs", "writer") == "written\n"

    said = devcluster("up", empty_machine)
    assert "already runs" in said
    kubectl(empty_machine, "get", "pod", "writer")  # the second start changed nothing

    devcluster("down", empty_machine)
    after = machine()
    assert {kind: after[kind] - before[kind] for kind in before} == {kind: set() for kind in before}
    assert {kind: before[kind] - after[kind] for kind in before} == {kind: set() for kind in before}
    assert yaml.safe_load(empty_machine.read_text()) == EARLIER
    assert "No development cluster runs" in devcluster("down", empty_machine)


def test_a_half_dead_cluster_is_taken_away_and_a_new_one_starts_within_30_s(empty_machine: Path) -> None:
    devcluster("up", empty_machine)
    found = state.read()
    assert found is not None
    for service in ("kubelet", "containerd", "etcd"):
        os.kill(found.processes[service].pid, signal.SIGKILL)
    time.sleep(1)

    said = devcluster("up", empty_machine)
    assert "what is left of an earlier development cluster" in said
    seconds = re.search(r"ready after (\d+) s", said)
    assert seconds is not None
    assert int(seconds[1]) <= 30
    kubectl(empty_machine, "wait", "--for=condition=Ready", "node", "--all", "--timeout=10s")
    assert kubectl(empty_machine, "get", "pods", "--namespace=default", "--output=name") == ""
