"""What the stand-in puts into the cluster before it works: its CRD, namespace and webhook registration.

Names are the real chart's, so that whoever verifies Seldon Core looks in the same places; labels and
annotations say that it is not there.
"""

from base64 import b64encode
from pathlib import Path
from time import monotonic, sleep

import yaml
from lightkube import ApiError, Client
from lightkube.generic_resource import create_global_resource

from .manifests import STANDIN, STANDIN_LABEL
from .names import Manifest
from .webhook import PATH

NAMESPACE = "seldon-system"
MANAGER = "seldon-standin"
CRD_PATIENCE = 30.0
OF_NO_OTHER = {"key": "seldon.io/controller-id", "operator": "DoesNotExist"}
"""Namespaces and SeldonDeployments with this label belong to another operator, say a real one beside this."""

CustomResourceDefinition = create_global_resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"
)
Webhooks = create_global_resource(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
)
Namespace = create_global_resource("", "v1", "Namespace", "namespaces")


def crd() -> Manifest:
    found: Manifest = yaml.safe_load((Path(__file__).parent / "crd.yaml").read_text())
    return _marked(found)


def namespace() -> Manifest:
    return _marked({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})


def webhooks(address: str, port: int, authority: bytes) -> Manifest:
    return _marked(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": f"seldon-validating-webhook-configuration-{NAMESPACE}"},
            "webhooks": [
                {
                    "name": "v1.vseldondeployment.kb.io",
                    "admissionReviewVersions": ["v1"],
                    "clientConfig": {
                        "url": f"https://{address}:{port}{PATH}",
                        "caBundle": b64encode(authority).decode(),
                    },
                    "failurePolicy": "Fail",
                    "namespaceSelector": {"matchExpressions": [dict(OF_NO_OTHER)]},
                    "objectSelector": {"matchExpressions": [dict(OF_NO_OTHER)]},
                    "sideEffects": "None",
                    "timeoutSeconds": 10,
                    "rules": [
                        {
                            "apiGroups": ["machinelearning.seldon.io"],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": ["seldondeployments"],
                        }
                    ],
                }
            ],
        }
    )


def _marked(manifest: Manifest) -> Manifest:
    manifest["metadata"] |= {"labels": dict(STANDIN_LABEL), "annotations": dict(STANDIN)}
    return manifest


def install(client: Client, address: str, port: int, authority: bytes) -> None:
    """Applies all three and waits until the API server serves SeldonDeployments."""
    for resource, manifest in (
        (Namespace, namespace()),
        (CustomResourceDefinition, crd()),
        (Webhooks, webhooks(address, port, authority)),
    ):
        client.apply(resource.from_dict(manifest), field_manager=MANAGER, force=True)
    until = monotonic() + CRD_PATIENCE
    while not _established(client):
        if monotonic() > until:
            raise TimeoutError(f"the CRD of SeldonDeployments was not established within {CRD_PATIENCE:g} s")
        sleep(0.2)


def _established(client: Client) -> bool:
    try:
        found = client.get(CustomResourceDefinition, "seldondeployments.machinelearning.seldon.io")
    except ApiError as error:
        if error.status.code == 404:
            return False
        raise
    conditions = dict(found).get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
