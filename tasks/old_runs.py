"""Old retrains in MLflow: their runs, and the logged models that nobody registered.

The files of a run or model go first, and MLflow's entry of it last: what was stopped between is found again.
MLflow keeps the entries in its trash; nothing of the registry is touched.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks.errors import RegistryError
from tasks.runlog import MODEL
from tasks.tracking import client, every_page

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

PAGE = 500
MODELS_PAGE = 100
"""Entries that one request asks for; MLflow's answers for logged models are much larger."""


@dataclass(frozen=True)
class Stored:
    """A logged model of a retrain of `model`: its id, and where its files lie."""

    model: str
    model_id: str
    uri: str

    def __str__(self) -> str:
        return f"{self.model} {self.model_id}"


@dataclass(frozen=True)
class RetrainRun:
    """One run that a retrain of `model` made. `last` is when it ended, or began if it never did."""

    model: str
    run_id: str
    parent: str | None
    last: datetime
    uri: str = ""
    stored: tuple[Stored, ...] = ()

    def __str__(self) -> str:
        return f"{self.model} {self.run_id} ({self.last:%Y-%m-%d})"

    @property
    def family(self) -> str:
        """The retrain that it belongs to."""
        return self.parent or self.run_id


@dataclass(frozen=True)
class Referred:
    """What registered versions refer to, whichever alias they have."""

    runs: frozenset[str]
    models: frozenset[str]


@dataclass(frozen=True)
class Leaving:
    """Runs that go with all they have, and logged models that go from `runs` and from runs that stay."""

    runs: tuple[RetrainRun, ...] = ()
    models: tuple[Stored, ...] = ()


def leaving(runs: Iterable[RetrainRun], referred: Referred, before: datetime) -> Leaving:
    """Pure: what of `runs` is older than `before` and has no registered version.

    Of a retrain that registered one, every run stays, and so does the version's model; the models of the
    candidates that lost go.
    """
    everything = tuple(runs)
    kept = {run.family for run in everything if run.run_id in referred.runs or _has(run, referred)}
    old = [run for run in everything if run.last < before]
    models = [one for run in old for one in run.stored if one.model_id not in referred.models]
    return Leaving(tuple(run for run in old if run.family not in kept), tuple(models))


def _has(run: RetrainRun, referred: Referred) -> bool:
    return any(one.model_id in referred.models for one in run.stored)


def references(versions: Iterable["ModelVersion"]) -> Referred:
    """Pure: the runs and logged models that `versions` name, in any of the ways that MLflow has."""
    found = list(versions)
    models = {str(one.model_id) for one in found if one.model_id}
    models |= {each for one in found for each in re.findall(r"\bm-[0-9a-f]{32}\b", one.source or "")}
    runs = {one.run_id for one in found if one.run_id}
    runs |= {each for one in found for each in re.findall(r"\b[0-9a-f]{32}\b", one.source or "")}
    return Referred(frozenset(runs), frozenset(models))


def find(before: datetime) -> Leaving:
    """What of the retrains on the server goes. The registry is read last: it may have grown meanwhile."""
    return leaving(_runs(), references(versions()), before)


def remove(found: Leaving) -> None:
    """Remove it for good; may be repeated. Raises RegistryError naming the first that cannot be removed."""
    mlflow = client()
    for model in found.models:
        with _named(model):
            _delete_files(model.uri)
            mlflow.delete_logged_model(model.model_id)
    for run in found.runs:
        with _named(run):
            _delete_files(run.uri)
            mlflow.delete_run(run.run_id)


def _delete_files(uri: str) -> None:
    """Through MLflow's server where it keeps them: nobody else may write there."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(uri).delete_artifacts()  # type: ignore[no-untyped-call]


@contextmanager
def _named(what: Stored | RetrainRun) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (
        MlflowException,
        OSError,
    ) as error:  # what its server answers to a deletion of files is an OSError
        raise RegistryError(
            str(what), f"cannot be removed: {error}", "Give this login the right to, or see MLflow's log."
        ) from error


def versions() -> list["ModelVersion"]:
    """Every registered version, of every model."""
    mlflow = client()
    return every_page(lambda token: mlflow.search_model_versions("", max_results=PAGE, page_token=token))


def _runs() -> list[RetrainRun]:
    mlflow = client()
    experiments = every_page(lambda token: mlflow.search_experiments(max_results=PAGE, page_token=token))
    return [run for experiment in experiments for run in _runs_of(experiment.experiment_id)]


def _runs_of(experiment: str) -> list[RetrainRun]:
    mlflow, ours = client(), f"tags.`{MODEL}` LIKE '%'"
    runs = every_page(
        lambda token: mlflow.search_runs([experiment], ours, max_results=PAGE, page_token=token)
    )
    if not runs:
        return []
    models = every_page(
        lambda token: mlflow.search_logged_models([experiment], max_results=MODELS_PAGE, page_token=token)
    )
    return [_run(each, models) for each in runs]


def _run(found: "Run", models: "Iterable[LoggedModel]") -> RetrainRun:
    info, tags = found.info, found.data.tags
    last = datetime.fromtimestamp((info.end_time or info.start_time) / 1000, UTC)
    model, parent = tags[MODEL], tags.get("mlflow.parentRunId")
    stored = tuple(
        Stored(model, one.model_id, one.artifact_location)
        for one in models
        if one.source_run_id == info.run_id
    )
    return RetrainRun(model, info.run_id, parent, last, info.artifact_uri, stored)
