"""The webhook's certificate: signed by itself, for one address, kept as long as it fits."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=365)
SPARE = timedelta(days=30)


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    key: Path

    @property
    def pem(self) -> bytes:
        return self.certificate.read_bytes()


def ensured(folder: Path, address: str) -> Certificate:
    """The certificate in `folder`; a new one when there is none, or it is of another address or nearly over."""
    kept = Certificate(folder / "webhook.crt", folder / "webhook.key")
    if not (kept.certificate.exists() and kept.key.exists() and _fits(kept.pem, address)):
        folder.mkdir(parents=True, exist_ok=True)
        _write(kept, address)
    return kept


def _fits(pem: bytes, address: str) -> bool:
    found = x509.load_pem_x509_certificate(pem)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    return addresses == [address] and found.not_valid_after_utc - datetime.now(UTC) > SPARE


def _write(kept: Certificate, address: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "seldon-standin")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    kept.key.touch(mode=0o600)
    kept.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    kept.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
