"""What pods may do with the keys and the login of their namespace: in the object store, and in MLflow."""

import json
from typing import Any

import pytest

from tasks.platform_lock import load_lock
from tests.cluster.outside import Outside
from tests.cluster.pods import SETTLED, run

SPACES = load_lock().namespaces
PLATFORM, TRAINING, SERVING = SPACES.platform, SPACES.training, SPACES.serving
BUCKET = load_lock().store.bucket

TRY = f"""{SETTLED}
settled('s3.{PLATFORM}.svc', 8333)
settled('mlflow.{PLATFORM}.svc', 5000)
import base64, json, os, uuid, urllib.error, urllib.request
import boto3
from botocore.exceptions import ClientError
s3 = boto3.client('s3', endpoint_url={load_lock().store.endpoint!r}, region_name='us-east-1')

def stores(prefix):
    key = f'{{prefix}}/access-{{uuid.uuid4().hex}}'
    try:
        s3.put_object(Bucket={BUCKET!r}, Key=key, Body=b'x')
    except ClientError as error:
        return error.response['ResponseMetadata']['HTTPStatusCode']
    s3.delete_object(Bucket={BUCKET!r}, Key=key)
    return 200

def ask(method, path, body=None):
    login = f"{{os.environ['MLFLOW_TRACKING_USERNAME']}}:{{os.environ['MLFLOW_TRACKING_PASSWORD']}}"
    basic = base64.b64encode(login.encode()).decode()
    request = urllib.request.Request(
        'http://mlflow.{PLATFORM}.svc:5000/api/2.0/mlflow/' + path, method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={{'Content-Type': 'application/json', 'Authorization': f'Basic {{basic}}'}},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return error.read().decode()

name = 'access-' + uuid.uuid4().hex
print(json.dumps({{
    'stores': {{prefix: stores(prefix) for prefix in
               ('datasets', 'prepared', 'completed', 'records', 'scores', 'scratch', 'mlflow', 'elsewhere')}},
    'reads': ask('GET', 'registered-models/search'),
    'logs': ask('POST', 'experiments/search', {{'max_results': 1}}),
    'registers': ask('POST', 'model-versions/create', {{'name': name, 'source': 'models:/m-' + '0' * 32}}),
    'aliases': ask('POST', 'registered-models/alias', {{'name': name, 'alias': 'champion', 'version': '1'}}),
    'makes users': ask('POST', 'users/create', {{'username': name, 'password': name}}),
}}))
"""


REFUSED = ("aliases are moved by releases", "is the administrator's")
"""How the platform's own policy says no."""
LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def environment(login: str, keys: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}}
        for secret, names in ((login, LOGIN), (keys, KEYS))
        for name in names
    ]


CASES = {
    "training": (TRAINING, "training", "slipway-mlflow", "slipway-s3",
                 {"datasets", "prepared", "completed", "records", "scores", "scratch"}),
    "release": (SERVING, "release", "slipway-mlflow", "slipway-s3", {"prepared", "completed", "records"}),
    "notebook": (PLATFORM, "verification", "slipway-notebook", "slipway-notebook", {"scratch"}),
}  # fmt: skip


@pytest.mark.parametrize("identity", CASES)
def test_an_identity_does_its_own_work_and_no_others(platform_up: Outside, identity: str) -> None:
    namespace, role, login, keys, writes = CASES[identity]
    said = run(
        platform_up, namespace, TRY, labels={"slipway.io/role": role}, environment=environment(login, keys)
    )
    assert said.pop("stores") == {
        prefix: 200 if prefix in writes else 403
        for prefix in (
            "datasets",
            "prepared",
            "completed",
            "records",
            "scores",
            "scratch",
            "mlflow",
            "elsewhere",
        )
    }
    assert said.pop("reads") == said.pop("logs") == "200"
    # What it may do is refused for another reason: there is no such model.
    may = {"training": {"registers"}, "release": {"aliases"}, "notebook": set()}[identity]
    allowed = {what for what, answer in said.items() if not any(policy in answer for policy in REFUSED)}
    assert allowed == may, json.dumps(said)


def test_nobody_reaches_mlflow_without_a_login(platform_up: Outside) -> None:
    script = f"""{SETTLED}
settled('mlflow.{PLATFORM}.svc', 5000)
import json, urllib.error, urllib.request
try:
    urllib.request.urlopen('http://mlflow.{PLATFORM}.svc:5000/api/2.0/mlflow/registered-models/search')
    status = 200
except urllib.error.HTTPError as error:
    status = error.code
print(json.dumps(status))
"""
    assert run(platform_up, TRAINING, script, labels={"slipway.io/role": "training"}) == 401
