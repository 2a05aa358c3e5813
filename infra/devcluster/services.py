"""The processes of the node, with their command lines."""

from dataclasses import dataclass
from pathlib import Path

from infra.devcluster.layout import (
    API_PORT,
    CONFIG,
    ETCD,
    ETCD_PORT,
    KEYS,
    KUBELET,
    NODE,
    NODE_ADDRESS,
    PROVISIONER,
    SERVICE_RANGE,
    VOLUMES,
)
from infra.devcluster.programs import program

_ETCD_URL = f"http://127.0.0.1:{ETCD_PORT}"
_PEER_URL = f"http://127.0.0.1:{ETCD_PORT + 1}"


@dataclass(frozen=True)
class Service:
    name: str
    command: tuple[str, ...]
    folder: Path = Path("/")


def etcd() -> Service:
    return Service(
        "etcd",
        (
            str(program("etcd", "etcd")), "--name=slipway", f"--data-dir={ETCD}",
            "--logger=zap", "--log-level=warn",
            f"--listen-client-urls={_ETCD_URL}", f"--advertise-client-urls={_ETCD_URL}",
            f"--listen-peer-urls={_PEER_URL}", f"--initial-advertise-peer-urls={_PEER_URL}",
            f"--initial-cluster=slipway={_PEER_URL}",
        ),
    )  # fmt: skip


def containerd() -> Service:
    return Service("containerd", ("containerd", f"--config={CONFIG}/containerd.toml"))


def api_server() -> Service:
    return _kubernetes(
        "kube-apiserver",
        f"--etcd-servers={_ETCD_URL}",
        f"--bind-address={NODE_ADDRESS}",
        f"--advertise-address={NODE_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={KEYS}/apiserver.crt",
        f"--tls-private-key-file={KEYS}/apiserver.key",
        f"--client-ca-file={KEYS}/ca.crt",
        f"--kubelet-certificate-authority={KEYS}/ca.crt",
        f"--kubelet-client-certificate={KEYS}/apiserver-kubelet.crt",
        f"--kubelet-client-key={KEYS}/apiserver-kubelet.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={KEYS}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={KEYS}/service-accounts.key",
        f"--service-account-signing-key-file={KEYS}/service-accounts.key",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
    )


def after_api_server() -> list[Service]:
    """All that only need the API server, in no order."""
    return [
        _kubernetes(
            "kube-controller-manager",
            *_client("controller-manager"),
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--root-ca-file={KEYS}/ca.crt",
            f"--service-account-private-key-file={KEYS}/service-accounts.key",
            f"--flex-volume-plugin-dir={KUBELET}/volume-plugins",
        ),
        _kubernetes(
            "kube-scheduler", *_client("scheduler"), "--bind-address=127.0.0.1", "--leader-elect=false"
        ),
        _kubernetes(
            "kubelet",
            f"--config={CONFIG}/kubelet.yaml",
            f"--kubeconfig={CONFIG}/kubelet.kubeconfig",
            f"--root-dir={KUBELET}",
            f"--cert-dir={KUBELET}/pki",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
        ),
        _kubernetes("kube-proxy", f"--config={CONFIG}/kube-proxy.yaml"),
        Service(
            "provisioner",
            (
                str(program("node", "provisioner")), f"-kubeconfig={CONFIG}/node-programs.kubeconfig",
                f"-provisioner={PROVISIONER}", f"-root={VOLUMES}", f"-node={NODE}",
            ),
        ),
    ]  # fmt: skip


def firewall() -> Service:
    """Only once the node is known: it ends when it does not find it."""
    return Service(
        "kube-router",
        (
            str(program("kube-router", "kube-router")), "--run-firewall", "--run-router=false",
            "--run-service-proxy=false", f"--kubeconfig={CONFIG}/node-programs.kubeconfig",
            f"--hostname-override={NODE}", f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--health-port=0", "--metrics-port=0",
        ),
    )  # fmt: skip


def _client(name: str) -> list[str]:
    path = f"{CONFIG}/{name}.kubeconfig"
    return [f"--{kind}kubeconfig={path}" for kind in ("", "authentication-", "authorization-")]


def _kubernetes(name: str, *flags: str) -> Service:
    return Service(name, (str(program("kubernetes", name)), *flags))
