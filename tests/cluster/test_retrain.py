"""`slipway retrain` and its sisters on a cluster: runs of deployments, followed from outside."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.outside import Outside
from tests.cluster.runs import evict

TRAINING, SERVING = "slipway-training", "slipway-serving"


def kubectl(kubeconfig: Path, *arguments: str) -> Any:
    command = ["kubectl", "--kubeconfig", str(kubeconfig), *arguments, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def names(kubeconfig: Path, kind: str, namespace: str) -> set[str]:
    found = kubectl(kubeconfig, "get", kind, "-n", namespace)
    return {item["metadata"]["name"] for item in found["items"]}


@pytest.fixture(scope="module")
def retrained(platform_up: Outside) -> "subprocess.CompletedProcess[str]":
    """`slipway retrain iris --force`, for people: whatever order the tests come in, iris is live after it."""
    done = platform_up.slipway("retrain", "iris", "--force")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.timeout(900)
def test_a_retrain_is_followed_to_a_model_that_a_pod_released(
    retrained: "subprocess.CompletedProcess[str]", kubeconfig: Path
) -> None:
    out, err = retrained.stdout, retrained.stderr
    assert "iris: released" in out
    for word in ("candidate", "champion", "threshold", "accuracy", ">= 0.85"):
        assert word in out
    for step in ("snapshot: Completed", "train logistic: Completed", "release/iris: ", "move traffic"):
        assert step in err, err
    assert "Traceback" not in err
    assert "auth-string" not in out + err
    assert "iris" in names(kubeconfig, "seldondeployments", SERVING)
    jobs = kubectl(kubeconfig, "get", "jobs", "-n", SERVING)["items"]
    accounts = {job["spec"]["template"]["spec"]["serviceAccountName"] for job in jobs}
    assert "release" in accounts
    trained = kubectl(kubeconfig, "get", "jobs", "-n", TRAINING)["items"]
    assert "training" in {job["spec"]["template"]["spec"]["serviceAccountName"] for job in trained}


@pytest.mark.timeout(300)
def test_unchanged_is_one_json_document(retrained: object, platform_up: Outside) -> None:
    done = platform_up.slipway("retrain", "iris", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["outcome"] == "unchanged"
    assert document["version"]


@pytest.mark.timeout(300)
def test_live_and_status_agree_on_what_answers(retrained: object, platform_up: Outside) -> None:
    done = platform_up.slipway("live", "iris", "--json")
    assert done.returncode == 0, done.stderr
    (live,) = json.loads(done.stdout)["models"]
    assert live["version"] == live["champion"]
    assert live["digest"] == live["stored_digest"]
    assert live["gate"] == "promote"
    assert live["disagreements"] == []
    status = json.loads(platform_up.slipway("status", "--json").stdout)
    assert status["up"]
    parts = {part["name"]: part for part in status["parts"]}
    assert parts["prefect"]["address"] == "prefect.slipway.svc:4200"
    assert parts["iris"]["kind"] == "model"
    whose = {(one["owner"], one["name"]): one for one in status["usage"]}
    for owner in (("component", "prefect"), ("component", "workers"), ("model", "iris")):
        assert whose[owner]["cpu_requested"] > 0
        assert whose[owner]["memory_requested"] > 0
        assert (whose[owner]["memory_used"] is None) == (status["unmeasured"] is not None)
    assert live["rest_url"].removeprefix("http://").startswith(parts["iris"]["address"])


@pytest.mark.timeout(300)
def test_score_writes_to_the_store(retrained: object, platform_up: Outside) -> None:
    done = platform_up.slipway("score", "iris", "store://scores/of-a-test", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["rows"] == 150
    assert result["destination"] == "s3://slipway/scores/of-a-test"


@pytest.mark.parametrize(
    ("arguments", "next_step"),
    [
        (["retrain", "deployments/models/iris.yaml"], "add it to prefect.yaml, and run `slipway deploy`"),
        (["retrain", "iris", "--engine", "spark"], "in the pool spark to prefect.yaml"),
        (["retrain", "no-such-model"], ""),
        (["score", "iris", "/tmp/scores"], "Give s3:// or store://"),
        (["release", "iris", "--force"], "--version N and --reason TEXT"),
        (["rollback", "iris", "--reason", " "], "Say why"),
    ],
)
def test_what_a_cluster_cannot_do_ends_with_2_and_the_next_step(
    platform_up: Outside, arguments: list[str], next_step: str
) -> None:
    done = platform_up.slipway(*arguments, "--json")
    assert done.returncode == 2, done.stdout + done.stderr
    assert next_step in json.loads(done.stdout)["error"]["next_step"]


@pytest.mark.timeout(300)
def test_a_refusal_of_the_flow_is_the_reason_that_the_command_gives(
    retrained: object, platform_up: Outside
) -> None:
    done = platform_up.slipway("release", "iris", "--version", "9999", "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "RunFailed"
    assert "iris version 9999: is not registered" in error["message"]
    assert "slipway open prefect" in error["next_step"]


@pytest.mark.timeout(600)
def test_a_retrain_whose_pod_is_evicted_goes_on_in_another(platform_up: Outside, kubeconfig: Path) -> None:
    before = names(kubeconfig, "pods", TRAINING)
    program = platform_up.command(
        str(Path(sys.executable).with_name("slipway")), "retrain", "iris", "--force", "--json"
    )
    with subprocess.Popen(
        program, env=platform_up.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        pod = first_running(kubeconfig, before)
        time.sleep(5)
        evict(platform_up, pod)
        out, err = following.communicate(timeout=500)
    assert following.returncode == 0, out + err
    assert json.loads(out)["outcome"] in ("released", "kept")
    assert "AwaitingRetry" in err


def first_running(kubeconfig: Path, before: set[str]) -> str:
    """Name of a pod in the training namespace that was not there `before`, once it runs."""
    while True:
        for pod in kubectl(kubeconfig, "get", "pods", "-n", TRAINING)["items"]:
            if pod["metadata"]["name"] not in before and pod["status"]["phase"] == "Running":
                return str(pod["metadata"]["name"])
        time.sleep(0.5)


@pytest.mark.timeout(300)
def test_deploy_registers_once(platform_up: Outside) -> None:
    first = platform_up.slipway("deploy", "--json")
    assert first.returncode == 0, first.stderr
    again = json.loads(platform_up.slipway("deploy", "--json").stdout)
    assert again["deployments"] == []
    assert again["removed"] == []
    assert again["pools"] == []


@pytest.mark.parametrize(
    ("name", "path"), [("prefect", "/api/health"), ("mlflow", "/health"), ("iris", "/ready")]
)
def test_a_page_or_a_model_is_opened_until_ctrl_c(
    retrained: object, platform_up: Outside, name: str, path: str
) -> None:
    program = platform_up.command(str(Path(sys.executable).with_name("slipway")), "open", name)
    with subprocess.Popen(
        program, env=platform_up.environment(BROWSER="true"), stderr=subprocess.PIPE, text=True
    ) as opened:
        assert opened.stderr is not None
        url = opened.stderr.readline().split()[-1]
        done = platform_up.run(
            sys.executable, "-c", f"import urllib.request as r; print(r.urlopen('{url}{path}').status)"
        )
        opened.send_signal(signal.SIGINT)
        assert opened.wait(20) == 0
    assert done.stdout.strip() == "200", done.stderr


def test_what_cannot_be_opened_ends_with_2_and_says_what_can(platform_up: Outside) -> None:
    done = platform_up.slipway("open", "no-such-model")
    assert done.returncode == 2
    assert "prefect, mlflow" in done.stderr
