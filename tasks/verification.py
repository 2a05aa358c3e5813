"""Seeing that a component works by using it: `tasks/checks/` in a Job of the cluster, where its address is.

Seldon Core is asked through the Kubernetes API itself: in a dry run its webhook must refuse a bad SeldonDeployment
and let a good one pass.
"""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from tasks.errors import PlatformError
from tasks.hub_secrets import HUB
from tasks.jobs import end_of
from tasks.kubernetes import JOB, POD, Cluster, Manifest, api_client, poll
from tasks.platform_lock import PlatformLock
from tasks.pods import confined, priority_class, runs, trouble, unprivileged
from tasks.secrets import (
    AUTH,
    MADE_BY,
    MLFLOW,
    MLFLOW_PASSWORD,
    MLFLOW_USER,
    POSTGRES,
    PREFECT,
    S3_ADMIN,
)

PATIENCE = 300.0
"""Seconds that a check may take, and a Job until a container starts: a node may have to fetch the image first."""
GONE = 60.0
"""Seconds that a Job's pod may take to go: one that is told to end has half of it."""
STUCK = {"type": "Stuck"}
"""Beside the conditions by which Kubernetes ends a Job: an image that cannot be pulled never does."""
OPERATOR_SECONDS = 60.0
"""Seconds that Seldon's operator may take until its webhook answers."""
FREE = ("seldon-core",)
"""Checks that write nothing: they are made each time."""
ROLE = {"slipway.io/role": "verification"}
"""The network policies know pods by it."""


@dataclass(frozen=True)
class Check:
    """A module of `tasks/checks/` with what its pod is told."""

    module: str
    values: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Variable -> Secret and key."""


def verify(cluster: Cluster, lock: PlatformLock, name: str, pools: tuple[str, ...] = ()) -> str:
    """What was done with the component that proves that it works. Raises PlatformError if it does not."""
    if name == "seldon-core":
        return verify_seldon(lock)
    return run_check(cluster, lock, name, checks(lock, pools)[name])


def checks(lock: PlatformLock, pools: tuple[str, ...] = ()) -> dict[str, Check]:
    """Pure: every check by the name that `verify` in the lock gives it."""
    store = {"SLIPWAY_S3_ENDPOINT": lock.store.endpoint, "AWS_DEFAULT_REGION": lock.store.region}
    keys = {key: (S3_ADMIN, key) for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    space = lock.namespaces.platform
    prefect = {"SLIPWAY_PREFECT_URL": f"http://prefect.{space}.svc:4200/api"}
    hub = {
        "HUB_URL": f"http://proxy-public.{lock.namespaces.notebooks}.svc",
        "TRIGGER_URL": f"http://trigger.{space}.svc:8000",
    }
    auth = {"PREFECT_API_AUTH_STRING": (PREFECT, AUTH)}
    uris = {"MLFLOW_URI": (POSTGRES, "mlflow-uri"), "PREFECT_URI": (POSTGRES, "prefect-uri")}
    return {
        "postgres": Check("postgres", {}, uris),
        "object-store": Check("object_store", {**store, "BUCKET": lock.store.bucket}, keys),
        "mlflow": Check(
            "mlflow",
            {"SLIPWAY_MLFLOW_URL": f"http://mlflow.{space}.svc:5000", MLFLOW_USER: "admin"},
            {MLFLOW_PASSWORD: (MLFLOW, "admin-password")},
        ),
        "prefect": Check("prefect", prefect, auth),
        "jupyterhub": Check("jupyterhub", hub, {"JUPYTERHUB_API_TOKEN": (HUB, "trigger-token")}),
        "workers": Check("workers", {**prefect, "POOLS": ",".join(pools)}, auth),
    }


def run_check(cluster: Cluster, lock: PlatformLock, name: str, check: Check) -> str:
    """Run the check's Job to its end and remove it; its last line. Raises PlatformError with its log."""
    ended = run_job(cluster, job(name, check, lock.image("flow"), cluster.namespace))
    if not ended.well:
        raise PlatformError(
            f"component {name}",
            f"is not well: {ended.said}",
            "Correct this, then run `slipway bootstrap` again.",
        )
    return ended.said or "its check ended well"


@dataclass(frozen=True)
class Ended:
    """How a Job ended, and the last line of its log, or why there is none."""

    well: bool
    said: str


def run_job(cluster: Cluster, manifest: Manifest) -> Ended:
    """Run a Job to its end and remove it: for as long as its own deadline allows, and as its containers start."""
    job_name = manifest["metadata"]["name"]
    remove(cluster, job_name)
    cluster.apply(manifest)
    at_work = time.monotonic()

    def look() -> Manifest | None:
        nonlocal at_work
        ended = end_of(cluster.get(JOB, job_name))
        if ended is None and any(map(runs, cluster.list(POD, {"job-name": job_name}))):
            at_work = time.monotonic()
        return STUCK if ended is None and time.monotonic() - at_work >= PATIENCE else ended

    try:
        ended = poll(look, manifest["spec"]["activeDeadlineSeconds"])
        pods = sorted(cluster.list(POD, {"job-name": job_name}), key=age)
        said = last_line(cluster, pods[-1]) if pods else ""
    finally:
        cluster.delete(JOB, job_name)
    if ended is not None and ended["type"] == "Complete":
        return Ended(True, said)
    if ended == STUCK:
        return Ended(
            False, f"no container ran for {PATIENCE:.0f} s ({trouble(pods) or 'its pod does not say why'})"
        )
    return Ended(False, said or trouble(pods) or "its pod did not come")


