"""What goes and what stays, by table; and the object store, on this machine and on a stand-in for S3."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities.model_registry import ModelVersion

from tasks import old_data, old_jobs, preparation, sources, store
from tasks.old_data import unused
from tasks.old_jobs import EndedJob, ended
from tasks.old_runs import Referred, RetrainRun, Stored, leaving, references
from tasks.settings import settings
from tests.tasks.shop import Shop
from tests.tasks.test_kubernetes import Api, api

__all__ = ["api"]  # a fixture

NOW = datetime(2026, 11, 25, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(days=91), NOW - timedelta(days=89)
BEFORE = NOW - timedelta(days=90)
NOBODY = Referred(frozenset(), frozenset())


def run(name: str, parent: str | None = None, last: datetime = OLD, *models: str) -> RetrainRun:
    return RetrainRun("iris", name, parent, last, "", tuple(Stored("iris", model, "") for model in models))


def named(runs: list[RetrainRun], referred: Referred) -> tuple[list[str], list[str]]:
    found = leaving(runs, referred, BEFORE)
    return [one.run_id for one in found.runs], [one.model_id for one in found.models]


RETRAIN = [run("r"), run("r-won", "r", OLD, "m-won"), run("r-lost", "r", OLD, "m-lost")]


def test_an_old_retrain_that_nobody_refers_to_goes_with_its_models() -> None:
    assert named(RETRAIN, NOBODY) == (["r", "r-won", "r-lost"], ["m-won", "m-lost"])


@pytest.mark.parametrize(
    "referred",
    [
        Referred(frozenset({"r-won"}), frozenset({"m-won"})),
        Referred(frozenset(), frozenset({"m-won"})),  # a version made by hand from the model alone
    ],
)
def test_of_a_retrain_that_registered_only_the_models_that_lost_go(referred: Referred) -> None:
    assert named(RETRAIN, referred) == ([], ["m-lost"])


def test_a_version_made_from_a_run_keeps_the_run() -> None:
    assert named(RETRAIN, Referred(frozenset({"r"}), frozenset()))[0] == []


def test_what_is_young_stays() -> None:
    assert named([run("r", None, YOUNG, "m"), run("c", "r", YOUNG)], NOBODY) == ([], [])


def test_a_retrain_stays_whole_where_only_its_parent_is_old_and_a_child_was_registered() -> None:
    """A parent that was killed never ended: it counts from its beginning."""
    runs = [run("r", None, OLD), run("c", "r", YOUNG, "m")]
    assert named(runs, Referred(frozenset({"c"}), frozenset({"m"}))) == ([], [])


@pytest.mark.parametrize(
    ("source", "model_id", "models", "runs"),
    [
        (f"models:/m-{'a' * 32}", None, {f"m-{'a' * 32}"}, set()),
        ("anything", f"m-{'b' * 32}", {f"m-{'b' * 32}"}, set()),
        (f"s3://b/mlflow/1/models/m-{'c' * 32}/artifacts", None, {f"m-{'c' * 32}"}, set()),
        (f"runs:/{'d' * 32}/model", None, set(), {"d" * 32}),
        (f"s3://b/mlflow/1/{'e' * 32}/artifacts/model", None, set(), {"e" * 32}),
    ],
)
def test_a_version_refers_in_any_way_that_mlflow_has(
    source: str, model_id: str | None, models: set[str], runs: set[str]
) -> None:
    version = ModelVersion("iris", "1", 0, source=source, run_id="the run", model_id=model_id)
    found = references([version])
    assert found.models == models
    assert runs | {"the run"} <= found.runs


def job(name: str, condition: str | None, when: datetime = OLD, **labels: str) -> dict[str, Any]:
    at = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    said = [{"type": condition, "status": "True", "lastTransitionTime": at}] if condition else []
    metadata = {"name": name, "namespace": "training", "labels": labels}
    return {"metadata": metadata, "status": {"conditions": said}}


def test_jobs_of_ours_that_ended_long_ago_go() -> None:
    flow = {"prefect.io/flow-run-id": "1"}
    check = {"app.kubernetes.io/managed-by": "slipway", "app.kubernetes.io/part-of": "slipway"}
    jobs = [
        job("completed", "Complete", **flow),
        job("failed", "Failed", **flow),
        job("check", "Complete", **check),
        job("young", "Complete", YOUNG, **flow),
        job("running", None, **flow),
        job("suspended", "Suspended", **flow),
        job("somebody's", "Complete"),
    ]
    assert ended(jobs, BEFORE) == tuple(
        EndedJob("training", name) for name in ("completed", "failed", "check")
    )


def test_a_whole_goes_if_nothing_in_it_is_young_and_nothing_else_ever() -> None:
    written = {
        "s3://b/prepared/iris/k1/rows-1/0.parquet": OLD,
        "s3://b/prepared/iris/k1/_complete.json": OLD,
        "s3://b/prepared/iris/k2/rows-1/0.parquet": OLD,
        "s3://b/prepared/iris/k2/_complete.json": YOUNG,
        "s3://b/converted/a.parquet": OLD,
        "s3://b/converted/b.parquet": YOUNG,
        "s3://b/datasets/iris.parquet": OLD,
        "s3://b/records/iris/1.json": OLD,
        "s3://b/completed/iris.json": OLD,
        "s3://b/mlflow/1/models/m-1/artifacts/model.skops": OLD,
        "s3://b/prepared/stray": OLD,
    }
    found = [one.uri for one in unused("s3://b", written, BEFORE)]
    assert found == ["s3://b/converted/a.parquet", "s3://b/prepared/iris/k1"]


def test_prepared_rows_count_from_their_last_use(shop: Shop) -> None:
    spec = shop.spec()
    made = preparation.prepare(spec, sources.take_snapshot(spec), "polars", with_target=True)
    month = time.time() - 31 * store.DAY
    for file in store.list_files(store.join(settings().store_root, "prepared")):
        os.utime(file, (month, month))
    limit = datetime.now(UTC) - timedelta(days=30)
    doomed = old_data.find(limit)
    assert [one.uri for one in doomed] == [made.uri.rsplit("/", 1)[0]]

    again = preparation.prepare(spec, sources.take_snapshot(spec), "polars", with_target=True)
    assert again.cached
    assert old_data.find(limit) == ()
    assert old_data.remove(doomed) == (), "they came into use after they were listed"
    assert store.exists(made.files[0])


@pytest.mark.parametrize("place", ["here", "s3"])
def test_unused_data_are_removed_and_nothing_else(
    place: str, home: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "s3":
        request.getfixturevalue("bucket")
        monkeypatch.setenv("SLIPWAY_STORE", "s3://data")
        settings.cache_clear()
    root = settings().store_root
    doomed = {"prepared/iris/k1/rows-1/0.parquet", "prepared/iris/k1/_complete.json", "converted/a.parquet"}
    kept = {"datasets/a.parquet", "records/iris/1.json", "completed/iris.json", "scores/iris/0.parquet"}
    for path in doomed | kept:
        store.write_bytes(store.join(root, path), b"x")
    found = old_data.find(datetime.now(UTC) + timedelta(minutes=1))
    assert {one.uri for one in old_data.remove(found)} == {
        store.join(root, "prepared/iris/k1"),
        store.join(root, "converted/a.parquet"),
    }
    assert set(store.list_files(root)) == {store.join(root, path) for path in kept}
    assert old_data.remove(found) == found, "removing again is harmless"


def test_jobs_are_looked_for_in_the_namespaces_of_the_platform_and_removed_with_their_pods(
    home: Path, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_PLATFORM", "cluster")
    settings.cache_clear()
    old = job("old", "Failed", **{"prefect.io/flow-run-id": "1"})
    api.answers += [(200, {"metadata": {}, "items": each}) for each in ([], [old], [])]
    found = old_jobs.find(BEFORE)
    assert [path.partition("?")[0] for _, path in api.asked] == [
        f"/apis/batch/v1/namespaces/{space}/jobs"
        for space in ("slipway", "slipway-training", "slipway-serving")
    ]
    assert found == (EndedJob("training", "old"),)
    api.asked.clear()
    old_jobs.remove(found)
    ((method, path),) = api.asked
    assert (method, path.partition("?")[0]) == ("DELETE", "/apis/batch/v1/namespaces/training/jobs/old")
    assert "Background" in path + str(api.sent)


def test_there_are_no_jobs_without_a_cluster(home: Path) -> None:
    assert old_jobs.find(NOW) == ()
