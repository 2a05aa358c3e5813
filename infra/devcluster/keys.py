"""One authority, and the certificates and kubeconfigs that it signs, new for every cluster."""

import base64
import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.devcluster.layout import API_SERVER, API_SERVICE, CONFIG, KEYS, NAME, NODE, NODE_ADDRESS

_VALID = dt.timedelta(days=365)

CLIENTS = {
    "admin": ("slipway-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "proxy": ("system:kube-proxy", None),
    "node-programs": ("slipway-node-programs", "system:masters"),
}
"""Name of the file: user, group."""


@dataclass(frozen=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(
        self, user: str, group: str | None = None, addresses: tuple[str, ...] = ()
    ) -> tuple[bytes, bytes]:
        """Certificate and key for a client; for a server too when `addresses` are given."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(user, group), self.certificate.subject, key).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False,
        )
        if addresses:
            names = x509.SubjectAlternativeName([_general_name(address) for address in addresses])
            builder = builder.add_extension(names, critical=False)
        signed = builder.sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM), _pem(key)


def new_authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject("slipway-devcluster", None)
    certificate = (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def write_all() -> Authority:
    """Every key of the cluster, below KEYS, and a kubeconfig for each client, below CONFIG."""
    authority = new_authority()
    write_secret(KEYS / "ca.crt", authority.pem)
    # Nobody stands before the API server, but its clients ask for the authority of who might.
    write_secret(KEYS / "front-proxy-ca.crt", new_authority().pem)
    service_accounts = ec.generate_private_key(ec.SECP256R1())
    write_secret(KEYS / "service-accounts.key", _pem(service_accounts))
    servers = {
        "apiserver": (NODE_ADDRESS, API_SERVICE, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default",
                      "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
        "kubelet-server": (NODE_ADDRESS, NODE),
    }  # fmt: skip
    for name, addresses in servers.items():
        certificate, key = authority.sign(name, addresses=addresses)
        write_secret(KEYS / f"{name}.crt", certificate)
        write_secret(KEYS / f"{name}.key", key)
    certificate, key = authority.sign("kube-apiserver-kubelet-client", "system:masters")
    write_secret(KEYS / "apiserver-kubelet.crt", certificate)
    write_secret(KEYS / "apiserver-kubelet.key", key)
    for name, (user, group) in CLIENTS.items():
        document = kubeconfig(authority.pem, *authority.sign(user, group))
        write_secret(CONFIG / f"{name}.kubeconfig", yaml.safe_dump(document).encode())
    return authority


def kubeconfig(authority: bytes, certificate: bytes, key: bytes) -> dict[str, Any]:
    def encoded(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    cluster = {"server": API_SERVER, "certificate-authority-data": encoded(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": cluster}],
        "users": [{"name": NAME, "user": user}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
        "current-context": NAME,
    }


def write_secret(path: Path, content: bytes) -> None:
    """`content` in a file that only its owner reads, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(beside, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
    beside.replace(path)


def _subject(user: str, group: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _VALID)
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
