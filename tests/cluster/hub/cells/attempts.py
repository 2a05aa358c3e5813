"""Run as a cell of a notebook: everything that its user may do, and everything that they may not."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import httpx
import mlflow

platform, serving = os.environ["SLIPWAY_PLATFORM_NAMESPACE"], os.environ["SLIPWAY_SERVING_NAMESPACE"]
bucket = os.environ["SLIPWAY_STORE"].removeprefix("s3://")
s3 = boto3.client("s3", endpoint_url=os.environ["SLIPWAY_S3_ENDPOINT"])


def reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 3).close()
    except OSError:
        return False
    return True


def asked(**given: Any) -> int:
    headers = {"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}"}
    asks = {"flow": "retrain", "name": "iris", **given}
    return httpx.post(f"{os.environ['SLIPWAY_TRIGGER_URL']}/runs", json=asks, headers=headers).status_code


def code(error: botocore.exceptions.ClientError) -> str:
    return str(error.response["Error"]["Code"])


def writes(key: str) -> str:
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    except botocore.exceptions.ClientError as error:
        return code(error)
    return "done"


def reads(key: str) -> str:
    try:
        s3.get_object(Bucket=bucket, Key=key)
    except botocore.exceptions.ClientError as error:
        return code(error)
    return "done"


def moves_alias() -> str:
    try:
        mlflow.MlflowClient().set_registered_model_alias("iris", "champion", "1")
    except mlflow.exceptions.MlflowException as error:
        return str(error.get_http_status_code())  # type: ignore[no-untyped-call]
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
    "trigger": {
        "release": asked(flow="release"),
        "job variables": asked(parameters={"job_variables": {"image": "other"}}),
        "overwrite": asked(flow="score", parameters={"destination": "store://mlflow/1"}),
    },
    "writes": {
        key: writes(key) for key in ("scratch/anna/x", "mlflow/x", "records/iris/1.json", "datasets/x")
    },
    "reads": {key: reads(key) for key in ("datasets/iris/iris.parquet", "records/iris/1.json", "mlflow/x")},
    "alias": moves_alias(),
}
print(json.dumps(found))
