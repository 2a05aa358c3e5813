"""The command line: what it prints, where, and with which exit code."""

import json
import logging
import resource
import shlex
import subprocess
import sys
import time
from typing import get_args

import pytest

from flows import cli, cli_models
from flows.console import plain
from flows.progress import line_of, step_name
from tasks.errors import ServingError, SpecError
from tasks.settings import Settings
from tasks.spec import Engine
from tests.flows.conftest import Slipway

NOBODY = "http://127.0.0.1:9"


def test_help_answers_at_once(slipway: Slipway) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = slipway("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    for command in (
        "up",
        "down",
        "status",
        "retrain",
        "release",
        "rollback",
        "live",
        "score",
        "housekeeping",
    ):
        assert f" {command} " in done.stdout
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 0.6, "0.28 s on an idle machine"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from flows.cli import run; run(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("prefect", "mlflow", "pandas", "polars", "sklearn", "pydantic", "httpx"):
        assert f"'{heavy}'" not in done.stderr


def test_the_engines_of_the_command_line_are_those_of_the_spec() -> None:
    assert get_args(cli_models.Engine) == get_args(Engine)


@pytest.mark.parametrize(
    "arguments",
    [
        ["retrain"],
        ["no-such-command"],
        ["retrain", "iris", "--engine", "dask"],
        ["retrain", "iris", "--no-such-option"],
        ["release", "iris", "--version", "newest"],
        ["retrain", "no-such-model"],
        ["score", "iris", "out", "--source", "no-equals-sign"],
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_usage_and_bad_specs_end_with_2(
    arguments: list[str], as_json: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*arguments, *(["--json"] if as_json else [])]) == 2
    out, err = capfd.readouterr()
    if as_json:
        assert json.loads(out)["error"]["message"]
    else:
        assert out == ""
        assert err
    assert "Traceback" not in out + err


def test_a_source_is_a_name_and_a_place() -> None:
    assert cli_models.named_uri("iris=s3://bucket/iris.parquet?a=b") == (
        "iris",
        "s3://bucket/iris.parquet?a=b",
    )
    with pytest.raises(SpecError, match="is not NAME=URI"):
        cli_models.named_uri("=s3://bucket")


@pytest.mark.parametrize(
    ("variables", "named"),
    [({"mlflow_url": NOBODY}, "MLflow"), ({"prefect_url": f"{NOBODY}/api"}, "Prefect")],
)
def test_a_server_that_is_down_is_named_before_anything_runs(
    platform: Settings, slipway: Slipway, variables: dict[str, str], named: str
) -> None:
    began = time.monotonic()
    done = slipway("retrain", "iris", "--json", **variables)
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "PlatformError"
    assert error["object"].startswith(f"{named} server {NOBODY}")
    assert error["next_step"] == "Start it with `slipway up`."
    assert time.monotonic() - began < 10, "about 1 s on an idle machine"


def test_a_home_that_was_never_started_says_how(slipway: Slipway, tmp_path: object) -> None:
    done = slipway("live", home=str(tmp_path))
    assert done.returncode == 1
    assert "never started under" in done.stderr
    assert "`slipway up`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.platform
def test_a_retrain_shows_its_steps_and_says_what_was_decided_and_where_to_look(
    first_retrain: "subprocess.CompletedProcess[str]", platform: Settings
) -> None:
    assert first_retrain.returncode == 0, first_retrain.stderr
    out, err = first_retrain.stdout, first_retrain.stderr
    for step in ("snapshot", "prepare", "train logistic", "judge"):
        assert f" s  {step}\n" in err
    assert "iris: released" in out
    for word in ("candidate", "champion", "threshold", "accuracy", ">= 0.85"):
        assert word in out
    assert f"Prefect run  {platform.prefect_url.removesuffix('/api')}" in out
    assert f"MLflow run  {platform.mlflow_url}" in out
    assert "Traceback" not in err


@pytest.mark.platform
def test_the_curl_line_works_when_pasted(first_retrain: "subprocess.CompletedProcess[str]") -> None:
    line = next(line for line in first_retrain.stdout.splitlines() if line.startswith("curl "))
    answer = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True)
    outputs = {output["name"]: output for output in json.loads(answer.stdout)["outputs"]}
    assert outputs["prediction"]["data"][0] in ("setosa", "versicolor", "virginica")


@pytest.mark.platform
def test_an_unchanged_retrain_is_one_json_document_and_still_says_how_to_ask(
    first_retrain: object, slipway: Slipway
) -> None:
    done = slipway("retrain", "iris", "--engine", "pandas", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["outcome"] == "unchanged"
    assert document["curl"].startswith("curl ")
    assert document["mlflow_url"]


@pytest.mark.platform
def test_live_and_status_agree_on_what_answers(
    first_retrain: object, slipway: Slipway, platform: Settings
) -> None:
    (live,) = json.loads(slipway("live", "iris", "--json").stdout)["models"]
    assert live["version"] == live["champion"]
    assert live["rest_url"].startswith(platform.serving_rest_url)
    status = json.loads(slipway("status", "--json").stdout)
    assert status["up"]
    assert status["addresses"]["serving_rest_url"] == platform.serving_rest_url


@pytest.mark.platform
def test_a_refused_rollback_ends_with_1_and_its_reason(first_retrain: object, slipway: Slipway) -> None:
    done = slipway("rollback", "iris", "--reason", "a test", "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "RegistryError"
    assert "iris" in error["message"]
    assert "Traceback" not in done.stderr


@pytest.mark.platform
def test_score_writes_where_it_was_told(first_retrain: object, slipway: Slipway, tmp_path: object) -> None:
    done = slipway("score", "iris", f"{tmp_path}/scores", "--engine", "pandas", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 150


@pytest.mark.platform
def test_housekeeping_says_what_would_go_and_that_is_nothing_young(
    first_retrain: object, slipway: Slipway
) -> None:
    done = slipway("housekeeping", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Would remove 0 jobs, 0 data, 0 models, 0 runs, 0 images." in done.stdout


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_backup_is_of_a_cluster(slipway: Slipway, tmp_path: object, command: str) -> None:
    done = slipway(command, f"{tmp_path}/kept", home=f"{tmp_path}/home")
    assert done.returncode == 1
    assert f"slipway {command}: is for a cluster" in done.stderr
    assert "Traceback" not in done.stderr


def record(
    message: str, level: int = logging.INFO, error: Exception | None = None, **extra: str
) -> logging.LogRecord:
    exc_info = (type(error), error, None) if error else None
    made = logging.LogRecord("prefect.task_runs", level, "", 0, message, None, exc_info)
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (record("Finished in state Completed()", task_run_name="snapshot-9e5"), "snapshot"),
        (record("Finished in state Completed()", task_run_name="train logistic"), "train logistic"),
        (record("Beginning flow run 'x' for flow 'y'"), None),
        (record("Nothing to do"), "Nothing to do"),
        (record("late\nand more", logging.WARNING, task_run_name="judge-0ff"), "warning: judge: late"),
        (
            record("Encountered exception during execution: x", logging.ERROR, ServingError("a", "b", "c")),
            None,
        ),
    ],
)
def test_a_flow_shows_one_line_a_step(given: logging.LogRecord, shown: str | None) -> None:
    assert line_of(given) == shown


def test_a_name_that_ends_like_a_suffix_by_chance_is_shortened_only_there() -> None:
    assert step_name("check the artifacts and plan-bc8") == "check the artifacts and plan"
    assert step_name("score boosting(max_iter=50)") == "score boosting(max_iter=50)"


def test_results_of_any_kind_become_json() -> None:
    assert plain({"a": (1, None, {2: "b"})}) == {"a": [1, None, {"2": "b"}]}
