"""Starting, stopping and looking at the cluster as a whole."""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from infra.devcluster import (
    cgroups,
    configuration,
    keys,
    kubeconfig,
    layout,
    network,
    preflight,
    processes,
    programs,
    seldon,
    services,
    state,
)
from infra.devcluster.images import standins, store
from infra.devcluster.programs import Say, program
from infra.devcluster.state import State
from tasks.errors import PlatformError

_LINKED = (("kubernetes", "kubectl"), ("helm", "helm"))
_FOREIGN = tuple(
    Path(path)
    for path in (
        "/opt/containerd", "/run/containerd", "/run/containerd/s", "/var/lib/cni", "/var/lib/cni/results",
        "/var/lib/kubelet", "/var/lib/kubelet/device-plugins", "/var/log/containers",
    )
)  # fmt: skip
"""Folders that Kubernetes and containerd make wherever one tells them to keep their things."""
PATIENCE = 240.0
"""Seconds for one part to come up. An idle machine needs a few; one that builds at the same time, many."""
_NODE_BUILDS = ("etcd", "kubernetes", "node", "coredns", "kube-router", "helm")


def up(say: Say) -> None:
    """Start the cluster, unless it runs; what is left of an earlier one is taken away first."""
    preflight.require_root()
    with state.locked():
        found = state.read()
        if found is not None and healthy(found):
            _link_programs()
            say(f"The development cluster already runs, for {_age(found)}: context {layout.NAME}")
            return
        chart = seldon.chart()
        preflight.require_packages()
        if _anything_left(found):
            say("Taking away what is left of an earlier development cluster")
            _take_away(found)
        preflight.require_ports()
        preflight.require_free_network()
        if any(not programs.BUILDS[name].output().is_dir() for name in programs.BUILDS):
            preflight.require_go()
        programs.ensure(_NODE_BUILDS, say)
        standins.ensure_archives(standins.OF_THE_NODE, say)
        begun = time.monotonic()
        _start()
        say(f"The node is ready after {time.monotonic() - begun:.0f} s")
        _link_programs()
        load_stand_ins(say)
        if chart is not None:
            seldon.install(chart, say)
        say(f"The development cluster runs: kubectl --context {layout.NAME} get pods -A")


def down(say: Say) -> None:
    """Take the cluster away, whatever state it is in. Builds and unpacked images stay for the next start."""
    preflight.require_root()
    with state.locked():
        found = state.read()
        if not _anything_left(found):
            say("No development cluster runs.")
            return
        _take_away(found)
        say("The development cluster is gone; what was built for it stays in the cache.")


def status(say: Say) -> bool:
    """Whether it runs, and what of it does not."""
    found = state.read()
    if found is None:
        say("No development cluster runs.")
        return False
    dead = found.dead()
    if dead or not found.ready:
        say(f"The development cluster is half dead: {', '.join(dead) or 'its start did not finish'}.")
        return False
    if not api_answers():
        say(f"The API server runs and does not answer at {layout.API_SERVER}.")
        return False
    say(f"The development cluster runs, for {_age(found)}: context {layout.NAME}, node {layout.NODE}")
    return True


def healthy(found: State) -> bool:
    return found.ready and not found.dead() and api_answers()


def api_answers() -> bool:
    kubectl = program("kubernetes", "kubectl")
    if not kubectl.exists() or not layout.admin_kubeconfig().exists():
        return False
    try:
        return _kubectl("get", "--raw", "/readyz", "--request-timeout=3s").strip() == "ok"
    except PlatformError:
        return False


def load_stand_ins(say: Say) -> None:
    """Make and load what pods of the platform start from."""
    standins.ensure_archives(standins.OF_THE_PLATFORM, say)
    for stand_in in standins.OF_THE_PLATFORM:
        store.load_stand_in(stand_in)
    store.give_to_buildah(standins.PYTHON)


def _start() -> None:
    new_folders = [str(folder) for folder in _FOREIGN if not folder.exists()]
    for folder in (layout.RUN, layout.DATA, layout.VOLUMES, layout.ETCD):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    # Each write of etcd waits for the disk; what it holds does not outlive the cluster anyway.
    network.run("mount", "-t", "tmpfs", "-o", "mode=0700,size=2g", "slipway-etcd", str(layout.ETCD))
    layout.VOLUMES.chmod(0o755)
    layout.DATA.chmod(0o711)
    running = State(new_folders=new_folders)
    state.write(running)
    authority = keys.write_all()
    configuration.write_all()
    cgroups.create()
    running.sysctls = network.set_up()
    state.write(running)

    _spawn(running, services.etcd(), services.containerd())
    processes.wait_until("containerd", _containerd_answers, PATIENCE, "containerd")
    for stand_in in standins.OF_THE_NODE:
        store.load_stand_in(stand_in)
    processes.wait_until("etcd", lambda: _connects("127.0.0.1", layout.ETCD_PORT), PATIENCE, "etcd")
    _spawn(running, services.api_server())
    processes.wait_until("kube-apiserver", _alive(running, api_answers), PATIENCE, "kube-apiserver")
    _spawn(running, *services.after_api_server())
    _kubectl("apply", "--server-side", "--force-conflicts", "-f", str(layout.CLUSTER_OBJECTS))
    if seldon.is_stood_in():
        _spawn(running, seldon.standin())
    processes.wait_until("the node", _alive(running, _node_ready), PATIENCE, "kubelet")
    _spawn(running, services.firewall())
    processes.wait_until("CoreDNS", _alive(running, _dns_ready), PATIENCE, "kubelet")
    if seldon.is_stood_in():
        ready = _alive(running, seldon.standin_ready)
        processes.wait_until("the Seldon stand-in", ready, PATIENCE, seldon.STANDIN)

    user = kubeconfig.user_file()
    ours = keys.kubeconfig(authority.pem, *authority.sign(*_admin()))
    running.previous_context = kubeconfig.add(ours, user)
    running.kubeconfig = str(user)
    running.ready = True
    state.write(running)


