"""A candidate: a Pipeline fitted on all training rows, seen on the test rows, and logged with its golden rows."""

import re
from dataclasses import dataclass

from tasks import evidence, runlog, training
from tasks.evidence import Predictions
from tasks.gate import Evidence
from tasks.golden import make_golden
from tasks.judging import Rows
from tasks.plots import plots
from tasks.runlog import LoggedCandidate, Run
from tasks.spec import ModelSpec
from tasks.training import Candidate, Fit, Scored

EXAMPLE_ROWS = 5


@dataclass(frozen=True)
class Trained:
    """A fitted candidate as it was logged. `predictions` and `metrics` are of the test rows of the run."""

    candidate: Candidate
    logged: LoggedCandidate
    predictions: Predictions
    metrics: dict[str, float]
    pictures: dict[str, bytes]


def score_fit(spec: ModelSpec, rows: Rows, fit: Fit) -> Scored:
    """Score one parameter set on the validation part of the training rows, fitted on the rest of them."""
    validation = rows.validation
    fit_rows = ~rows.on_test & ~validation
    return training.fit_and_validate(
        spec, fit, rows.frame, training.target_of(rows.frame), fit_rows, validation
    )


def train_candidate(spec: ModelSpec, rows: Rows, name: str, best: Scored | None, parent: Run) -> Trained:
    """Fit candidate `name` with its best parameters on all training rows and log it as a child of `parent`."""
    fitted, tested = rows.frame[~rows.on_test], rows.frame[rows.on_test]
    with runlog.child_run(spec, parent, name) as run:
        candidate = training.fit_final(spec, name, best, fitted, training.target_of(fitted))
        target = training.target_of(tested)
        predictions = evidence.predict(candidate.pipeline, tested)
        metrics = evidence.all_metrics(spec, target, predictions)
        pictures = plots(spec, candidate.pipeline, tested, target, predictions)
        slices = slice_metrics(evidence.collect(spec, tested, target, predictions))
        runlog.log_values(run, logged_parameters(spec, candidate), metrics | slices | timings(candidate))
        runlog.log_files(run, {f"plots/{title}.png": png for title, png in pictures.items()})
        golden = make_golden(spec, rows.frame, candidate.pipeline)
        example = tested[list(spec.columns)].head(EXAMPLE_ROWS)
        logged = runlog.log_model(run, spec, candidate.pipeline, example, golden.model_dump_json().encode())
    return Trained(candidate, logged, predictions, metrics, pictures)


def logged_parameters(spec: ModelSpec, candidate: Candidate) -> dict[str, object]:
    """The estimator and its parameters as the spec and the search set them."""
    given = spec.candidates[candidate.name]
    return {"estimator": given.estimator, **given.parameters, **candidate.parameters}


def timings(candidate: Candidate) -> dict[str, float]:
    found = {"fit_seconds": candidate.seconds}
    if candidate.validation_score is not None:
        found["validation_score"] = candidate.validation_score
    return found


def slice_metrics(found: Evidence) -> dict[str, float]:
    """The gate's metric per slice, under names that MLflow takes: `roc_auc/origin=EWR` -> `roc_auc/origin:EWR`."""
    return {
        f"{found.metric}/" + re.sub(r"[^\w\-. :]", "_", f"{one.column}:{one.value}"): one.candidate
        for one in found.slices
        if one.candidate is not None
    }
