"""prefect-kubernetes as it is: its default base job template, and a worker of our image in its own namespace."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from tasks.kubernetes import NAMESPACE as NAMESPACES
from tasks.kubernetes import NETWORK_POLICY, Cluster, Manifest, poll
from tasks.platform_lock import PlatformLock
from tasks.prefect_api import ask
from tasks.secrets import AUTH, PREFECT, Place, auth_string, manifest
from tasks.settings import ROOT

NAMESPACE = POOL = "slipway-bench"
NAME = "bench-plain"
PATIENCE = 180.0
"""Seconds that the worker may take to come up, and all of it to go."""


@contextmanager
def pool(cluster: Cluster, lock: PlatformLock, api: str) -> Iterator[None]:
    """The work pool with a worker that looks for its runs; all of it is gone afterwards."""
    from prefect_kubernetes.worker import KubernetesWorker  # type: ignore[import-untyped]

    template = KubernetesWorker.get_default_base_job_template()
    remove(cluster, api)
    try:
        body = {"name": POOL, "type": "kubernetes", "base_job_template": template}
        ask("POST", f"{api}/work_pools/", body).raise_for_status()
        for each in objects(lock):
            cluster.apply(each)
        cluster.apply(manifest(Place(NAMESPACE, PREFECT), {AUTH: auth_string(cluster, lock)}))
        if poll(lambda: online(api) or None, PATIENCE) is None:
            raise RuntimeError(f"the worker of pool {POOL} is not online after {PATIENCE:g} s")
        yield
    finally:
        remove(cluster, api)


def remove(cluster: Cluster, api: str) -> None:
    """Take it away, also what a benchmark left that was killed."""
    answer = ask("DELETE", f"{api}/work_pools/{POOL}")
    if answer.status_code != 404:
        answer.raise_for_status()
    cluster.delete(NETWORK_POLICY, NAME)
    if cluster.delete(NAMESPACES, NAMESPACE):
        gone = poll(lambda: True if cluster.get(NAMESPACES, NAMESPACE) is None else None, PATIENCE)
        if gone is None:
            raise RuntimeError(f"namespace {NAMESPACE} is still there after {PATIENCE:g} s")


def online(api: str) -> bool:
    found = ask("POST", f"{api}/work_pools/{POOL}/workers/filter", {}).raise_for_status().json()
    return any(worker["status"] == "ONLINE" for worker in found)


def objects(lock: PlatformLock) -> list[Manifest]:
    """Pure but for the chart's values: what the worker needs, and a way for it and its runs to Prefect."""
    values = yaml.safe_load((ROOT / "infra" / "charts" / "workers" / "values.yaml").read_text())
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named()},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": named(),
            "rules": [
                rule("batch", "jobs", "create", "get", "list", "watch", "delete"),
                rule("", "pods", "get", "list", "watch"),
                rule("", "pods/log", "get"),
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": named(),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": NAME, "namespace": lock.namespaces.platform},
            "spec": {
                "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prefect"}},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {
                        "from": [
                            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}
                        ],
                        "ports": [{"port": 4200, "protocol": "TCP"}],
                    }
                ],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": named(),
            "spec": {
                "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
                "template": {
                    "metadata": {"labels": {"app.kubernetes.io/name": NAME}},
                    "spec": {"serviceAccountName": NAME, "containers": [worker(lock, values)]},
                },
            },
        },
    ]


def named() -> dict[str, str]:
    return {"name": NAME, "namespace": NAMESPACE}


def rule(group: str, resource: str, *verbs: str) -> Manifest:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


def worker(lock: PlatformLock, values: dict[str, Any]) -> Manifest:
    """Looks for runs as often as ours, with the same resources; the password is named, not written."""
    kubernetes = "PREFECT_INTEGRATIONS_KUBERNETES"
    said = {
        "PREFECT_API_URL": f"http://prefect.{lock.namespaces.platform}.svc:4200/api",
        "PREFECT_WORKER_QUERY_SECONDS": str(values["querySeconds"]),
        f"{kubernetes}_OBSERVER_NAMESPACES": NAMESPACE,
        f"{kubernetes}_WORKER_API_AUTH_STRING_SECRET_NAME": PREFECT,
        f"{kubernetes}_WORKER_API_AUTH_STRING_SECRET_KEY": AUTH,
    }
    secret = {"secretKeyRef": {"name": PREFECT, "key": AUTH}}
    return {
        "name": "worker",
        "image": lock.image("flow"),
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "prefect",
            "worker",
            "start",
            "--type=kubernetes",
            f"--pool={POOL}",
            "--install-policy=never",
        ],
        "env": [
            *({"name": name, "value": value} for name, value in said.items()),
            {"name": "PREFECT_API_AUTH_STRING", "valueFrom": secret},
        ],
        "resources": values["resources"],
    }
