"""What Seldon Core's chart leaves to us: its custom resource, its webhook's certificate, its namespace's label."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from tasks.errors import PlatformError
from tasks.kubernetes import SELDON_DEPLOYMENT, Kind
from tasks.platform_lock import PlatformLock, parse_lock
from tasks.secrets import MADE_BY
from tasks.seldon_core import (
    CHART,
    GENERATION,
    LIFETIME,
    SPARE,
    Found,
    certificate,
    certificate_fault,
    check_definition,
    definition,
    differences,
    owner,
    provided,
    remove_definition,
    secret_manifest,
    trusting,
    trusts,
)
from tests.tasks.test_platform_lock import content

NOW = datetime(2026, 11, 25, tzinfo=UTC)
SPACE = "slipway-serving"
STAND_IN = {"slipway.io/stand-in": "yes"}
HELM = {"meta.helm.sh/release-name": "seldon", "meta.helm.sh/release-namespace": "seldon-system"}


def lock(**seldon: Any) -> PlatformLock:
    component = {"name": "seldon-core", "version": "1.17.1", "verify": "seldon-core", **seldon}
    return parse_lock(yaml.safe_dump(content(components=[component])), Path("platform.yaml"))


def crd(labels: Any = None, annotations: Any = None, generation: int = 1) -> dict[str, Any]:
    return {"metadata": {"labels": labels, "annotations": annotations, "generation": generation}}


OURS = crd(MADE_BY, {CHART: "1.17.1", GENERATION: "1"})


@pytest.mark.parametrize(
    ("there", "whose"),
    [
        (None, "nobody"),
        (crd(annotations=STAND_IN), "cluster"),
        (crd(annotations={**HELM, "slipway.io/provided": "by the cluster"}), "cluster"),
        (OURS, "us"),
        (crd(annotations=HELM), "another"),
        (crd(), "another"),
    ],
)
def test_the_custom_resource_says_who_made_it(there: Any, whose: str) -> None:
    assert owner(there) == whose


def test_what_the_cluster_provides_is_verified_and_not_installed() -> None:
    assert lock().installs("seldon-core")
    assert not provided(lock()).installs("seldon-core")
    assert provided(lock()).component("seldon-core").verify == "seldon-core"


@pytest.mark.parametrize("there", [None, OURS, crd(annotations=STAND_IN)])
def test_bootstrap_may_install_where_nobody_else_did(there: Any) -> None:
    check_definition(lock(), there)


def test_another_installation_is_named_with_both_ways_out() -> None:
    with pytest.raises(
        PlatformError, match=r"the Helm release seldon in seldon-system. To use that one, say `i"
    ):
        check_definition(lock(), crd(annotations=HELM))
    check_definition(lock(installed=False), crd(annotations=HELM))
    with pytest.raises(PlatformError, match=r"is not there: Seldon Core is not installed"):
        check_definition(lock(installed=False), None)


def found(**changes: Any) -> Found:
    data = certificate(SPACE, NOW, {})
    whole = {
        "definition": OURS,
        "certificate": data,
        "labels": {"seldon.io/controller-id": SPACE},
        "webhook": trusting(SPACE, data),
    }
    return Found(**{**whole, **changes})


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, []),
        ({"definition": None}, ["definition"]),
        ({"definition": crd(MADE_BY, {CHART: "1.16.0", GENERATION: "1"})}, ["definition"]),
        ({"definition": crd(MADE_BY, {CHART: "1.17.1", GENERATION: "1"}, 2)}, ["definition"]),
        ({"labels": {}}, ["label"]),
        ({"certificate": {}}, ["certificate", "trust"]),
        ({"webhook": None}, ["trust"]),
        ({"webhook": {"webhooks": [{"clientConfig": {}}]}}, ["trust"]),
    ],
)
def test_what_differs_is_told_by_part(changes: dict[str, Any], parts: list[str]) -> None:
    assert [one.part for one in differences(found(**changes), lock(), NOW)] == parts


def test_a_difference_says_what_is_wrong_with_which_object() -> None:
    (one,) = differences(found(definition=crd(MADE_BY, {CHART: "1.17.1"})), lock(), NOW)
    assert str(one) == (
        "CustomResourceDefinition seldondeployments.machinelearning.seldon.io was changed by hand"
    )


@pytest.mark.parametrize(
    ("later", "fault"),
    [
        (timedelta(0), ""),
        (LIFETIME - SPARE - timedelta(days=1), ""),
        (LIFETIME - SPARE + timedelta(days=1), "expires on 2029-11-24"),
        (LIFETIME + timedelta(days=1), "expires on"),
    ],
)
def test_a_certificate_is_renewed_in_its_last_year(later: timedelta, fault: str) -> None:
    said = certificate_fault(certificate(SPACE, NOW, {}), SPACE, NOW + later)
    assert said.startswith(fault)
    assert bool(said) == bool(fault)


def test_what_is_no_certificate_for_the_operator_is_made_anew() -> None:
    data, other = certificate(SPACE, NOW, {}), certificate(SPACE, NOW, {})
    assert certificate_fault({}, SPACE, NOW) == "is not there"
    assert "for something else" in certificate_fault(data, "elsewhere", NOW)
    assert "for something else" in certificate_fault({**data, "tls.key": other["tls.key"]}, SPACE, NOW)
    for broken in ({"tls.crt": "x"}, {"ca.crt": other["ca.crt"]}, {"tls.key": ""}):
        assert "no certificate that can be used" in certificate_fault({**data, **broken}, SPACE, NOW)


def test_while_a_certificate_is_renewed_the_last_one_is_trusted_too() -> None:
    first = certificate(SPACE, NOW, {})
    second = certificate(SPACE, NOW, first)
    third = certificate(SPACE, NOW, second)
    authorities = x509.load_pem_x509_certificates(third["ca.crt"].encode())
    for data, authority in zip((third, second), authorities, strict=True):
        x509.load_pem_x509_certificate(data["tls.crt"].encode()).verify_directly_issued_by(authority)
    assert not certificate_fault(third, SPACE, NOW)


def test_the_webhook_is_told_the_authority_and_nothing_secret() -> None:
    data = certificate(SPACE, NOW, {})
    told = trusting(SPACE, data)
    assert trusts(told, data)
    assert not trusts(told, certificate(SPACE, NOW, {}))
    assert not trusts(None, data)
    bundle = base64.b64decode(told["webhooks"][0]["clientConfig"]["caBundle"]).decode()
    assert "PRIVATE" not in bundle
    assert base64.b64decode(secret_manifest(SPACE, data)["data"]["tls.key"]).decode() == data["tls.key"]


def test_the_custom_resource_belongs_to_no_release() -> None:
    rendered = {"kind": "CustomResourceDefinition", "metadata": {"annotations": HELM}, "spec": {"group": "x"}}
    made = definition(rendered, "1.17.1")
    assert made["metadata"]["annotations"] == {CHART: "1.17.1"}
    assert owner(made) == "us"
    assert made["spec"] == rendered["spec"]


class Kept:
    """A cluster with our custom resource, these models and these namespaces."""

    def __init__(self, models: list[Any], labels: list[Any]) -> None:
        self.models, self.labels, self.deleted = models, labels, False

    def get(self, kind: Kind, name: str) -> Any:
        return OURS

    def list(self, kind: Kind, namespace: str = "") -> list[Any]:
        return (
            self.models
            if kind == SELDON_DEPLOYMENT
            else [{"metadata": {"labels": each}} for each in self.labels]
        )

    def delete(self, kind: Kind, name: str) -> bool:
        self.deleted = True
        return True


@pytest.mark.parametrize(
    ("models", "labels", "goes"),
    [
        ([], [None, {}], True),
        ([{}], [], False),
        ([], [{"seldon.io/controller-id": "another-serving"}], False),
    ],
)
def test_the_custom_resource_goes_with_the_last_model_and_operator(
    models: list[Any], labels: list[Any], goes: bool
) -> None:
    cluster = Kept(models, labels)
    assert remove_definition(cluster) is goes  # type: ignore[arg-type]
    assert cluster.deleted is goes
