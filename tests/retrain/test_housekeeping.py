"""Housekeeping on the real servers, years after everything that a model's retrains left there."""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.housekeeping import housekeeping
from flows.release import release
from flows.retrain import retrain
from tasks import artifacts, store, tracking
from tasks.golden import read_golden
from tasks.housekeeping import Housekeeping
from tasks.serving import serving
from tasks.settings import Settings, settings
from tests.retrain.model import Model, fish

pytestmark = pytest.mark.platform

YEAR = 365 * 86_400


def made_old(found: Settings, model: Model) -> None:
    """What MLflow and the store have of the model, as it will be in a year."""
    with sqlite3.connect(found.home / "mlflow" / "mlflow.db") as database:
        experiment = tracking.client().get_experiment_by_name(model.name)
        assert experiment is not None
        times = "start_time = start_time - ?, end_time = end_time - ?"
        year = YEAR * 1000
        database.execute(
            f"UPDATE runs SET {times} WHERE experiment_id = ?",
            (year, year, experiment.experiment_id),
        )
    for file in store.list_files(store.join(settings().store_root, "prepared", model.name)):
        os.utime(file, (time.time() - YEAR, time.time() - YEAR))


def folders(model: Model) -> dict[str, Path]:
    """Where the files of each of the model's runs and logged models lie."""
    client = tracking.client()
    experiment = client.get_experiment_by_name(model.name)
    assert experiment is not None
    identity = [experiment.experiment_id]
    runs = {run.info.run_id: run.info.artifact_uri for run in client.search_runs(identity)}
    models = {one.model_id: one.artifact_location for one in client.search_logged_models(identity)}
    return {name: Path(uri.removeprefix("file://")) for name, uri in {**runs, **models}.items()}


def of(model: Model, names: tuple[str, ...]) -> set[str]:
    """The ids in the names that housekeeping gives for things of the model."""
    return {name.split()[1] for name in names if name.split()[0] == model.name}


def swept(**parameters: object) -> Housekeeping:
    result = housekeeping(**parameters)  # type: ignore[arg-type]
    assert isinstance(result, Housekeeping)
    return result


def test_what_is_old_goes_and_what_is_registered_stays_and_serves(
    platform: Settings, model: Model, new_model: Callable[[], Model]
) -> None:
    """Two versions, a third retrain that the gate kept out, and a run of a person's own."""
    retrain(model.path)
    model.rows = fish(seed=1)
    model.write()
    retrain(model.path)
    model.spec["gate"]["minimum"] = 0.9999
    model.write()
    assert retrain(model.path).outcome == "kept"
    champion, previous = tracking.alias(model.name, "champion"), tracking.alias(model.name, "previous")
    assert (champion and champion.number, previous and previous.number) == (2, 1)
    young = new_model()
    retrain(young.path)

    client = tracking.client()
    experiment = client.get_experiment_by_name(model.name)
    assert experiment is not None
    own = client.create_run(experiment.experiment_id, tags={"mine": "yes"}).info.run_id
    client.log_text(own, "kept", "notes.txt")
    client.set_terminated(own)
    before = folders(model)
    of_versions = {v.run_id for v in tracking.versions(model.name)} | {
        v.source.removeprefix("models:/") for v in tracking.versions(model.name)
    }
    made_old(platform, model)

    listed = swept(dry_run=True)
    assert listed.dry_run
    assert folders(model) == before
    assert all(folder.exists() for folder in before.values())

    removed = swept()
    assert removed == Housekeeping(False, listed.jobs, listed.data, listed.models, listed.runs)
    gone = of(model, removed.runs) | of(model, removed.models)
    assert len(of(model, removed.runs)) == 3, (
        "the retrain that was kept out: its own run, and two candidates'"
    )
    assert len(of(model, removed.models)) == 4, "two of that one, and the loser of each other"
    assert not gone & of_versions
    assert own not in gone
    assert not of(young, removed.runs + removed.models)
    for name, folder in before.items():
        assert folder.exists() == (name not in gone), name
    assert set(folders(model)) == set(before) - gone
    place = store.join(platform.store_root, "prepared", model.name)
    assert [uri for uri in removed.data if uri.startswith(f"{place}/")]
    assert store.list_files(place) == []

    for version in tracking.versions(model.name):
        assert tracking.read_record(version).digest == version.digest
        assert len(read_golden(artifacts.download(version), version.name))
    assert serving().answering(model.name) is not None
    assert release(model.path, 1).version == 1, "a version that was not live for a year is released as ever"

    again = swept()
    assert not of(model, again.runs + again.models)


def test_a_retrain_after_it_prepares_its_rows_anew(platform: Settings, model: Model) -> None:
    retrain(model.path)
    made_old(platform, model)
    swept()
    result = retrain(model.path, force=True)
    assert result.outcome in ("released", "kept")


@pytest.mark.parametrize("parameters", [{"run_days": 0}, {"data_days": 0}, {"job_hours": -1}])
def test_nothing_is_old_at_once(platform: Settings, parameters: dict[str, int]) -> None:
    from prefect.exceptions import ParameterTypeError

    with pytest.raises(ParameterTypeError, match="greater than or equal to 1"):
        housekeeping(**parameters)  # type: ignore[arg-type]
