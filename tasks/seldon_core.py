"""Seldon Core, installed by its chart: what the chart leaves to us.

- The custom resource. It would be one of the chart's templates, and uninstalling the chart would take every
  model away: here it is applied beside the chart, and stays.
- The webhook's certificate. The chart would make another at each render, valid for a year, and put its key into
  the release: here it is made once, kept in a Secret, renewed in good time, and the API server told to trust it.
- The label by which other operators of the cluster leave the serving namespace to ours.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from tasks import conflicts, helm
from tasks.errors import PlatformError
from tasks.kubernetes import (
    CRD,
    NAMESPACE,
    SECRET,
    SELDON_DEPLOYMENT,
    VALIDATING_WEBHOOK,
    Cluster,
    Manifest,
    client,
)
from tasks.platform_lock import PlatformLock
from tasks.secrets import MADE_BY, is_ours

COMPONENT = "seldon-core"
DEFINITION = "seldondeployments.machinelearning.seldon.io"
PROVIDED = ("slipway.io/stand-in", "slipway.io/provided")
"""Annotations of a custom resource that the cluster brings: the development cluster's stand-in, or a real one."""
CHART, GENERATION = "slipway.io/chart", "slipway.io/generation"
"""Annotations of the definition: what it was made from, and its generation when it was."""
CONTROLLER = "seldon.io/controller-id"
CERTIFICATE, SERVICE, WEBHOOK = (
    "seldon-webhook-server-cert",
    "seldon-webhook-service",
    "v1.vseldondeployment.kb.io",
)
"""As the chart calls them."""
LIFETIME, SPARE = timedelta(days=3 * 365), timedelta(days=365)
"""A certificate is renewed by any bootstrap of its last year."""
PEM_END = "-----END CERTIFICATE-----\n"

Owner = Literal["nobody", "us", "cluster", "another"]
Data = Mapping[str, str]


@dataclass(frozen=True)
class Found:
    """What of it is there now."""

    definition: Manifest | None
    certificate: Data
    labels: Data
    webhook: Manifest | None


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it should be."""

    part: Literal["definition", "label", "certificate", "trust"]
    what: str
    fault: str

    def __str__(self) -> str:
        return f"{self.what} {self.fault}"


def owner(definition: Manifest | None) -> Owner:
    """Pure: who made the custom resource that is there."""
    if definition is None:
        return "nobody"
    if set(PROVIDED) & set(definition["metadata"].get("annotations") or {}):
        return "cluster"
    return "us" if is_ours(definition) else "another"


def as_found(lock: PlatformLock) -> PlatformLock:
    """The lock; without an operator to install if the cluster says that it provides one."""
    if not lock.installs(COMPONENT):
        return lock
    definition = client(lock.namespaces.platform).get(CRD, DEFINITION)
    return provided(lock) if owner(definition) == "cluster" else lock


def provided(lock: PlatformLock) -> PlatformLock:
    """Pure: the lock with the cluster's own operator."""
    components = (
        one.model_copy(update={"installed": one.installed and one.name != COMPONENT})
        for one in lock.components
    )
    return lock.model_copy(update={"components": tuple(components)})


def check_definition(lock: PlatformLock, definition: Manifest | None) -> None:
    """Pure: raise PlatformError if models cannot be served, or another's uninstalling would take them away."""
    version = lock.component(COMPONENT).version
    if not lock.installs(COMPONENT):
        if definition is None:
            raise PlatformError(
                f"CustomResourceDefinition {DEFINITION}",
                "is not there: Seldon Core is not installed",
                f"Install Seldon Core {version}, or leave `installed: false` out of {COMPONENT} in "
                "infra/platform.yaml; then run `slipway bootstrap` again.",
            )
        return
    if owner(definition) == "another":
        said = (definition or {})["metadata"].get("annotations") or {}
        release, space = (said.get(f"meta.helm.sh/release-{part}") for part in ("name", "namespace"))
        raise PlatformError(
            "Seldon Core",
            "is on this cluster already, installed by "
            + (f"the Helm release {release} in {space}" if release else "somebody else"),
            f"To use that one, say `installed: false` for {COMPONENT} in infra/platform.yaml; or remove it, and "
            f"with it CustomResourceDefinition {DEFINITION}: whoever uninstalls it would take the models away.",
        )


