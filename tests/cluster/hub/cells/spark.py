"""Run as a cell of a Spark notebook: its executors work, and its rights end there."""

import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

os.environ |= {
    "SLIPWAY_SPARK_EXECUTORS": "1", "SLIPWAY_SPARK_EXECUTOR_CPU": "200m", "SLIPWAY_SPARK_EXECUTOR_MEMORY": "1Gi",
}  # fmt: skip

from tasks import spark

FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
here, there = os.environ["POD_NAMESPACE"], os.environ["SLIPWAY_SPARK_NAMESPACE"]
platform, training, serving = (
    os.environ[f"SLIPWAY_{part}_NAMESPACE"] for part in ("PLATFORM", "TRAINING", "SERVING")
)
trusted = ssl.create_default_context(cafile=str(FOLDER / "ca.crt"))
restricted = {
    "securityContext": {
        "runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"},
    },
    "containers": [{
        "name": "x", "image": "x",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }],
}  # fmt: skip
pod = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "other", "labels": {"spark-role": "executor", "slipway.io/driver": "another"}},
    "spec": {"serviceAccountName": "spark-executor", **restricted},
}
job = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "other"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", **restricted}}},
}
model = {
    "apiVersion": "machinelearning.seldon.io/v1",
    "kind": "SeldonDeployment",
    "metadata": {"name": "other"},
    "spec": {"predictors": []},
}
SELDON = f"/apis/machinelearning.seldon.io/v1/namespaces/{serving}/seldondeployments"


def api(method: str, path: str, body: Any = None) -> int:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    request = urllib.request.Request(
        f"https://kubernetes.default.svc{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {(FOLDER / 'token').read_text()}", "Content-Type": kind},
    )
    try:
        with urllib.request.urlopen(request, context=trusted) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


def core(namespace: str, kind: str) -> str:
    return f"/api/v1/namespaces/{namespace}/{kind}"


with spark.working():
    rows = spark.session().range(1000).count()
    executors = api("GET", core(there, "pods"))
found = {
    "rows": rows,
    "its executors": executors,
    "sees servers": api("GET", core(here, "pods")),
    "reads secrets": [
        api("GET", core(space, "secrets")) for space in (here, there, platform, training, serving)
    ],
    "makes a pod here": api("POST", core(here, "pods"), pod),
    "makes an executor of another": api("POST", core(there, "pods"), pod),
    "makes a pod of trainings": api("POST", core(training, "pods"), pod),
    "makes a job": api("POST", f"/apis/batch/v1/namespaces/{training}/jobs", job),
    "deploys": api("POST", SELDON, model),
    "changes what is deployed": api("PATCH", f"{SELDON}/iris", {"spec": {"predictors": []}}),
    "removes what is deployed": api("DELETE", f"{SELDON}/iris"),
    "changes the platform": api(
        "PATCH", f"/apis/apps/v1/namespaces/{platform}/deployments/prefect", {"spec": {"replicas": 0}}
    ),
    "gets another account": api("POST", f"{core(serving, 'serviceaccounts')}/release/token", {}),
    "binds a role": api("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{there}/rolebindings", {}),
}
print(json.dumps(found))
