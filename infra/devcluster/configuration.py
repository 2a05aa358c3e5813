"""The files that the cluster's programs read."""

import json
from pathlib import Path
from typing import Any

import yaml

from infra.devcluster.layout import (
    CGROUP,
    CNI,
    CONFIG,
    CONTAINERD,
    CONTAINERD_SOCKET,
    CONTAINERD_STATE,
    DATA,
    DNS_SERVICE,
    KEYS,
    KUBELET,
    NODE,
    NODE_ADDRESS,
    POD_BRIDGE,
    POD_LOGS,
    POD_RANGE,
    RUN,
)

PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
NETWORK_NAME = "slipway"
_NOBODY_LISTENS = "http://127.0.0.1:9"

_CONTAINERD = f"""\
version = 2
root = "{CONTAINERD}"
state = "{CONTAINERD_STATE}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = "{CONTAINERD_SOCKET}"

[debug]
level = "warn"

[plugins."io.containerd.internal.v1.opt"]
path = "{DATA}/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# A machine without CAP_SYS_RESOURCE cannot lower a score, and every sandbox would fail.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{CONFIG}/cni"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{CONFIG}/registries"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = "{RUN}/runc"
"""

_REGISTRIES = f"""\
# There is no registry: an image that was not loaded fails at once, and no question leaves the machine.
server = "{_NOBODY_LISTENS}"

[host."{_NOBODY_LISTENS}"]
capabilities = ["pull", "resolve"]
"""

_NETWORK: dict[str, Any] = {
    "cniVersion": "0.4.0",
    "name": NETWORK_NAME,
    "plugins": [
        {
            "type": "bridge",
            "bridge": POD_BRIDGE,
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": f"{CNI}/networks",
                "ranges": [[{"subnet": POD_RANGE}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

_KUBELET: dict[str, Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "address": NODE_ADDRESS,
    "healthzPort": 0,
    "readOnlyPort": 0,
    "authentication": {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": f"{KEYS}/ca.crt"},
    },
    "authorization": {"mode": "Webhook"},
    "cgroupDriver": "cgroupfs",
    "cgroupRoot": f"/{CGROUP}",
    "clusterDNS": [DNS_SERVICE],
    "clusterDomain": "cluster.local",
    "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
    # The disk is the user's own, and no registry gives back an image that was removed to make room.
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
    # Images cannot be pulled again, so none is collected.
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
    "failCgroupV1": False,
    "failSwapOn": False,
    "oomScoreAdj": 0,
    "podLogsDir": str(POD_LOGS),
    "resolvConf": f"{CONFIG}/resolv.conf",
    "tlsCertFile": f"{KEYS}/kubelet-server.crt",
    "tlsPrivateKeyFile": f"{KEYS}/kubelet-server.key",
    "volumePluginDir": f"{KUBELET}/volume-plugins",
}

_KUBE_PROXY: dict[str, Any] = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "bindAddress": NODE_ADDRESS,
    "healthzBindAddress": f"{NODE_ADDRESS}:10256",
    "metricsBindAddress": "127.0.0.1:10249",
    "clientConnection": {"kubeconfig": f"{CONFIG}/proxy.kubeconfig"},
    "clusterCIDR": POD_RANGE,
    "hostnameOverride": NODE,
    "mode": "iptables",
    "iptables": {"localhostNodePorts": False},
    # The machine's own connections are none of the cluster's business.
    "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
}


def write_all() -> None:
    files = {
        "containerd.toml": _CONTAINERD,
        "registries/_default/hosts.toml": _REGISTRIES,
        "cni/10-slipway.conflist": json.dumps(_NETWORK, indent=2),
        "kubelet.yaml": yaml.safe_dump(_KUBELET),
        "kube-proxy.yaml": yaml.safe_dump(_KUBE_PROXY),
        "resolv.conf": "# Pods ask the cluster's DNS, which asks nobody.\n",
    }
    for name, content in files.items():
        _write(CONFIG / name, content)


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
