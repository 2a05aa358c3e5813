"""Run as a cell of a notebook: everything that its user may do, and everything that they may not."""

import json
import os
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import httpx
import mlflow

platform, serving = os.environ["SLIPWAY_PLATFORM_NAMESPACE"], os.environ["SLIPWAY_SERVING_NAMESPACE"]
bucket = os.environ["SLIPWAY_STORE"].removeprefix("s3://")
s3 = boto3.client("s3", endpoint_url=os.environ["SLIPWAY_S3_ENDPOINT"])
hub_token = {"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}"}
registry = mlflow.MlflowClient()
version = registry.get_model_version_by_alias("iris", "champion")
model = registry.get_logged_model(version.source.removeprefix("models:/"))
file = f"{model.artifact_location.partition(':')[2].lstrip('/')}/MLmodel"


def reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 3).close()
    except OSError:
        return False
    return True


def starts(flow: str = "retrain", name: str = "iris", **given: Any) -> int:
    asks = {"flow": flow, "name": name, **given}
    return httpx.post(f"{os.environ['SLIPWAY_TRIGGER_URL']}/runs", json=asks, headers=hub_token).status_code


def run_of_nobody() -> int:
    return httpx.get(
        f"{os.environ['SLIPWAY_TRIGGER_URL']}/runs/{uuid.uuid4()}", headers=hub_token
    ).status_code


def at_hub(method: str, path: str) -> int:
    return httpx.request(method, f"{os.environ['JUPYTERHUB_API_URL']}{path}", headers=hub_token).status_code


def stored(do: Callable[..., Any], key: str, **given: Any) -> str:
    try:
        do(Bucket=bucket, Key=key, **given)
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def writes(key: str) -> str:
    return stored(s3.put_object, key, Body=b"x")


def at_mlflow(method: str, path: str, body: Any = None) -> int:
    login = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
    address = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/{path}"
    return httpx.request(method, address, json=body, auth=login, timeout=30).status_code


def logs() -> str:
    with mlflow.start_run(experiment_id=registry.create_experiment(f"of anna {uuid.uuid4().hex[:6]}")):
        mlflow.log_metric("loss", 0.5)
        mlflow.log_text("kept", "notes.txt")
    return "done"


found = {
    "reaches": {
        "trigger": reaches(f"trigger.{platform}.svc", 8000),
        "mlflow": reaches(f"mlflow.{platform}.svc", 5000),
        "store": reaches(f"s3.{platform}.svc", 8333),
        "model": reaches(f"iris-live.{serving}.svc", 9000),
        "prefect": reaches(f"prefect.{platform}.svc", 4200),
        "postgres": reaches(f"postgres.{platform}.svc", 5432),
        "metadata": reaches("169.254.169.254", 80),
        "api": reaches("kubernetes.default.svc", 443),
    },
    "account": Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists(),
    "passwords": sorted(name for name in os.environ if "PREFECT_API_AUTH" in name or "POSTGRES" in name),
    "starts": {
        "release": starts("release"),
        "rollback": starts("rollback"),
        "housekeeping": starts("housekeeping", "housekeeping"),
        "a model that is none": starts(name="nothing"),
        "job variables": starts(parameters={"job_variables": {"image": "other"}}),
        "job variables beside": starts(job_variables={"image": "other", "command": "sh"}),
        "a source of its own": starts(parameters={"sources": {"iris": "store://mlflow/x.parquet"}}),
        "overwrite": starts("score", parameters={"destination": f"store://mlflow/{file}"}),
    },
    "run of nobody": run_of_nobody(),
    "hub": {"everybody": at_hub("GET", "/users"), "another's server": at_hub("POST", "/users/ben/server")},
    "writes": {
        key: writes(key) for key in ("scratch/anna/x", "mlflow/x", "records/iris/1.json", "datasets/x")
    },
    "reads": {
        key: stored(s3.get_object, key)
        for key in ("datasets/iris/iris.parquet", "records/iris/1.json", "mlflow/x")
    },
    "logs": logs(),
    "served": {
        "written in the store": writes(f"mlflow/{file}"),
        "removed from the store": stored(s3.delete_object, f"mlflow/{file}"),
        "put": at_mlflow("PUT", f"mlflow-artifacts/artifacts/{file}", {}),
        "removed": at_mlflow("DELETE", f"mlflow-artifacts/artifacts/{file}"),
        "file beside": at_mlflow("PUT", f"mlflow-artifacts/artifacts/{file.removesuffix('MLmodel')}x", {}),
        "tag": at_mlflow(
            "POST",
            "mlflow/model-versions/set-tag",
            {"name": "iris", "version": version.version, "key": "k", "value": "v"},
        ),
        "version removed": at_mlflow(
            "DELETE", "mlflow/model-versions/delete", {"name": "iris", "version": version.version}
        ),
        "model removed": at_mlflow("DELETE", "mlflow/registered-models/delete", {"name": "iris"}),
        "run removed": at_mlflow("POST", "mlflow/runs/delete", {"run_id": version.run_id}),
    },
    "registers": at_mlflow(
        "POST", "mlflow/model-versions/create", {"name": "iris", "source": version.source}
    ),
    "aliases": {
        "moved": at_mlflow(
            "POST",
            "mlflow/registered-models/alias",
            {"name": "iris", "alias": "champion", "version": version.version},
        ),
        "removed": at_mlflow(
            "DELETE", "mlflow/registered-models/alias", {"name": "iris", "alias": "champion"}
        ),
    },
}
print(json.dumps(found))
