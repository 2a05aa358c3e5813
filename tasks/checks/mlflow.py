"""MLflow logs a run with a metric and a file, and gives both back."""

import tempfile
from pathlib import Path

from tasks.checks import run
from tasks.settings import connect

EXPERIMENT = "slipway verification"


def check() -> str:
    connect()
    from mlflow import MlflowClient

    client = MlflowClient()
    known = client.get_experiment_by_name(EXPERIMENT)
    experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT)
    made = client.create_run(experiment).info.run_id
    try:
        client.log_metric(made, "answer", 42.0)
        client.log_text(made, "kept", "file.txt")
        client.set_terminated(made)
        metric = client.get_run(made).data.metrics["answer"]
        with tempfile.TemporaryDirectory() as folder:
            text = Path(client.download_artifacts(made, "file.txt", folder)).read_text()
        if (metric, text) != (42.0, "kept"):
            raise RuntimeError(f"run {made} came back with {metric!r} and {text!r}")
    finally:
        client.delete_run(made)
    return "logged a run, read its metric and its file back"


if __name__ == "__main__":
    run(check)
