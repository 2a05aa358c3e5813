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
here, there, platform = (
    os.environ[name] for name in ("POD_NAMESPACE", "SLIPWAY_SPARK_NAMESPACE", "SLIPWAY_PLATFORM_NAMESPACE")
)
trusted = ssl.create_default_context(cafile=str(FOLDER / "ca.crt"))
pod = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "other", "labels": {"spark-role": "executor", "slipway.io/driver": "another"}},
    "spec": {"serviceAccountName": "spark-executor", "containers": [{"name": "x", "image": "x"}]},
}


def api(method: str, namespace: str, kind: str, body: Any = None) -> int:
    request = urllib.request.Request(
        f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/{kind}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {(FOLDER / 'token').read_text()}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, context=trusted) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


with spark.working():
    rows = spark.session().range(1000).count()
    executors = api("GET", there, "pods")
found = {
    "rows": rows,
    "executors": executors,
    "pods here": api("GET", here, "pods"),
    "secrets": [api("GET", space, "secrets") for space in (here, there, platform)],
    "makes a pod here": api("POST", here, "pods", pod),
    "makes a pod of another": api("POST", there, "pods", pod),
}
print(json.dumps(found))
