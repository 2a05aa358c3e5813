"""The node's own network: an address that only this machine has, a bridge for pods, and rules that keep what
pods send on the machine. Taking it away removes what the cluster's programs added, too."""

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from infra.devcluster.layout import (
    IPTABLES_CHAIN,
    NODE_ADDRESS,
    NODE_BRIDGE,
    POD_BRIDGE,
    POD_GATEWAY,
    POD_RANGE,
    SERVICE_RANGE,
)
from infra.devcluster.preflight import find
from tasks.errors import PlatformError

SYSCTLS: dict[str, str | None] = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    # The kubelet sets these, and nobody else would set them back.
    "vm/overcommit_memory": None,
    "vm/panic_on_oom": None,
    "kernel/panic": None,
    "kernel/panic_on_oops": None,
    "kernel/keys/root_maxkeys": None,
    "kernel/keys/root_maxbytes": None,
}
"""Kernel settings that are set for the cluster, or only remembered, and set back at its end."""
ROUTES = "5111"
"""The routing table for what pods send."""
_SYSCTL_ROOT = Path("/proc/sys")
_TABLES = ("filter", "nat", "mangle", "raw")
_OURS = re.compile(rf"(?:KUBE-|CNI-|{IPTABLES_CHAIN})")
"""Chains of kube-proxy, the kubelet, kube-router, the CNI plugins, and ours."""


def set_up() -> dict[str, str]:
    """Make the interfaces, routes and rules; gives back the kernel settings that were there before."""
    _link(NODE_BRIDGE, f"{NODE_ADDRESS}/32", "02:51:1b:00:00:01")
    _link(POD_BRIDGE, f"{POD_GATEWAY}/{POD_RANGE.split('/')[1]}", "02:51:1b:00:00:02")
    # Until kube-proxy is up, a service's address would be looked for outside.
    run("ip", "route", "replace", SERVICE_RANGE, "dev", NODE_BRIDGE)
    before = {}
    for name, value in SYSCTLS.items():
        path = _SYSCTL_ROOT / name
        if value is None and not path.exists():
            continue
        if not path.exists():
            raise PlatformError(
                f"kernel setting {name.replace('/', '.')}",
                "does not exist",
                "Load its module: modprobe br_netfilter",
            )
        before[name] = path.read_text().strip()
        if value is not None:
            path.write_text(value)
    keep_inside()
    return before


def keep_inside() -> None:
    """What a pod sends outside finds no route, and nothing outside reaches a pod.

    kube-router accepts in `filter` before any rule of ours there, so these are elsewhere.
    """
    run("ip", "route", "replace", POD_RANGE, "dev", POD_BRIDGE, "table", ROUTES)
    run("ip", "route", "replace", "unreachable", "default", "table", ROUTES)
    run("ip", "rule", "add", "iif", POD_BRIDGE, "lookup", ROUTES, "priority", ROUTES)
    mangle = ("-t", "mangle")
    iptables(*mangle, "-N", IPTABLES_CHAIN)
    iptables(*mangle, "-A", IPTABLES_CHAIN, "-i", POD_BRIDGE, "!", "-o", POD_BRIDGE, "-j", "DROP")
    iptables(*mangle, "-A", IPTABLES_CHAIN, "!", "-i", POD_BRIDGE, "-o", POD_BRIDGE, "-j", "DROP")
    iptables(*mangle, "-A", "FORWARD", "-j", IPTABLES_CHAIN)
    # Where the machine forwards nothing by default, pods may still speak to each other.
    named = ("-m", "comment", "--comment", IPTABLES_CHAIN)
    iptables("-A", "FORWARD", "-i", POD_BRIDGE, "-o", POD_BRIDGE, *named, "-j", "ACCEPT")


def tear_down(sysctls: dict[str, str]) -> None:
    for name in _interfaces():
        run("ip", "link", "delete", name, check=False)  # one end of a pair takes the other with it
    while f"lookup {ROUTES}" in run("ip", "rule", "show", check=False):
        run("ip", "rule", "delete", "priority", ROUTES)
    run("ip", "route", "flush", "table", ROUTES, check=False)
    for table in _TABLES:
        _clean(table)
    _remove_sets()
    for name, value in sysctls.items():
        path = _SYSCTL_ROOT / name
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)


def without_ours(saved: Iterable[str]) -> tuple[list[str], bool]:
    """A dump of `iptables-save` without the cluster's chains and the rules that lead there, and whether there
    were any."""
    kept, found = [], False
    for line in saved:
        words = line.split()
        ours = bool(words) and (
            (words[0].startswith(":") and _OURS.match(words[0][1:]))
            or (words[0] == "-A" and any(_OURS.match(word.strip('"')) for word in words[1:]))
        )
        found = found or bool(ours)
        if not ours:
            kept.append(line)
    return kept, found


def iptables(*arguments: str) -> None:
    run("iptables", "-w", "10", *arguments)


def run(command: str, *arguments: str, check: bool = True, given: str | None = None) -> str:
    """Run one of the system's commands; its output, or an error that has what it said."""
    done = subprocess.run(
        [str(find(command) or command), *arguments], input=given, capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        raise PlatformError(
            f"`{command} {' '.join(arguments)}`",
            f"failed: {(done.stderr or done.stdout).strip()}",
            "Run `make cluster-down`, then start again.",
        )
    return done.stdout


def _link(name: str, address: str, hardware: str) -> None:
    # A fixed hardware address: a bridge would else change it with its first member, and pods lose the way.
    run("ip", "link", "add", name, "address", hardware, "type", "bridge")
    run("ip", "address", "add", address, "dev", name)
    run("ip", "link", "set", name, "up")


def _interfaces() -> list[str]:
    """The bridges that exist, after the interfaces of pods that are still on one."""
    links = json.loads(run("ip", "-json", "link", "show") or "[]")
    bridges = (NODE_BRIDGE, POD_BRIDGE)
    members = [str(link["ifname"]) for link in links if link.get("master") in bridges]
    return [*members, *(str(link["ifname"]) for link in links if link["ifname"] in bridges)]


def _clean(table: str) -> None:
    left, found = without_ours(run("iptables-save", "-t", table, check=False).splitlines())
    if found:
        run("iptables-restore", "-w", "10", given="\n".join(left) + "\n")


def _remove_sets() -> None:
    if not find("ipset"):
        return
    for name in run("ipset", "list", "-n", check=False).split():
        if re.match(r"(?:KUBE-|kube-router-|inet6:KUBE-)", name):
            run("ipset", "destroy", name, check=False)
