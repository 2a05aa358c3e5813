"""Dumps of the platform's databases, made and read back by Jobs in its namespace."""

import copy
from typing import Any

from tasks import dumps
from tasks.errors import PlatformError
from tasks.kubernetes import Cluster, Manifest
from tasks.platform_lock import PlatformLock
from tasks.secrets import KEY, KEY_SECRET, POSTGRES, S3_ADMIN
from tasks.verification import Check, job, remove, run_job

HOUR = 3600
DUMPING, RESTORING = "slipway-backup", "slipway-restore"
"""The Jobs."""


def names(lock: PlatformLock) -> tuple[str, ...]:
    """Pure: the databases that the platform has."""
    return ("mlflow", "prefect", *(["hub"] if lock.enabled("jupyterhub") else []))


def check_image(lock: PlatformLock) -> None:
    """Pure. PlatformError without PostgreSQL's programs: bootstrap needs none where the server is external."""
    if lock.images["postgres"].digest is None:
        raise PlatformError(
            "images.postgres",
            "has no digest, and its programs dump and restore the databases",
            "Set tag and digest in infra/platform.yaml, of your server's major version.",
        )


def dump(cluster: Cluster, lock: PlatformLock) -> None:
    """Every database, each as of one moment, into the store. Raises PlatformError with the Job's last words."""
    _run(cluster, dump_job(lock), "dump the databases")


def restore(cluster: Cluster, lock: PlatformLock, which: tuple[str, ...]) -> None:
    """From the store into the databases `which`: each becomes what the dump says, or stays as it was."""
    _run(cluster, restore_job(lock, which), "restore the databases")


def end_jobs(cluster: Cluster) -> None:
    """Take away what killed commands left at work: it writes where the next one does."""
    for name in (DUMPING, RESTORING):
        remove(cluster, name)


def _run(cluster: Cluster, manifest: Manifest, what: str) -> None:
    end_jobs(cluster)
    ended = run_job(cluster, manifest)
    if not ended.well:
        raise PlatformError(
            f"Job to {what}", f"failed: {ended.said}", "Correct this, and run the same command again."
        )


def dump_job(lock: PlatformLock) -> Manifest:
    """Pure."""
    return _job(lock, DUMPING, names(lock), python("services"), sql(lock, dumps.DUMP), python("keep"))


def restore_job(lock: PlatformLock, which: tuple[str, ...]) -> Manifest:
    """Pure."""
    return _job(lock, RESTORING, which, python("services"), python("fetch"), sql(lock, dumps.RESTORE))


def python(what: str) -> dict[str, Any]:
    return {"name": what, "command": ["python", "-m", "tasks.dumps", what]}


def sql(lock: PlatformLock, script: str) -> dict[str, Any]:
    """PostgreSQL's programs, of the same version as the server."""
    return {"name": "postgres", "image": lock.image("postgres"), "command": ["sh", "-c", script]}


def _job(lock: PlatformLock, name: str, which: tuple[str, ...], *steps: dict[str, Any]) -> Manifest:
    """Steps one after the other, in the pod of a check, with a folder that they share."""
    values = {
        "SLIPWAY_S3_ENDPOINT": lock.store.endpoint,
        "AWS_DEFAULT_REGION": lock.store.region,
        "BUCKET": lock.store.bucket,
        "DATABASES": " ".join(which),
        "PGSERVICEFILE": str(dumps.FOLDER / dumps.SERVICES),
    }
    held = {f"{each.upper()}_URI": (POSTGRES, f"{each}-uri") for each in which}
    held |= {KEY: (S3_ADMIN, KEY), KEY_SECRET: (S3_ADMIN, KEY_SECRET)}
    made = job(name, Check(name, values, held), lock.image("flow"), lock.namespaces.platform)
    made["metadata"]["name"] = name
    made["spec"] |= {"backoffLimit": 0, "activeDeadlineSeconds": HOUR}
    spec = made["spec"]["template"]["spec"]
    spec["securityContext"]["fsGroup"] = 1000
    spec["volumes"].append({"name": "data", "emptyDir": {}})
    (base,) = spec["containers"]
    base["volumeMounts"].append({"name": "data", "mountPath": str(dumps.FOLDER)})
    *first, last = [{**copy.deepcopy(base), **step} for step in steps]
    spec |= {"initContainers": first, "containers": [last]}
    return made
