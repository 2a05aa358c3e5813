"""Where the development cluster keeps things, and the addresses it uses. One cluster a machine."""

import os
from pathlib import Path

NAME = "slipway-dev"
"""Of the cluster, its user and its context in the kubeconfig."""
NODE = "slipway"

RUN = Path("/run/slipway-devcluster")
"""Sockets and what must not outlive a boot. Short, because a socket's path may have 107 characters."""
DATA = Path("/var/lib/slipway-devcluster")
"""The cluster itself: etcd, volumes, logs, keys. Gone after `down`, but for the images in `CONTAINERD`."""

STATE = DATA / "state.json"
LOGS = DATA / "logs"
KEYS = DATA / "keys"
CONFIG = DATA / "config"
ETCD = DATA / "etcd"
KUBELET = DATA / "kubelet"
POD_LOGS = DATA / "pods"
VOLUMES = DATA / "volumes"
CNI = DATA / "cni"
CONTAINERD = DATA / "containerd"
"""Kept by `down`: unpacked images, so that the next start has them at once."""

CONTAINERD_SOCKET = RUN / "containerd.sock"
CONTAINERD_STATE = RUN / "containerd"
LOCK = Path("/run/slipway-devcluster.lock")

NODE_ADDRESS = "10.111.0.1"
POD_RANGE = "10.112.0.0/24"
POD_GATEWAY = "10.112.0.1"
SERVICE_RANGE = "10.113.0.0/16"
API_SERVICE = "10.113.0.1"
DNS_SERVICE = "10.113.0.10"

NODE_BRIDGE = "slipway-node"
POD_BRIDGE = "slipway-pods"
CGROUP = "slipway-devcluster"
IPTABLES_CHAIN = "SLIPWAY-DEVCLUSTER"

API_PORT = 6443
API_SERVER = f"https://{NODE_ADDRESS}:{API_PORT}"
ETCD_PORT = 12379
LOOPBACK_PORTS = {"etcd": ETCD_PORT, "kube-controller-manager": 10257, "kube-scheduler": 10259}
PROVISIONER = "devcluster.slipway/folder"

PACKAGE = Path(__file__).parent
CHECKOUT = PACKAGE.parent.parent
CLUSTER_OBJECTS = PACKAGE / "objects"


def cache() -> Path:
    """Where builds are kept between clusters, in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway" / "devcluster"


def admin_kubeconfig() -> Path:
    """For programs on this machine that belong to the cluster; people get theirs merged into their own file."""
    return CONFIG / "admin.kubeconfig"
