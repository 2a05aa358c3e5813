"""The tracking side of MLflow: what one retrain logs. The registry is in `tracking.py`."""

import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway_model_server.digest import artifact_digest
from slipway_model_server.estimators import trusted_types

from tasks.errors import TrainingError
from tasks.settings import settings
from tasks.sources import Snapshot
from tasks.spec import ModelSpec
from tasks.tracking import client

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

REQUIREMENTS = ("scikit-learn", "skops", "numpy", "scipy", "pandas", "mlflow")
"""What a logged model needs; explicit, since inferring it starts a process of its own."""

KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tells MLflow's UI that these are training runs; it guesses from the first run otherwise."""

MODEL = "slipway.model"
"""Tag of every run that a retrain made: which model it is of. Runs without it are people's own."""

MLFLOW_TYPES = {
    "int64": "long",
    "float64": "double",
    "string": "string",
    "bool": "boolean",
    "datetime": "datetime",
}


@dataclass(frozen=True)
class Run:
    """One MLflow run. `url` is what a person opens."""

    run_id: str
    experiment_id: str

    @property
    def url(self) -> str:
        root = settings().mlflow_page or settings().mlflow_url
        return f"{root}/#/experiments/{self.experiment_id}/runs/{self.run_id}"


@dataclass(frozen=True)
class LoggedCandidate:
    """A candidate's model as stored: `source` is `models:/m-...`, `digest` that of the stored files."""

    run: Run
    source: str
    digest: str


@contextmanager
def parent_run(spec: ModelSpec, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """The run of one retrain, in the experiment of the model; FAILED if the body raises, KILLED if stopped."""
    mlflow = client()
    run = _start(spec, name, tags)
    try:
        yield run
    except Exception:
        mlflow.set_terminated(run.run_id, "FAILED")
        raise
    except BaseException:
        mlflow.set_terminated(run.run_id, "KILLED")
        raise
    mlflow.set_terminated(run.run_id, "FINISHED")


@contextmanager
def child_run(spec: ModelSpec, parent: Run, name: str) -> Iterator[Run]:
    """The run of one candidate, below the run of the retrain."""
    with parent_run(spec, name, {"mlflow.parentRunId": parent.run_id}) as run:
        yield run


def _start(spec: ModelSpec, name: str, tags: Mapping[str, str]) -> Run:
    mlflow = client()
    experiment = mlflow.get_experiment_by_name(spec.name)
    identity = experiment.experiment_id if experiment else mlflow.create_experiment(spec.name, tags=KIND)
    run = mlflow.create_run(identity, tags={MODEL: spec.name, **tags}, run_name=name)
    return Run(run.info.run_id, identity)


def log_values(run: Run, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Parameters and finite metrics, in one call."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    client().log_batch(
        run.run_id,
        metrics=[Metric(key, float(v), now, 0) for key, v in metrics.items() if math.isfinite(v)],
        params=[Param(key, str(value)[:6000]) for key, value in parameters.items()],
    )


def log_lineage(run: Run, snapshot: Snapshot) -> None:
    """Each source of the snapshot as an input dataset of the run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    def described(name: str) -> DatasetInput:
        source = snapshot.sources[name]
        dataset = Dataset(
            name=name,
            digest=source.fingerprint[:32],
            source_type="s3" if source.uri.startswith("s3://") else "local",
            source=json.dumps({"uri": source.uri}),
        )
        return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])

    client().log_inputs(run.run_id, [described(name) for name in sorted(snapshot.sources)])


def log_files(run: Run, files: Mapping[str, bytes]) -> None:
    """Files (path below the run's artifacts -> content) as artifacts of the run."""
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            place = Path(folder) / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        client().log_artifacts(run.run_id, folder)


def log_model(
    run: Run, spec: ModelSpec, pipeline: "Pipeline", example: "pd.DataFrame", golden: bytes
) -> LoggedCandidate:
    """Store the fitted `pipeline` with skops, signature, input example, requirements and golden rows.

    `example`: a few prepared rows. TrainingError if the pipeline holds a type that our table does not list.
    """
    import mlflow
    import mlflow.sklearn
    import skops.io
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    found = set(skops.io.get_untrusted_types(data=skops.io.dumps(pipeline)))
    if unknown := sorted(found - trusted_types()):
        raise TrainingError(
            f"candidate in run {run.run_id}",
            f"holds types that no release would accept: {', '.join(unknown)}",
            "Use estimators of the table in images/model-server/slipway_model_server/estimators.py.",
        )
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(MLFLOW_TYPES[kind], name, required=not spec.columns[name].nullable)
        for name, kind in spec.model_types.items()
    ]
    output = "double" if spec.problem == "regression" else _label_type(pipeline)
    # By run and experiment, never by MLflow's active ones: those belong to whoever else uses this process.
    parameters = client().get_run(run.run_id).data.params
    model = client().create_logged_model(
        run.experiment_id, "model", source_run_id=run.run_id, params=parameters
    )
    with tempfile.TemporaryDirectory() as folder:
        golden_file = Path(folder) / "golden.json"
        golden_file.write_bytes(golden)
        logged = mlflow.sklearn.log_model(
            pipeline,
            model_id=model.model_id,
            run_id=run.run_id,
            signature=ModelSignature(Schema(inputs), Schema([ColSpec(output)])),
            input_example=example,
            pip_requirements=[f"{package}=={installed(package)}" for package in REQUIREMENTS],
            serialization_format="skops",
            skops_trusted_types=sorted(found),
            extra_files=[str(golden_file)],
        )
    return LoggedCandidate(run, logged.model_uri, stored_digest(logged.model_id))


def stored_digest(model_id: str) -> str:
    """Digest of a logged model's files as they lie in the artifact store."""
    from mlflow.artifacts import download_artifacts

    location = client().get_logged_model(model_id).artifact_location
    if location.startswith("file://"):
        return artifact_digest(Path(location.removeprefix("file://")))
    with tempfile.TemporaryDirectory() as folder:
        return artifact_digest(Path(download_artifacts(artifact_uri=location, dst_path=folder)))


def _label_type(pipeline: "Pipeline") -> str:
    kinds = {"b": "boolean", "i": "long", "u": "long", "f": "double"}
    return kinds.get(pipeline.classes_.dtype.kind, "string")
