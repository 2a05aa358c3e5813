"""What must be there before anything is started: every missing thing is named at once, with the line that
installs it."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from infra.devcluster.layout import API_PORT, LOOPBACK_PORTS, NODE_ADDRESS
from tasks.errors import PlatformError

NODE_COMMANDS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/lib/cni/portmap": "containernetworking-plugins",
    "iptables": "iptables",
    "iptables-save": "iptables",
    "ipset": "ipset",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
}
"""What the cluster runs, and the Debian package that has it."""

GO_MINIMUM = (1, 24)
_SBIN = ("/usr/sbin", "/sbin")


def find(command: str) -> Path | None:
    """Where a command is; also where a user's PATH does not look, as for iptables."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN])
    found = shutil.which(command, path=path)
    return Path(found) if found else None


def missing_packages(
    commands: Mapping[str, str] = NODE_COMMANDS, find: Callable[[str], object | None] = find
) -> list[str]:
    return sorted({package for command, package in commands.items() if not find(command)})


def require_root() -> None:
    if os.geteuid() != 0:
        raise PlatformError(
            "development cluster",
            f"needs root (cgroups, mounts, network), and this is uid {os.geteuid()}",
            "Run `sudo make cluster`, or use another cluster: everything else only needs its kubeconfig.",
        )


def require_packages() -> None:
    packages = missing_packages()
    if packages:
        raise PlatformError(
            "development cluster",
            f"Debian packages are missing: {', '.join(packages)}",
            f"Install them: apt-get install --no-install-recommends {' '.join(packages)}",
        )


def go_version(said: str) -> tuple[int, int] | None:
    """From what `go version` says."""
    found = re.search(r"go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def require_go() -> None:
    wanted = ".".join(str(part) for part in GO_MINIMUM)
    if not find("go"):
        observed = "there is no `go`"
    else:
        said = subprocess.run(["go", "version"], capture_output=True, text=True, check=False).stdout
        version = go_version(said)
        if version is not None and version >= GO_MINIMUM:
            return
        observed = f"`go version` says {said.strip() or 'nothing'}"
    raise PlatformError(
        "development cluster",
        f"its programs are built with Go {wanted} or later, and {observed}",
        "Install Go (https://go.dev/doc/install), then start again.",
    )


def require_ports() -> None:
    """The cluster is not running, so whoever listens on its ports is somebody else."""
    listening: dict[int, int | None] = {}
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN:
            address = connection.laddr
            if address and address.ip in ("0.0.0.0", "::", "127.0.0.1", NODE_ADDRESS):  # noqa: S104
                listening[address.port] = connection.pid
    wanted = {**LOOPBACK_PORTS, "kube-apiserver": API_PORT, "kubelet": 10250, "the Seldon stand-in": 9443}
    for service, port in wanted.items():
        if port in listening:
            raise PlatformError(
                f"port {port} of {service}",
                f"is taken by {_named(listening[port])}",
                "Stop that program (another Kubernetes on this machine?), then start again.",
            )


def require_free_network() -> None:
    """No other interface may hold the addresses that the cluster uses."""
    for interface, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if address.family == socket.AF_INET and re.match(r"10\.11[123]\.", address.address):
                raise PlatformError(
                    f"network interface {interface}",
                    f"holds {address.address}, which the development cluster uses",
                    "Remove that address, then start again.",
                )


def _named(pid: int | None) -> str:
    if pid is None:
        return "a process that is not visible from here"
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.NoSuchProcess:
        return f"pid {pid}"
