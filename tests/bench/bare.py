"""What `slipway retrain` does, as the script that one would write without Slipway: no orchestration.

The same preparation, validation, search, metrics, bootstrap, plots and MLflow logging, with the same number of
threads; no Prefect, no snapshot, no store, no run key, no registry, no release. The arithmetic is that of the
pure functions in `tasks/`; reading, threads and logging are written out here with the libraries alone.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import mlflow.sklearn
import narwhals as nw
import pandas as pd
from mlflow.models import infer_signature
from slipway_model_server.estimators import trusted_types

from tasks import engines, evidence, frames, gate, plots, split, training, validation
from tasks.functions import load_functions, needed_sources
from tasks.golden import make_golden
from tasks.preparation import Prepared, read_prepared
from tasks.sources import FileVersion, SourceFiles, source_uris
from tasks.spec import Engine, ModelSpec, load_spec
from tasks.training import Candidate, Scored

PACKAGES = ("scikit-learn", "skops", "numpy", "scipy", "pandas", "mlflow")


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def retrain(model: str, mlflow_uri: str, engine: Engine | None = None) -> dict[str, Any]:
    """Train and judge `model` (a name, or the path of a spec whose sources exist), logging to `mlflow_uri`.

    The champion, if the registry there has one, is judged beside the candidate. Returns
    `{"outcome": ..., "score": ..., "seconds": {phase: seconds, "total": seconds}}`.
    """
    started = time.perf_counter()
    clock = Clock()
    spec = load_spec(model)
    mlflow.set_tracking_uri(mlflow_uri)
    mlflow.set_experiment(spec.name)
    with tempfile.TemporaryDirectory(prefix="bare-") as folder, mlflow.start_run(run_name="bare") as run:
        training.check(spec)
        with clock.phase("prepare"):
            prepared = prepare(spec, engine or spec.engine, Path(folder) / "rows")
        with clock.phase("validate"):
            validation.validate(spec, prepared)
        frame = read_prepared(prepared)
        resolved = split.resolve(spec, frame)
        on_test = split.test_rows(resolved, frame)
        with clock.phase("train"):
            candidates = train(spec, frame, resolved, on_test, run.info.run_id)
        with clock.phase("judge"):
            winner = training.winner([candidate for candidate, _ in candidates])
            predictions = {one.name: found for one, found in candidates}[winner.name]
            found, decision = judge(spec, frame[on_test], predictions)
        with clock.phase("log"):
            mlflow.log_params({"engine": engine or spec.engine, "rows": len(frame), "chosen": winner.name})
            mlflow.log_dict(found.model_dump(mode="json"), "evidence.json")
    clock.seconds["total"] = time.perf_counter() - started
    return {"outcome": decision.outcome, "score": found.candidate, "seconds": clock.seconds}


def prepare(spec: ModelSpec, engine: Engine, folder: Path) -> Prepared:
    """The model's `prepare` and target on the sources as they are, written to `folder` as parquet."""
    functions = load_functions(spec)
    read = {name: engines.read(engine, files_of(uri)) for name, uri in source_uris(spec).items()}
    lazy = {name: nw.from_native(one).lazy() for name, one in read.items()}
    rows = functions.prepare(**{name: lazy[name] for name in needed_sources(spec, functions.prepare)})
    if functions.target is not None:
        target = functions.target(**{name: lazy[name] for name in needed_sources(spec, functions.target)})
    else:
        source = next(one for one in lazy.values() if spec.target in one.collect_schema())
        target = source.select(*spec.key, str(spec.target))
    joined = frames.with_target(spec, rows, target)
    columns = frames.wanted_columns(spec, joined.collect_schema(), with_target=True)
    engines.write(engine, frames.conform(joined, columns), columns, spec.key, str(folder))
    files = tuple(str(path) for path in sorted(folder.iterdir()))
    count = sum(len(pd.read_parquet(file, columns=list(spec.key))) for file in files)
    return Prepared(str(folder), "bare", count, False, columns, files)


def files_of(uri: str) -> SourceFiles:
    path = Path(uri)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    kind = "csv" if files[0].suffix == ".csv" else "parquet"
    return SourceFiles(uri, kind, tuple(FileVersion(str(one), one.stat().st_size, "") for one in files))


def train(
    spec: ModelSpec, frame: pd.DataFrame, resolved: split.ResolvedSplit, on_test: Any, parent: str
) -> list[tuple[Candidate, evidence.Predictions]]:
    """Every candidate with its best parameters, fitted and logged; as many threads as cores."""
    y = training.target_of(frame)
    fits = training.plan_fits(spec)
    validation_part = split.validation_rows(resolved, frame) if fits else ~on_test
    fit_part = ~on_test & ~validation_part
    training.warm_imports()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        scored = list(
            pool.map(
                lambda fit: training.fit_and_validate(spec, fit, frame, y, fit_part, validation_part), fits
            )
        )
        best = training.best_of_each(spec, scored)
        return list(pool.map(lambda name: fit_and_log(spec, name, best[name], frame, on_test, parent), best))


def fit_and_log(
    spec: ModelSpec, name: str, best: Scored | None, frame: pd.DataFrame, on_test: Any, parent: str
) -> tuple[Candidate, evidence.Predictions]:
    fitted, tested = frame[~on_test], frame[on_test]
    candidate = training.fit_final(spec, name, best, fitted, training.target_of(fitted))
    y = training.target_of(tested)
    predictions = evidence.predict(candidate.pipeline, tested)
    metrics = evidence.all_metrics(spec, y, predictions)
    slices = {
        f"{spec.gate.metric}/{one.column}:{one.value}": one.candidate
        for one in evidence.collect(spec, tested, y, predictions).slices
        if one.candidate is not None
    }
    pictures = plots.plots(spec, candidate.pipeline, tested, y, predictions)
    example = tested[list(spec.columns)].head(5)
    with (
        tempfile.TemporaryDirectory() as folder,
        mlflow.start_run(run_name=name, tags={"mlflow.parentRunId": parent}),
    ):
        mlflow.log_params(spec.candidates[name].parameters | dict(candidate.parameters))
        mlflow.log_metrics(metrics | slices | {"fit_seconds": candidate.seconds})
        for title, png in pictures.items():
            (Path(folder) / f"{title}.png").write_bytes(png)
        mlflow.log_artifacts(folder, "plots")
        golden = Path(folder) / "golden.json"
        golden.write_text(make_golden(spec, frame, candidate.pipeline).model_dump_json())
        mlflow.sklearn.log_model(
            candidate.pipeline,
            name="model",
            signature=infer_signature(example, predictions.labels[:5]),
            input_example=example,
            pip_requirements=[f"{package}=={version(package)}" for package in PACKAGES],
            serialization_format="skops",
            skops_trusted_types=sorted(trusted_types()),
            extra_files=[str(golden)],
        )
    return candidate, predictions


def judge(
    spec: ModelSpec, tested: pd.DataFrame, predictions: evidence.Predictions
) -> tuple[gate.Evidence, gate.GateDecision]:
    try:
        champion = evidence.predict(mlflow.sklearn.load_model(f"models:/{spec.name}@champion"), tested)
    except mlflow.MlflowException:  # there is none yet
        champion = None
    found = evidence.collect(spec, tested, training.target_of(tested), predictions, champion)
    return found, gate.decide(found, spec.gate)


if __name__ == "__main__":
    print(json.dumps(retrain(sys.argv[1], sys.argv[2])))