def look(cluster: Cluster, lock: PlatformLock) -> Found:
    space = lock.namespaces.serving
    namespace = cluster.get(NAMESPACE, space) or {"metadata": {}}
    secret = cluster.get(SECRET, CERTIFICATE, space) or {}
    return Found(
        cluster.get(CRD, DEFINITION),
        {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()},
        namespace["metadata"].get("labels") or {},
        cluster.get(VALIDATING_WEBHOOK, webhook_name(space)),
    )


def differences(found: Found, lock: PlatformLock, now: datetime) -> tuple[Difference, ...]:
    """Pure: what is not as it should be."""
    space, version = lock.namespaces.serving, lock.component(COMPONENT).version
    labelled = found.labels.get(CONTROLLER) == space
    trusted = trusts(found.webhook, found.certificate)
    told = (
        Difference("definition", f"{CRD.name} {DEFINITION}", definition_fault(found.definition, version)),
        Difference("label", f"label {CONTROLLER} of namespace {space}", "" if labelled else "is not set"),
        Difference(
            "certificate",
            f"Secret {CERTIFICATE} in {space}",
            certificate_fault(found.certificate, space, now),
        ),
        Difference(
            "trust",
            f"caBundle of {VALIDATING_WEBHOOK.name} {webhook_name(space)}",
            "" if trusted else "is not what signed the operator's certificate",
        ),
    )
    return tuple(one for one in told if one.fault)


def prepare(cluster: Cluster, lock: PlatformLock, chart: helm.Chart) -> tuple[str, ...]:
    """Bring what the operator needs before it starts to what it must be; what was written, and why."""
    found, space = look(cluster, lock), lock.namespaces.serving
    wrong = differences(found, lock, datetime.now(UTC))
    for one in wrong:
        if one.part == "definition":
            apply_definition(cluster, chart, lock.component(COMPONENT).version)
        elif one.part == "label":
            cluster.merge(NAMESPACE, space, {"metadata": {"labels": {CONTROLLER: space}}})
        elif one.part == "certificate":
            renewed = certificate(space, datetime.now(UTC), found.certificate)
            if found.webhook is not None:  # it trusts the new one before the operator shows it
                cluster.apply(trusting(space, renewed))
            cluster.apply(secret_manifest(space, renewed))
    return tuple(str(one) for one in wrong if one.part != "trust")


def finish(cluster: Cluster, lock: PlatformLock) -> bool:
    """Have the API server trust the certificate, now that the chart's webhook is there; False if it does."""
    found = look(cluster, lock)
    if trusts(found.webhook, found.certificate):
        return False
    cluster.apply(trusting(lock.namespaces.serving, found.certificate))
    return True


def apply_definition(cluster: Cluster, chart: helm.Chart, version: str) -> None:
    values = {**json.loads(chart.values), "crd": {"create": True}}
    rendered = helm.render(helm.Wanted(chart.name, Path(chart.path), chart.namespace, values))
    (manifest,) = [each for each in rendered.objects if each["kind"] == CRD.name]
    applied = cluster.apply(definition(manifest, version))
    generation = str(applied["metadata"]["generation"])
    cluster.merge(CRD, DEFINITION, {"metadata": {"annotations": {GENERATION: generation}}})


def definition(rendered: Manifest, version: str) -> Manifest:
    """Pure: the custom resource as we apply it, from how the chart renders it."""
    metadata = {"name": DEFINITION, "labels": MADE_BY, "annotations": {CHART: version}}
    return {**rendered, "metadata": metadata}


def definition_fault(there: Manifest | None, version: str) -> str:
    if there is None:
        return "is not there"
    said = there["metadata"].get("annotations") or {}
    if said.get(CHART) != version:
        return f"is of {said.get(CHART, 'another version')}"
    if said.get(GENERATION) != str(there["metadata"].get("generation")):
        return "was changed by hand"
    return ""


