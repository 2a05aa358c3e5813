"""Spark on a cluster: the flow's pod is the driver (client mode), executors are pods of the same image.

Pure: from settings, and the driver's own pod, to Spark's options and the executors' pod.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from tasks.errors import PlatformError, SpecError
from tasks.pods import USER, confined, unprivileged
from tasks.settings import Settings

Manifest = dict[str, Any]

API_SERVER = "k8s://https://kubernetes.default.svc:443"
ACCOUNT = "spark-executor"
SECRET = "slipway-s3"  # noqa: S105 (its name)
"""Secret of the training namespace with the store's keys."""
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
DRIVER = "slipway.io/driver"
"""Label of executors in another namespace than their driver: the name of its pod."""
SMALLEST = 1024
"""MiB of the smallest executor: a JVM needs 450 of heap, and a model's libraries in Python some 300."""
POSTFIX = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip


def options(found: Settings, template: str) -> dict[str, str]:
    """Spark's options for a driver in this pod; `template` is the file with `executor_pod`.

    Raises PlatformError if the pod's environment lacks what they need, SpecError for compute that cannot be.
    """
    _check(found)
    heap, rest = memory(found.spark_executor_memory)
    cores = max(1, int(cpu(found.spark_executor_cpu)))
    kubernetes = {
        **_whose(found),
        "container.image": found.spark_image,
        "container.image.pullPolicy": "IfNotPresent",
        "authenticate.executor.serviceAccountName": ACCOUNT,
        "executor.podTemplateFile": template,
        "executor.request.cores": found.spark_executor_cpu,
        "executor.disableConfigMap": "true",
        "executor.enableApiWatcher": "false",
        "executor.apiPollingInterval": "2s",
        **{f"executor.secretKeyRef.{key}": f"{SECRET}:{key}" for key in KEYS},
    }
    return {
        "spark.master": API_SERVER,
        "spark.driver.host": found.pod_ip,
        "spark.driver.bindAddress": found.pod_ip,  # 0.0.0.0 is what executors would dial
        "spark.driver.memory": "1g",
        "spark.executor.instances": str(found.spark_executors),
        "spark.executor.cores": str(cores),
        "spark.executor.memory": f"{heap}m",
        "spark.executor.memoryOverhead": f"{rest}m",
        "spark.sql.shuffle.partitions": str(max(8, 3 * cores * found.spark_executors)),
        "spark.authenticate": "true",
        **{f"spark.kubernetes.{key}": value for key, value in kubernetes.items()},
    }


def executors_namespace(found: Settings) -> str:
    return found.spark_namespace or found.pod_namespace


def _whose(found: Settings) -> dict[str, str]:
    """Where executors are, and how they are known to be this driver's."""
    namespace = executors_namespace(found)
    if namespace == found.pod_namespace:
        return {"namespace": namespace, "driver.pod.name": found.pod_name}  # it owns them: they go with it
    return {"namespace": namespace, f"executor.label.{DRIVER}": found.pod_name}


def s3a(found: Settings) -> dict[str, str]:
    """Options with which Spark reads and writes the store: the keys come from the environment, and stay there."""
    chosen = {
        "aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider"
        ),
        "endpoint.region": found.region,
        "attempts.maximum": "5",
        "input.stream.type": "classic",  # the other one remembers the size of objects that have changed
    }
    if found.s3_endpoint:
        chosen |= {
            "endpoint": found.s3_endpoint,
            "path.style.access": "true",
            "connection.ssl.enabled": str(urlsplit(found.s3_endpoint).scheme == "https").lower(),
        }
    marks = {"spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false"}
    return {f"spark.hadoop.fs.s3a.{key}": value for key, value in chosen.items()} | marks


def executor_pod(driver: Manifest) -> Manifest:
    """What Spark makes an executor's pod of: on nodes that `driver`, the flow's own pod, may run on; no rights.

    It gives way to what its driver gives way to. A notebook may not look at its own pod: `driver` is empty then,
    and executors run on any node.
    """
    spec = driver.get("spec", {})
    priority = {"priorityClassName": spec["priorityClassName"]} if "priorityClassName" in spec else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"slipway.io/role": ACCOUNT}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            **priority,
            "nodeSelector": spec.get("nodeSelector", {}),
            "tolerations": [each for each in spec.get("tolerations", []) if not _given_to_all(each)],
            "securityContext": unprivileged(fsGroup=USER),
            "containers": [
                {
                    "name": "executor",
                    "securityContext": confined(),
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 (of the pod)
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }  # fmt: skip


def trouble(pods: Iterable[Manifest]) -> str:
    """Why executors do not run, in the cluster's words; empty if nothing is known against them."""
    seen = []
    for pod in pods:
        status = pod.get("status", {})
        reasons = [
            f"{condition.get('reason')}: {condition.get('message')}"
            for condition in status.get("conditions", [])
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
        ]
        for container in status.get("containerStatuses", []):
            state = container.get("state", {})
            for kind in ("waiting", "terminated"):
                found = state.get(kind, {})
                if found and found.get("reason") not in ("ContainerCreating", "PodInitializing", "Completed"):
                    reasons.append(f"{found.get('reason')} {found.get('message', '')}".strip())
        if status.get("reason"):
            reasons.append(f"{status['reason']}: {status.get('message', '')}")
        seen += [f"{pod['metadata']['name']} {reason}" for reason in reasons]
    return "; ".join(seen)


def memory(quantity: str) -> tuple[int, int]:
    """MiB of Java's heap, and of the rest (Java's own, Python, Arrow), of an executor with `quantity` in all."""
    whole = int(_number("memory", quantity) / 2**20)
    if whole < SMALLEST:
        raise SpecError("Spark's executors", f"have {quantity} of memory each", "Give them 1Gi or more.")
    return whole // 2, whole - whole // 2


def cpu(quantity: str) -> float:
    """Processors: `300m` is 0.3."""
    milli = quantity.endswith("m")
    return _number("cpu", quantity.removesuffix("m")) / (1000 if milli else 1)


def _number(name: str, quantity: str) -> float:
    matched = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", quantity)
    if matched is None or matched[2] not in POSTFIX or float(matched[1]) == 0:
        raise SpecError(
            f"{name} of Spark's executors", f"is {quantity!r}", "Write it as Kubernetes does: 500m, 2, 2Gi."
        )
    return float(matched[1]) * POSTFIX[matched[2]]


def _given_to_all(toleration: Manifest) -> bool:
    """Whether Kubernetes gives it to every pod by itself."""
    return str(toleration.get("key", "")) in (
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    )


def _check(found: Settings) -> None:
    needed = {
        "POD_NAME": found.pod_name, "POD_NAMESPACE": found.pod_namespace, "POD_IP": found.pod_ip,
        "SLIPWAY_SPARK_IMAGE": found.spark_image,
    }  # fmt: skip
    if missing := [name for name, value in needed.items() if not value]:
        raise PlatformError(
            "engine spark",
            f"this pod's environment has no {', '.join(missing)}",
            "Run the flow by a deployment of the work pool `spark`, whose template gives them.",
        )
