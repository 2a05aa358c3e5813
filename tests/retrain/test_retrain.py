"""The main job on the real servers: what a user of Prefect and MLflow finds after each outcome."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.release import release
from flows.retrain import retrain
from flows.rollback import rollback
from tasks import tracking
from tasks.errors import DataError, InsufficientEvidence, PlatformError, SourceError
from tasks.golden import read_golden
from tasks.results import RetrainResult
from tasks.serving import serving
from tasks.settings import ROOT, settings
from tests.retrain.model import Model, fish, free_locks

SLIPWAY = str(Path(sys.executable).with_name("slipway"))

pytestmark = pytest.mark.platform


def run(model: Model, **parameters: object) -> RetrainResult:
    result = retrain(model.path, **parameters)  # type: ignore[arg-type]
    assert isinstance(result, RetrainResult)
    return result


def runs_of(model: Model, kind: str = "") -> list[object]:
    """MLflow runs of the model's experiment: all, or the `parent` ones, or the `child` ones."""
    client = tracking.client()
    experiment = client.get_experiment_by_name(model.name)
    if experiment is None:
        return []
    found = list(client.search_runs([experiment.experiment_id]))
    return [r for r in found if not kind or ("mlflow.parentRunId" in r.data.tags) == (kind == "child")]


def page_in_prefect(model: Model) -> str:
    """The newest report of the model in the Prefect UI."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"report-{model.name}"]))
        )
    newest = max(found, key=lambda artifact: artifact.created or 0)
    return str(newest.data)


def page_in_mlflow(run: object) -> str:
    run_id = run.info.run_id  # type: ignore[attr-defined]
    path = tracking.client().download_artifacts(run_id, "report/report.html")
    return Path(path).read_text()


def live_version(model: Model) -> int | None:
    """The version that answers at the stable address."""
    answering = serving().answering(model.name)
    return None if answering is None else answering.number


def test_a_first_model_is_released_and_everything_about_it_can_be_seen(model: Model) -> None:
    result = run(model)

    assert (result.outcome, result.version, live_version(model)) == ("released", 1, 1)
    champion = tracking.alias(model.name, "champion")
    assert champion is not None
    assert champion.number == 1
    record = tracking.read_record(champion)
    assert record.decision.outcome == "promote"
    assert record.digest == champion.digest

    (parent,) = runs_of(model, "parent")
    assert parent.info.status == "FINISHED"  # type: ignore[attr-defined]
    assert parent.data.params["engine"] == "polars"  # type: ignore[attr-defined]
    assert [i.dataset.name for i in parent.inputs.dataset_inputs] == ["fish"]  # type: ignore[attr-defined]
    children = {r.info.run_name: r for r in runs_of(model, "child")}  # type: ignore[attr-defined]
    assert set(children) == {"logistic", "tree"}
    logistic = children["logistic"]
    assert {"accuracy", "roc_auc", "accuracy/pond:north", "validation_score"} <= set(logistic.data.metrics)  # type: ignore[attr-defined]
    assert logistic.data.params["estimator"] == "sklearn.linear_model.LogisticRegression"  # type: ignore[attr-defined]
    assert logistic.data.params["C"] in ("0.1", "1.0")  # type: ignore[attr-defined]
    plots = {f.path for f in tracking.client().list_artifacts(logistic.info.run_id, "plots")}  # type: ignore[attr-defined]
    assert {
        f"plots/{name}.png" for name in ("confusion_matrix", "calibration", "permutation_importance")
    } == plots

    for page in (page_in_prefect(model), page_in_mlflow(parent)):
        assert "promote" in page
        assert "data:image/png;base64," in page
        assert "version 1" in page


def test_the_logged_model_is_complete_and_loads_with_plain_mlflow(model: Model) -> None:
    import mlflow.sklearn
    from mlflow.models import get_model_info

    run(model)
    champion = tracking.alias(model.name, "champion")
    assert champion is not None
    info = get_model_info(champion.source)
    logged = tracking.client().get_logged_model(champion.source.removeprefix("models:/"))
    assert (str(logged.status), logged.source_run_id) == ("READY", champion.run_id)
    assert logged.params["estimator"].startswith("sklearn.")
    folder = Path(champion.uri)
    golden = read_golden(folder, champion.name)
    rows = pd.DataFrame({name: list(column.values) for name, column in golden.columns.items()})

    assert info.signature.inputs.input_names() == ["length", "weight", "colour"]
    assert "scikit-learn==1.9.1" in (folder / "requirements.txt").read_text()
    assert (folder / "input_example.json").exists()
    plain = mlflow.sklearn.load_model(champion.source)
    assert plain.predict(rows).tolist() == list(golden.labels)


def test_the_experiment_and_run_that_a_notebook_has_open_are_left_alone(model: Model) -> None:
    import mlflow

    tracking.client()
    mlflow.set_experiment(f"mine-{model.name}")
    try:
        with mlflow.start_run() as mine:
            assert run(model).outcome == "released"
            assert mlflow.active_run() == mine
        assert not tracking.client().get_run(mine.info.run_id).outputs.model_outputs
    finally:
        mlflow.set_experiment(experiment_id="0")


def test_a_curl_line_can_be_pasted(model: Model) -> None:
    result = run(model)

    assert result.release is not None
    done = subprocess.run(result.release.curl, shell=True, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["outputs"][0]["data"][0] in ("pike", "perch", "roach")


def test_a_rerun_is_unchanged_until_something_that_matters_changes(model: Model) -> None:
    first = run(model)
    before = len(runs_of(model))
    spec = Path(model.path)
    spec.write_text("# a comment changes nothing\n" + spec.read_text())

    again = run(model)

    assert (again.outcome, again.version, again.run_key) == ("unchanged", 1, first.run_key)
    assert len(runs_of(model)) == before
    assert "unchanged" in page_in_prefect(model)
    model.functions += "# another function\n"
    model.write()
    assert run(model).outcome == "released"
    model.rows = fish(seed=1)
    model.write()
    assert run(model).outcome == "released"
    assert run(model, engine="pandas").outcome == "released"
    assert run(model, engine="pandas").outcome == "unchanged"


def test_the_champion_stays_when_the_gate_says_keep(model: Model) -> None:
    run(model)
    model.rows = fish(noise=0.5)
    model.write()

    result = run(model)

    assert (result.outcome, result.version, result.release) == ("kept", None, None)
    assert "below the minimum" in " ".join(result.reasons)
    assert live_version(model) == 1
    assert [version.number for version in tracking.versions(model.name)] == [1]
    assert "keep" in page_in_prefect(model)
    assert run(model).outcome == "unchanged"


def test_a_champion_that_cannot_be_judged_is_insufficient_evidence(model: Model) -> None:
    run(model)
    del model.spec["columns"]["weight"]
    model.functions = model.functions.replace('"weight", ', "")
    model.write()

    with pytest.raises(InsufficientEvidence, match=r"champion cannot be judged.*weight"):
        run(model)

    assert live_version(model) == 1
    assert len(tracking.versions(model.name)) == 1
    newest = runs_of(model, "parent")[0]
    assert newest.info.status == "FAILED"  # type: ignore[attr-defined]
    for page in (page_in_prefect(model), page_in_mlflow(newest)):
        assert "insufficient evidence" in page
        assert "weight" in page


def test_a_failed_run_leaves_its_report_and_names_the_source(model: Model) -> None:
    (model.folder / "fish.parquet").write_bytes(b"not parquet at all")

    with pytest.raises(SourceError, match=r"fish\.parquet"):
        run(model)

    (parent,) = runs_of(model, "parent")
    assert parent.info.status == "FAILED"  # type: ignore[attr-defined]
    for page in (page_in_prefect(model), page_in_mlflow(parent)):
        assert "failed" in page
        assert "fish.parquet" in page
    assert tracking.versions(model.name) == []


def test_a_target_with_one_class_is_refused_before_training(model: Model) -> None:
    model.rows["kind"] = "pike"
    model.write()

    with pytest.raises(DataError, match="pike"):
        run(model)

    assert runs_of(model, "child") == []


def test_mlflow_down_is_said_before_anything_is_written(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_MLFLOW_URL", "http://127.0.0.1:9")
    settings.cache_clear()
    try:
        with pytest.raises(PlatformError, match=r"MLflow.*127\.0\.0\.1:9.*slipway up"):
            run(model)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert runs_of(model) == []


def test_a_retrain_killed_before_its_release_goes_on_from_the_version_it_registered(model: Model) -> None:
    killed = subprocess.run(
        [SLIPWAY, "retrain", model.path],
        cwd=ROOT,
        env={**os.environ, "SLIPWAY_FAULT": "before candidate"},
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr
    assert (live_version(model), len(tracking.versions(model.name))) == (None, 1)
    free_locks(model.name)

    result = run(model)

    assert (result.outcome, result.version, live_version(model)) == ("released", 1, 1)
    assert len(tracking.versions(model.name)) == 1


def test_two_retrains_of_one_model_make_one_champion(model: Model) -> None:
    command = [SLIPWAY, "retrain", model.path, "--json"]
    both = [
        subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outcomes = sorted(json.loads(process.communicate()[0])["outcome"] for process in both)

    assert outcomes == ["released", "unchanged"]
    assert (live_version(model), len(tracking.versions(model.name))) == (1, 1)


def test_after_a_rollback_a_retrain_registers_but_does_not_release(model: Model) -> None:
    run(model)
    model.rows = fish(seed=1)
    model.write()
    run(model)
    rollback(model.path, "it was odd")
    model.rows = fish(seed=2)
    model.write()

    held = run(model)

    assert (held.outcome, held.version, live_version(model)) == ("held", 3, 1)
    assert "it was odd" in page_in_prefect(model)
    release(model.path)
    assert live_version(model) == 3
    model.rows = fish(seed=3)
    model.write()
    assert run(model).outcome == "released"


def test_a_regression_from_scikit_learns_diabetes_data(model: Model) -> None:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(as_frame=True).frame
    names = [name for name in data.columns if name != "target"]
    model.rows = data.rename(columns={"target": "progression"}).reset_index(names="id")
    model.functions = f"def prepare(fish):\n    return fish.select('id', *{names!r})\n"
    model.spec.update(
        problem="regression",
        target="progression",
        columns={name: {"type": "float64"} for name in names},
        gate={"metric": "r2", "minimum": 0.3},
        candidates={
            "ridge": {"estimator": "sklearn.linear_model.Ridge"},
            "forest": {"estimator": "sklearn.ensemble.RandomForestRegressor"},
        },
    )
    model.write()

    result = run(model)

    assert result.outcome == "released"
    assert result.release is not None
    done = subprocess.run(result.release.curl, shell=True, capture_output=True, text=True, check=True)
    (prediction,) = json.loads(done.stdout)["outputs"]
    assert (prediction["name"], prediction["datatype"]) == ("prediction", "FP64")
    assert 25 <= prediction["data"][0] <= 346
    (child, _) = sorted(runs_of(model, "child"), key=lambda r: r.info.run_name)  # type: ignore[attr-defined]
    plots = {f.path for f in tracking.client().list_artifacts(child.info.run_id, "plots")}  # type: ignore[attr-defined]
    assert plots == {"plots/residuals.png", "plots/permutation_importance.png"}