def remove_definition(cluster: Cluster) -> bool:
    """Delete the custom resource if it is ours, and neither a model of anybody nor another operator is left."""
    if owner(cluster.get(CRD, DEFINITION)) != "us" or cluster.list(SELDON_DEPLOYMENT, namespace="*"):
        return False
    if any(CONTROLLER in (each["metadata"].get("labels") or {}) for each in cluster.list(NAMESPACE)):
        return False
    return cluster.delete(CRD, DEFINITION)


def remove_webhook(cluster: Cluster, lock: PlatformLock) -> bool:
    """Delete our operator's webhook if its release has left it: without the operator nothing could be released."""
    space = lock.namespaces.serving
    there = cluster.get(VALIDATING_WEBHOOK, webhook_name(space))
    if there is None or conflicts.release_of(there) != (COMPONENT, space):
        return False
    return cluster.delete(VALIDATING_WEBHOOK, webhook_name(space))


def webhook_name(namespace: str) -> str:
    return f"seldon-validating-webhook-configuration-{namespace}"


def trusts(webhook: Manifest | None, data: Data) -> bool:
    """Pure: whether the API server takes the certificate for the operator's."""
    wanted = base64.b64encode(data.get("ca.crt", "").encode()).decode()
    given = [each["clientConfig"].get("caBundle") for each in (webhook or {}).get("webhooks") or ()]
    return bool(given) and all(each == wanted for each in given)


def trusting(namespace: str, data: Data) -> Manifest:
    """Pure: the one field of the chart's webhook that is ours."""
    bundle = base64.b64encode(data["ca.crt"].encode()).decode()
    return {
        "apiVersion": VALIDATING_WEBHOOK.api_version,
        "kind": VALIDATING_WEBHOOK.name,
        "metadata": {"name": webhook_name(namespace)},
        "webhooks": [{"name": WEBHOOK, "clientConfig": {"caBundle": bundle}}],
    }


def secret_manifest(namespace: str, data: Data) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": CERTIFICATE, "namespace": namespace, "labels": MADE_BY},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in sorted(data.items())},
    }


def hosts(namespace: str) -> list[str]:
    """By which the API server calls the operator."""
    return [f"{SERVICE}.{namespace}", f"{SERVICE}.{namespace}.svc"]


def certificate_fault(data: Data, namespace: str, now: datetime) -> str:
    """Pure: why the certificate that is there will not do; empty if it will."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not data:
        return "is not there"
    try:
        shown = x509.load_pem_x509_certificate(data["tls.crt"].encode())
        (authority, *_) = x509.load_pem_x509_certificates(data["ca.crt"].encode())
        shown.verify_directly_issued_by(authority)
        ours = load_pem_private_key(data["tls.key"].encode(), None).public_key() == shown.public_key()
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (KeyError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        return f"holds no certificate that can be used ({type(error).__name__})"
    if not ours or set(hosts(namespace)) - set(names.get_values_for_type(x509.DNSName)):
        return "holds a certificate for something else"
    ends = min(shown.not_valid_after_utc, authority.not_valid_after_utc)
    return f"expires on {ends:%Y-%m-%d}" if ends - now < SPARE else ""


def certificate(namespace: str, now: datetime, last: Data) -> dict[str, str]:
    """A new certificate, signed by an authority of its own whose key nobody keeps.

    Who trusts it goes on trusting the last one: the operator shows that until the kubelet has brought it the new.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def made(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named("slipway-seldon-webhook"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + LIFETIME)
        )

    signer, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = (
        made("slipway-seldon-webhook", signer)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(signer, hashes.SHA256())
    )
    shown = (
        made(SERVICE, key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in hosts(namespace)]), False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    before = last.get("ca.crt", "").partition(PEM_END)
    return {
        "ca.crt": authority.public_bytes(pem).decode() + before[0] + before[1],
        "tls.crt": shown.public_bytes(pem).decode(),
        "tls.key": key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    }
