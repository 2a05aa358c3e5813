"""Spark's options on a cluster, the executors' pods, and what is said when they do not come up."""

from typing import Any

import pytest

from tasks import spark, spark_cluster
from tasks.errors import PlatformError, SpecError
from tasks.settings import Settings

POD = {
    "POD_NAME": "retrain-x1", "POD_NAMESPACE": "training", "POD_IP": "10.0.0.7", "spark_image": "flow@sha256:1",
}  # fmt: skip


OF = "spark.kubernetes"


def found(**changes: Any) -> Settings:
    return Settings(**{**POD, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {
            "spark.master": "k8s://https://kubernetes.default.svc:443",
            "spark.driver.host": "10.0.0.7",
            "spark.driver.bindAddress": "10.0.0.7",
            "spark.kubernetes.namespace": "training",
            "spark.kubernetes.driver.pod.name": "retrain-x1",
            "spark.kubernetes.container.image": "flow@sha256:1",
            "spark.kubernetes.authenticate.executor.serviceAccountName": "spark-executor",
            "spark.kubernetes.executor.podTemplateFile": "/tmp/executor.json",
            "spark.kubernetes.executor.secretKeyRef.AWS_SECRET_ACCESS_KEY": "slipway-s3:AWS_SECRET_ACCESS_KEY",
            "spark.executor.instances": "2",
        }),
        ({"spark_executor_cpu": "300m"}, {"spark.executor.cores": "1", f"{OF}.executor.request.cores": "300m"}),
        ({"spark_executor_cpu": "4", "spark_executors": 5}, {
            "spark.executor.cores": "4", "spark.executor.instances": "5", "spark.sql.shuffle.partitions": "60",
        }),
    ],
)  # fmt: skip
def test_options_of_a_driver_in_a_pod(changes: dict[str, Any], expected: dict[str, str]) -> None:
    options = spark_cluster.options(found(**changes), "/tmp/executor.json")
    assert expected.items() <= options.items()


def test_executors_of_a_notebook_are_elsewhere_and_carry_its_name() -> None:
    options = spark_cluster.options(found(spark_namespace="executors"), "/tmp/executor.json")
    assert options[f"{OF}.namespace"] == "executors"
    assert options[f"{OF}.executor.label.slipway.io/driver"] == "retrain-x1"
    assert f"{OF}.driver.pod.name" not in options, "a pod of another namespace cannot own them"
    assert spark_cluster.executor_pod({})["spec"]["tolerations"] == []


@pytest.mark.parametrize(
    ("whole", "heap", "rest"),
    [("1Gi", 512, 512), ("1025Mi", 512, 513), ("3G", 1430, 1431), ("2147483648", 1024, 1024)],
)
def test_an_executors_memory_is_half_for_java(whole: str, heap: int, rest: int) -> None:
    options = spark_cluster.options(found(spark_executor_memory=whole), "/tmp/executor.json")
    assert options["spark.executor.memory"] == f"{heap}m"
    assert options["spark.executor.memoryOverhead"] == f"{rest}m"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://s3.slipway.svc:8333", ("http://s3.slipway.svc:8333", "true", "false")),
        ("https://minio.example:9000", ("https://minio.example:9000", "true", "true")),
        (None, (None, None, None)),
    ],
)
def test_options_of_the_store(endpoint: str | None, expected: tuple[str | None, ...]) -> None:
    options = spark_cluster.s3a(found(s3_endpoint=endpoint, AWS_DEFAULT_REGION="eu-west-1"))
    names = ("endpoint", "path.style.access", "connection.ssl.enabled")
    assert tuple(options.get(f"spark.hadoop.fs.s3a.{name}") for name in names) == expected
    assert options["spark.hadoop.fs.s3a.endpoint.region"] == "eu-west-1"


def test_keys_are_in_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "who-I-am")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "how-I-know")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    options = spark.options(found(platform="cluster"), "/tmp/scratch")
    assert options["spark.master"].startswith("k8s://")
    assert not [value for value in options.values() if "who-I-am" in value or "how-I-know" in value]


def test_the_embedded_platform_needs_nothing_of_a_cluster() -> None:
    options = spark.options(Settings(platform="embedded"), "/tmp/scratch")
    assert (options["spark.master"], options["spark.driver.host"]) == ("local[*]", "127.0.0.1")
    assert not [name for name in options if name.startswith("spark.kubernetes")]


@pytest.mark.parametrize("name", ["POD_NAME", "POD_NAMESPACE", "POD_IP", "spark_image"])
def test_a_pod_that_does_not_know_itself_is_refused(name: str) -> None:
    variable = "SLIPWAY_SPARK_IMAGE" if name == "spark_image" else name
    with pytest.raises(PlatformError, match=rf"environment has no {variable}\. .*work pool `spark`"):
        spark_cluster.options(found(**{name: ""}), "/tmp/executor.json")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spark_executor_memory": "512Mi"}, "have 512Mi of memory each. Give them 1Gi or more"),
        ({"spark_executor_memory": "two"}, "memory of Spark's executors: is 'two'"),
        ({"spark_executor_cpu": "0"}, "cpu of Spark's executors: is '0'"),
        ({"spark_executor_cpu": "1core"}, "cpu of Spark's executors: is '1core'"),
    ],
)
def test_compute_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        spark_cluster.options(found(**changes), "/tmp/executor.json")


def test_executors_run_where_their_driver_may_and_with_no_rights() -> None:
    gpu = {"key": "pool", "operator": "Equal", "value": "batch", "effect": "NoSchedule"}
    everybody = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    driver = {
        "spec": {
            "nodeSelector": {"disk": "fast"},
            "tolerations": [gpu, everybody],
            "priorityClassName": "low",
        }
    }
    spec = spark_cluster.executor_pod(driver)["spec"]
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"disk": "fast"}, [gpu])
    assert spec["priorityClassName"] == "low"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert spark_cluster.executor_pod({"spec": {}})["spec"]["tolerations"] == []


NO_ROOM = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "1 Insufficient cpu.",
}
STARTING = {"state": {"waiting": {"reason": "ContainerCreating"}}}
NO_IMAGE = {"state": {"waiting": {"reason": "ErrImagePull", "message": "connection refused"}}}
KILLED = {"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"conditions": [NO_ROOM]}, "exec-1 Unschedulable: 1 Insufficient cpu."),
        ({"containerStatuses": [NO_IMAGE]}, "exec-1 ErrImagePull connection refused"),
        ({"containerStatuses": [KILLED]}, "exec-1 OOMKilled"),
        ({"reason": "Evicted", "message": "low on memory"}, "exec-1 Evicted: low on memory"),
        ({"containerStatuses": [STARTING]}, ""),
        ({}, ""),
    ],
)
def test_why_executors_do_not_come_up(status: dict[str, Any], words: str) -> None:
    assert spark_cluster.trouble([{"metadata": {"name": "exec-1"}, "status": status}]) == words
