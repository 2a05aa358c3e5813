"""What Prefect's Kubernetes worker makes of the base job templates: the Job that it asks the cluster for."""

import asyncio
from typing import Any, cast
from uuid import uuid4

import pytest
import yaml

from tasks.pools import POOLS, template
from tasks.settings import ROOT

KNOWN = {
    "image:flow": "docker.io/slipway/flow@sha256:1",
    "image:flow-spark": "docker.io/slipway/flow-spark@sha256:2",
    "namespace:training": "slipway-training",
    "namespace:serving": "slipway-serving",
    "priority:training": "slipway-training",
    "priority:serving": "slipway-serving",
}
FILE = yaml.safe_load((ROOT / "prefect.yaml").read_text())
EXECUTORS: dict[str, set[str]] = {
    "pandas": set(),
    "spark": {"executors", "executor_cpu", "executor_memory"},
    "release": set(),
}
ONLY_ON_A_CLUSTER = {"node_selector", "tolerations", "active_deadline_seconds", "pending_timeout"}


class NotAsked:
    """A client of Prefect's API: these templates hold nothing that a server would have to resolve."""


def job(pool: str, monkeypatch: pytest.MonkeyPatch, **variables: Any) -> dict[str, Any]:
    """The manifest that a worker with a password creates for a run with these job variables."""
    from prefect.client.schemas.objects import FlowRun
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings
    from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

    async def made() -> dict[str, Any]:
        configuration = await KubernetesWorkerJobConfiguration.from_template_and_values(
            template(pool, "kubernetes", KNOWN), variables, client=cast(Any, NotAsked())
        )
        configuration.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="run"))
        created: list[dict[str, Any]] = []

        async def keep(_: Any, __: str, body: dict[str, Any]) -> None:
            created.append(body)

        monkeypatch.setattr("prefect_kubernetes.worker.BatchV1Api.create_namespaced_job", keep)
        monkeypatch.setattr(KubernetesWorker, "__init__", lambda self: None)
        await KubernetesWorker()._create_job(configuration, None)  # type: ignore[arg-type]
        return created[0]

    monkeypatch.setenv(
        "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_NAME", "slipway-prefect"
    )
    monkeypatch.setenv("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_KEY", "auth-string")
    with temporary_settings({PREFECT_API_AUTH_STRING: "slipway:planted"}):
        return asyncio.run(made())


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    (only,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(manifest: dict[str, Any]) -> dict[str, Any]:
    entries = container(manifest)["env"]
    names = [entry["name"] for entry in entries]
    assert len(names) == len(set(names))
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}


@pytest.mark.parametrize("pool", POOLS)
def test_the_password_is_in_the_job_by_reference_only(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job(pool, monkeypatch)
    assert "planted" not in str(made)
    key = {"secretKeyRef": {"name": "slipway-prefect", "key": "auth-string"}}
    assert environment(made)["PREFECT_API_AUTH_STRING"] == key


@pytest.mark.parametrize("pool", POOLS)
def test_a_pod_is_restricted(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job(pool, monkeypatch)
    pod = made["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["enableServiceLinks"] is False
    assert container(made)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize(
    ("pool", "namespace", "account", "token", "image"),
    [
        ("pandas", "slipway-training", "training", False, "image:flow"),
        ("spark", "slipway-training", "spark-driver", True, "image:flow-spark"),
        ("release", "slipway-serving", "release", True, "image:flow"),
    ],
)
def test_a_pool_says_where_and_as_whom_its_runs_work_whatever_the_job_variables_say(
    pool: str, namespace: str, account: str, token: bool, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(pool, monkeypatch, namespace="kube-system", service_account_name="release")
    pod = made["spec"]["template"]["spec"]
    assert made["metadata"]["namespace"] == namespace
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == (account, token)
    assert container(made)["image"] == KNOWN[image]
    assert made["spec"]["template"]["metadata"]["labels"]["slipway.io/role"] == account


def test_the_release_pool_runs_no_other_image(monkeypatch: pytest.MonkeyPatch) -> None:
    made = job("release", monkeypatch, image="docker.io/somebody/else")
    assert container(made)["image"] == KNOWN["image:flow"]


@pytest.mark.parametrize(
    ("pool", "part"), [("pandas", "training"), ("spark", "training"), ("release", "serving")]
)
def test_a_training_gives_way_whatever_its_job_variables_say(
    pool: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(pool, monkeypatch, priority_class_name="system-node-critical")
    assert made["spec"]["template"]["spec"]["priorityClassName"] == f"slipway-{part}"


@pytest.mark.parametrize("pool", POOLS)
def test_a_deployment_chooses_its_compute(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tolerations = [{"key": "gpu", "operator": "Exists"}]
    made = job(
        pool, monkeypatch, cpu="3", memory="7Gi", node_selector={"disk": "ssd"}, tolerations=tolerations,
        active_deadline_seconds=3600, pending_timeout=30, env={"MORE": "1"},
    )  # fmt: skip
    pod = made["spec"]["template"]["spec"]
    assert container(made)["resources"] == {
        "requests": {"cpu": "3", "memory": "7Gi"},
        "limits": {"memory": "7Gi"},
    }
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"disk": "ssd"}, tolerations)
    assert made["spec"]["activeDeadlineSeconds"] == 3600
    assert made["metadata"]["annotations"]["slipway.io/pending-timeout"] == "30s"
    assert environment(made)["MORE"] == "1"


@pytest.mark.parametrize("pool", POOLS)
def test_without_job_variables_a_run_has_no_time_limit_and_is_not_retried_by_kubernetes(
    pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(pool, monkeypatch)
    assert "activeDeadlineSeconds" not in made["spec"]
    assert made["spec"]["backoffLimit"] == 0
    assert made["metadata"]["annotations"]["slipway.io/pending-timeout"] == "600s"
    assert environment(made)["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    assert {"POD_NAME", "POD_NAMESPACE", "POD_IP"} <= environment(made).keys()


def test_a_spark_driver_is_told_what_its_executors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"executors": 3, "executor_cpu": "500m", "executor_memory": "2Gi", "env": {"MORE": "1"}}
    told = environment(job("spark", monkeypatch, **chosen))
    assert {name: value for name, value in told.items() if name.startswith(("SLIPWAY_", "MORE"))} == {
        "SLIPWAY_SPARK_EXECUTORS": "3",
        "SLIPWAY_SPARK_EXECUTOR_CPU": "500m",
        "SLIPWAY_SPARK_EXECUTOR_MEMORY": "2Gi",
        "SLIPWAY_SPARK_IMAGE": KNOWN["image:flow-spark"],
        "MORE": "1",
    }


@pytest.mark.parametrize("pool", POOLS)
def test_what_prefect_yaml_may_set_both_kinds_of_platform_know(pool: str) -> None:
    process, kubernetes = (
        set(template(pool, kind, KNOWN)["variables"]["properties"]) for kind in ("process", "kubernetes")
    )
    used = {
        name
        for entry in FILE["deployments"]
        if entry["work_pool"]["name"] == pool
        for name in entry["work_pool"].get("job_variables", ())
    }
    shared = used | ONLY_ON_A_CLUSTER | {"cpu", "memory"} | EXECUTORS[pool]
    assert shared <= process & kubernetes