def _admin() -> tuple[str, str | None]:
    return keys.CLIENTS["admin"]


def _spawn(running: State, *wanted: services.Service) -> None:
    for service in wanted:
        running.processes[service.name] = processes.spawn(service)
        state.write(running)


def _alive(running: State, ready: Callable[[], bool]) -> Callable[[], bool]:
    """`ready`, but an error as soon as a service has ended."""

    def check() -> bool:
        if dead := running.dead():
            raise PlatformError(
                dead[0], f"ended; its last words:\n{processes.log_tail(dead[0])}", "Run `make cluster-down`."
            )
        return ready()

    return check


def _containerd_answers() -> bool:
    try:
        network.run("ctr", "--address", str(layout.CONTAINERD_SOCKET), "version")
    except PlatformError:
        return False
    return True


def _connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False


def _node_ready() -> bool:
    try:
        node = json.loads(_kubectl("get", "node", layout.NODE, "-o", "json"))
    except PlatformError:
        return False
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in node["status"].get("conditions", [])
    )


def _dns_ready() -> bool:
    said = _kubectl("-n", "kube-system", "get", "deployment", "coredns", "-o", "json")
    return bool(json.loads(said)["status"].get("availableReplicas"))


def _kubectl(*arguments: str) -> str:
    kubectl = str(program("kubernetes", "kubectl"))
    return network.run(kubectl, f"--kubeconfig={layout.admin_kubeconfig()}", *arguments)


def _link_programs() -> None:
    folder = layout.CHECKOUT / ".slipway" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for build, name in _LINKED:
        link, target = folder / name, program(build, name)
        if link.is_symlink() and link.readlink() == target:
            continue
        beside = folder / f".{name}.new"
        beside.unlink(missing_ok=True)
        beside.symlink_to(target)
        beside.replace(link)


def _anything_left(found: State | None) -> bool:
    return bool(
        found is not None
        or processes.found()
        or cgroups.leftovers()
        or _mounts()
        or any(name in psutil.net_if_addrs() for name in (layout.NODE_BRIDGE, layout.POD_BRIDGE))
    )


def _take_away(found: State | None) -> None:
    """In the order in which nothing makes again what is already gone."""
    processes.stop_controllers()
    cgroups.remove()
    images_are_clean = _forget_containers()
    processes.stop_all()
    for mounted in _mounts():
        network.run("umount", mounted, check=False)
    for mounted in _mounts():
        network.run("umount", "--lazy", mounted)
    network.tear_down(found.sysctls if found else {})
    if found and found.kubeconfig:
        kubeconfig.remove(Path(found.kubeconfig), found.previous_context)
    _remove_files(keep_images=images_are_clean)
    _remove_foreign(set(found.new_folders) if found else set())


def _forget_containers() -> bool:
    """Whether containerd holds images and nothing else, so that the next start can have them."""
    try:
        store.forget_containers()
    except PlatformError:  # it is dead or damaged: the archives are still there
        return False
    return True


def _mounts() -> list[str]:
    """What is mounted below our folders, the innermost first."""
    places = (f"{layout.DATA}/", f"{layout.RUN}/")
    lines = Path("/proc/self/mounts").read_text().splitlines()
    paths = [line.split()[1].encode().decode("unicode_escape") for line in lines]
    return [path for path in reversed(paths) if path.startswith(places)]


def _remove_files(*, keep_images: bool) -> None:
    kept = {layout.STATE, layout.CONTAINERD} if keep_images else {layout.STATE}
    if layout.DATA.exists():
        for path in set(layout.DATA.iterdir()) - kept:
            _remove(path)
        for kind in ("io.containerd.grpc.v1.cri", "io.containerd.runtime.v2.task"):
            _remove(layout.CONTAINERD / kind)
        _remove(layout.STATE)  # the last, because it says that there is something to take away
    if layout.RUN.exists():
        shutil.rmtree(layout.RUN)


def _remove_foreign(new: set[str]) -> None:
    """What lies where others keep such things, too: folders that were not there before, and files of ours."""
    for folder in _FOREIGN:
        if str(folder) in new:
            _remove(folder)
    links = Path("/var/log/containers").glob("*.log")
    results = Path("/var/lib/cni/results").glob(f"{configuration.NETWORK_NAME}-*")
    for path in (*(link for link in links if str(layout.POD_LOGS) in os.readlink(link)), *results):
        path.unlink()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _age(found: State) -> str:
    minutes = int(time.time() - found.started) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
