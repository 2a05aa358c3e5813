"""Housekeeping as a pod of the pool `release`: with that pool's keys, login and service account, and no others."""

import json
import uuid
from typing import Any

import pytest

from tests.cluster.outside import Outside
from tests.cluster.pods import run
from tests.cluster.test_identities import PLATFORM, TRAINING, environment

MLFLOW = f"http://mlflow.{PLATFORM}.svc:5000/api/2.0"

ASK = f"""
import base64, json, os, time, urllib.error, urllib.request

def ask(method, path, body=None, content=None):
    login = f"{{os.environ['MLFLOW_TRACKING_USERNAME']}}:{{os.environ['MLFLOW_TRACKING_PASSWORD']}}"
    headers = {{'Authorization': 'Basic ' + base64.b64encode(login.encode()).decode()}}
    headers['Content-Type'] = 'application/json' if body is not None else 'application/octet-stream'
    data = json.dumps(body).encode() if body is not None else content
    request = urllib.request.Request({MLFLOW!r} + path, method=method, data=data, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b'{{}}')

def files(experiment, run):
    found = ask('GET', f'/mlflow-artifacts/artifacts?path={{experiment}}/{{run}}/artifacts')
    return [each['path'] for each in found.get('files', [])]
"""

MAKE = """
experiment = ask('POST', '/mlflow/experiments/create', {'name': NAME})['experiment_id']
def made(age, tags):
    then = int((time.time() - age * 86_400) * 1000)
    body = {'experiment_id': experiment, 'start_time': then, 'tags': [{'key': k, 'value': v} for k, v in tags.items()]}
    run = ask('POST', '/mlflow/runs/create', body)['run']['info']['run_id']
    ask('POST', '/mlflow/runs/update', {'run_id': run, 'status': 'FINISHED', 'end_time': then})
    ask('PUT', f'/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/note.txt', content=b'kept')
    return run
runs = {'old': made(400, {'slipway.model': 'of-a-test'}), 'young': made(1, {'slipway.model': 'of-a-test'}),
        "a person's": made(400, {})}
print(json.dumps({'experiment': experiment, 'runs': runs, 'files': {n: files(experiment, r) for n, r in runs.items()}}))
"""  # noqa: E501

LOOK = """
runs = json.loads(RUNS)
left = {name: files(EXPERIMENT, run) for name, run in runs.items()}
stages = {name: ask('GET', f'/mlflow/runs/get?run_id={run}')['run']['info']['lifecycle_stage']
          for name, run in runs.items()}
print(json.dumps({'files': left, 'stages': stages}))
"""


def as_training(cli: Outside, script: str) -> Any:
    role = {"slipway.io/role": "training"}
    return run(cli, TRAINING, script, labels=role, environment=environment("slipway-mlflow", "slipway-s3"))


@pytest.mark.timeout(600)
def test_old_runs_go_with_their_files_and_nothing_else_of_the_same_experiment(platform_up: Outside) -> None:
    name = f"housekeeping-{uuid.uuid4().hex[:8]}"
    made = as_training(platform_up, f"NAME = {name!r}\n{ASK}{MAKE}")
    assert all(made["files"].values()), made
    champion = platform_up.answer("live")

    def ours(removed: dict[str, Any]) -> list[str]:
        return [line.split()[1] for line in removed["runs"] if line.startswith("of-a-test ")]

    listed = platform_up.answer("housekeeping", "--dry-run")
    assert listed["dry_run"]
    assert made["runs"]["old"] in ours(listed)
    removed = platform_up.answer("housekeeping")
    assert made["runs"]["old"] in ours(removed)
    assert made["runs"]["young"] not in ours(removed)

    runs = json.dumps(made["runs"])
    left = as_training(platform_up, f"EXPERIMENT, RUNS = {made['experiment']!r}, {runs!r}\n{ASK}{LOOK}")
    assert left["stages"] == {"old": "deleted", "young": "active", "a person's": "active"}
    assert {name for name, files in left["files"].items() if files} == {"young", "a person's"}
    assert platform_up.answer("live") == champion
