"""Who may do what in the object store: one identity for each kind of pod, and the prefixes that it may write.

Pure. The actions are SeaweedFS's; infra/charts/README.md says the same as policies for an S3 of your own.
"""

import hashlib
import json

MODELS = "mlflow"
"""What MLflow's server keeps for its clients; nobody else writes there."""
DATASETS, PREPARED, CONVERTED, COMPLETED = "datasets", "prepared", "converted", "completed"
RECORDS = "records"
"""Gate records: what a release believes."""
SCORES, SCRATCH = "scores", "scratch"

EVERYTHING = ""
"""As a prefix: the whole bucket."""

READS = {
    "mlflow": (MODELS,),
    "training": (EVERYTHING,),  # a source may lie anywhere in the bucket
    "release": (EVERYTHING,),
    "serving": (MODELS,),
    "notebook": (DATASETS, SCORES, SCRATCH),
}
WRITES = {
    "mlflow": (MODELS,),
    "training": (DATASETS, PREPARED, CONVERTED, COMPLETED, RECORDS, SCORES, SCRATCH),
    "release": (PREPARED, CONVERTED, COMPLETED, RECORDS),  # housekeeping removes what is old there
    "serving": (),
    "notebook": (SCRATCH,),
}


def rights(bucket: str) -> dict[str, tuple[str, ...]]:
    """The actions of each identity, as SeaweedFS's `s3.config` writes them."""
    return {
        "admin": ("Admin", "Read", "Write", "List", "Tagging"),
        **{user: (*_read(bucket, READS[user]), *_write(bucket, WRITES[user])) for user in READS},
    }


def fingerprint(bucket: str) -> str:
    """Changes when `rights` do: a store that runs reads its configuration only when it starts."""
    return hashlib.sha256(json.dumps(rights(bucket), sort_keys=True).encode()).hexdigest()[:16]


def _read(bucket: str, prefixes: tuple[str, ...]) -> list[str]:
    # What is listed is named by a prefix that need not end with a slash; names alone are no secret.
    return [
        right
        for prefix in prefixes
        for right in (
            f"Read:{_below(bucket, prefix)}",
            f"List:{bucket}/{prefix}*" if prefix else f"List:{bucket}",
        )
    ]


def _write(bucket: str, prefixes: tuple[str, ...]) -> list[str]:
    return [f"{action}:{_below(bucket, prefix)}" for prefix in prefixes for action in ("Write", "Tagging")]


def _below(bucket: str, prefix: str) -> str:
    return f"{bucket}/{prefix}/*" if prefix else bucket