def last_line(cluster: Cluster, pod: Manifest) -> str:
    """Of the last of the pod's containers that wrote one."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    for container in (*spec["containers"], *reversed(spec.get("initContainers") or ())):
        log = cluster.logs(name, container["name"], lines=40).strip()
        if log:
            return log.splitlines()[-1]
    return ""


def age(pod: Manifest) -> str:
    return str(pod["metadata"]["creationTimestamp"])


def remove(cluster: Cluster, job_name: str) -> None:
    """Take away what a killed command left: a Job cannot be changed, and its pods may still be at work."""
    cluster.delete(JOB, job_name)

    def gone() -> bool | None:
        there = cluster.get(JOB, job_name) is not None or cluster.list(POD, {"job-name": job_name})
        return None if there else True

    if poll(gone, GONE) is None:
        raise PlatformError(
            f"Job {job_name} in {cluster.namespace}",
            f"or a pod of it is still there, {GONE:.0f} s after it was deleted",
            f"See `kubectl -n {cluster.namespace} get pods -l job-name={job_name}`, then run the command again.",
        )


def job(name: str, check: Check, image: str, namespace: str) -> Manifest:
    """Pure: the Job of one check, in the platform's `namespace`."""
    environment: list[dict[str, Any]] = [
        {"name": key, "value": value} for key, value in {**BASE, **check.values}.items()
    ]
    environment += [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for variable, (secret, key) in check.secrets.items()
    ]
    container = {
        "name": "check",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", f"tasks.checks.{check.module}"],
        "env": environment,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": confined(),
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - of the pod's own
    }
    spec = {
        "restartPolicy": "Never",
        "priorityClassName": priority_class(namespace, "platform"),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": unprivileged(),
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    labels = {**MADE_BY, **ROLE}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"verify-{name}", "namespace": namespace, "labels": labels},
        "spec": {
            "backoffLimit": 2,
            "activeDeadlineSeconds": int(PATIENCE),
            "ttlSecondsAfterFinished": 600,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


BASE = {
    "SLIPWAY_PLATFORM": "cluster",
    "SLIPWAY_HOME": "/tmp/slipway",  # noqa: S108
    "PREFECT_HOME": "/tmp/prefect",  # noqa: S108
    "HOME": "/tmp",  # noqa: S108
    "PYTHONDONTWRITEBYTECODE": "1",
}


def verify_seldon(lock: PlatformLock) -> str:
    """The webhook refuses a SeldonDeployment without a graph, and lets a right one pass."""
    about = f"Seldon Core {lock.component('seldon-core').version}"
    good, bad = seldon_deployment(lock, 100), seldon_deployment(lock, 40, 40)
    refused = answered(bad)
    if refused is None:
        raise PlatformError(
            about,
            "its webhook lets a SeldonDeployment pass whose traffic sums to 80",
            "See whether the ValidatingWebhookConfiguration of Seldon Core is there.",
        )
    if "traffic" not in refused.lower():
        raise PlatformError(about, f"its webhook does not work: {refused}", "See the operator's pods.")
    passed = dry_run(good)
    if passed is not None:
        raise PlatformError(about, f"refuses a right SeldonDeployment: {passed}", "See the operator's log.")
    return "its webhook refused a bad SeldonDeployment and let a good one pass"


def answered(manifest: Manifest) -> str | None:
    """What `dry_run` says, as soon as the webhook answers: an operator that just started does a little later."""
    until = time.monotonic() + OPERATOR_SECONDS
    while "failed calling webhook" in ((said := dry_run(manifest)) or "") and time.monotonic() < until:
        time.sleep(1)
    return said


def dry_run(manifest: Manifest) -> str | None:
    """What the API server says against `manifest`, without writing it; None if nothing."""
    from lightkube import ApiError
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.types import PatchType

    group, version = manifest["apiVersion"].split("/")
    kind = create_namespaced_resource(group, version, "SeldonDeployment", "seldondeployments")
    metadata = manifest["metadata"]
    try:
        api_client().patch(
            kind, metadata["name"], json.loads(json.dumps(manifest)), namespace=metadata["namespace"],
            patch_type=PatchType.APPLY, force=True, dry_run=True,
        )  # fmt: skip
    except ApiError as error:
        return str(error.status.message)
    return None


def seldon_deployment(lock: PlatformLock, *traffic: int) -> Manifest:
    """Pure: a SeldonDeployment as releases make it, with a predictor for each share of `traffic`."""
    name = "slipway-verification"
    container = {"name": name, "image": lock.image("model-server")}
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": name, "namespace": lock.namespaces.serving},
        "spec": {
            "protocol": "v2",
            "predictors": [
                {
                    "name": f"v{number}",
                    "replicas": 1,
                    "traffic": share,
                    "annotations": {"seldon.io/no-engine": "true"},
                    "componentSpecs": [{"spec": {"containers": [container]}}],
                    "graph": {
                        "name": name,
                        "implementation": "MLFLOW_SERVER",
                        "modelUri": f"s3://{lock.store.bucket}/mlflow/none",
                    },
                }
                for number, share in enumerate(traffic, 1)
            ],
        },
    }
