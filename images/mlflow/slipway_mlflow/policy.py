"""Pure: which requests an identity is refused before MLflow's own permissions are asked.

To MLflow, whoever may register a version may also move an alias (both are an update of the registered model), and
whoever logs in may register a model. Here `training` registers, `release` moves aliases and marks versions, and
everybody else only reads the registry. The administrator is not asked.
"""

import re
from collections.abc import Mapping
from typing import Any

TRAINING, RELEASE, NOTEBOOK = "training", "release", "notebook"
IDENTITIES = (TRAINING, RELEASE, NOTEBOOK)

GRANTS = {
    TRAINING: (("experiment", "*", "EDIT"), ("registered_model", "*", "EDIT")),
    RELEASE: (("experiment", "*", "MANAGE"), ("registered_model", "*", "MANAGE")),
    NOTEBOOK: (("experiment", "0", "EDIT"),),
}
"""Resource type, which, permission: what MLflow itself is told. Everything else may be read, and what an identity
makes is its own."""

REGISTRY = {
    TRAINING: (("POST", "registered-models/create"), ("POST", "model-versions/create")),
    RELEASE: (
        ("POST", "registered-models/alias"), ("DELETE", "registered-models/alias"),
        ("POST", "registered-models/set-tag"), ("DELETE", "registered-models/delete-tag"),
        ("POST", "model-versions/set-tag"), ("DELETE", "model-versions/delete-tag"),
    ),
}  # fmt: skip
"""What of the registry an identity may write."""
ASKED_BY_POST = ("registered-models/get-latest-versions", "ui-telemetry")
"""They only read."""
TRACKING = ("experiments", "runs", "metrics", "logged-models", "traces", "datasets", "artifacts")
"""First parts of the paths at which experiments are written: MLflow's permissions decide there."""
UPLOAD = "upload-artifact"
"""The UI's way to write a file of a run."""
ELSEWHERE = ("/graphql", "/v1/traces")
"""Other paths where MLflow's permissions decide: the UI's queries, and traces."""

_ROUTE = re.compile(r"/(?:ajax-)?api/\d+\.\d+/(?P<service>mlflow|mlflow-artifacts)/(?P<rest>.+)")


def refusal(user: str, method: str, path: str) -> str | None:
    """Why `user` may not ask this; None if MLflow's own permissions are to decide."""
    if method in ("GET", "HEAD", "OPTIONS") or path in ELSEWHERE:
        return None
    found = _ROUTE.fullmatch(path)
    rest = found["rest"] if found else ""
    if found and (found["service"] == "mlflow-artifacts" or _tracks(rest)):
        return None
    if (method, rest) in REGISTRY.get(user, ()):
        return None
    if rest.startswith(("registered-models/", "model-versions/")):
        return (
            f"{user} may not {method} {rest}: versions are registered by retrains, "
            "and aliases are moved by releases."
        )
    return f"{method} {path} is the administrator's."


def _tracks(rest: str) -> bool:
    return rest in ASKED_BY_POST or rest == UPLOAD or rest.partition("/")[0] in TRACKING


def is_creation(kind: str, method: str, path: str) -> bool:
    """Whether the request makes an `experiments` or `model-versions` entry."""
    found = _ROUTE.fullmatch(path)
    return method == "POST" and found is not None and found["rest"] == f"{kind}/create"


def names_a_place(body: Mapping[str, Any]) -> bool:
    """Whether a new experiment is to keep its artifacts at an address of its own.

    The server would write there with its own keys.
    """
    return bool(body.get("artifact_location") or body.get("artifactLocation"))


def logged_model(body: Mapping[str, Any]) -> str | None:
    """Id of the logged model that a new version is made from; None if it is made from anything else."""
    found = re.fullmatch(r"models:/(m-[0-9a-f]+)", str(body.get("source") or ""))
    return found[1] if found else None
