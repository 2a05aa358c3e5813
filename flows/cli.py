"""`slipway`: a thin command line over the flows. Heavy imports stay inside the commands: `--help` is instant."""

import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError

from flows import cli_models, console
from flows.cli_models import Json
from tasks.errors import SlipwayError

app = App(
    name="slipway",
    help="From data to a live model, through a gate.",
    help_epilogue="Exit codes: 0 done (also when the gate keeps the champion), 1 failed, 2 bad usage or spec.",
    version_flags=[],
    help_format="plaintext",  # markdown would load pygments: half the time of `--help`
)
for command in (
    cli_models.retrain, cli_models.release, cli_models.rollback, cli_models.live, cli_models.score,
):  # fmt: skip
    app.command(command)
for name, about in (
    ("bootstrap", "Bring the cluster of the kubeconfig to the platform of infra/platform.yaml."),
    ("teardown", "Remove the platform and every released model from the cluster; data volumes stay."),
    (
        "housekeeping",
        "Remove what is old and that no registered version refers to: Jobs, runs, models, data.",
    ),
):
    app.command(f"flows.cli_cluster:{name}", name=name, help=about)
app.command(
    "flows.cli_cluster:open_", name="open", help="Open a page of the platform, or a model, of a cluster."
)


@app.command
def up(*, json: Json = False) -> Any:
    """Start the embedded platform: Prefect, MLflow, the model server, a worker."""
    from infra import local
    from tasks.settings import settings

    return local.up(settings().home, console.say)


@app.command
def down(*, json: Json = False) -> Any:
    """Stop the embedded platform. Data and models stay."""
    from infra import local
    from tasks.settings import settings

    return console.Stopped(local.down(settings().home, console.say))


@app.command
def status(*, json: Json = False) -> Any:
    """What of the platform runs, and where: the embedded one, or the cluster's if that was bootstrapped last."""
    from tasks.settings import settings

    if settings().platform == "cluster":
        from tasks.cluster_status import cluster_status

        return cluster_status()
    from infra import local

    return local.status(settings().home)


@app.command
def deploy(*, images: bool = True, json: Json = False) -> Any:
    """Publish the flows' images and prefect.yaml to the cluster; what left the file is removed.

    Parameters
    ----------
    images
        Build and publish the images of flow runs first, if what is in them changed.
    """
    from flows.deploy import deploy as publish

    return publish(console.say, images=images)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    as_json = "--json" in arguments
    try:
        command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return console.bad_usage(str(error), as_json)
    with console.answer(as_json) as out:
        try:
            result = command(*bound.args, **bound.kwargs)
            out.result(result)
        except SlipwayError as error:
            return out.failure(error)
        except KeyboardInterrupt:
            return out.stopped()
        except Exception as error:  # noqa: BLE001 - a defect: shown whole, and still one JSON document
            return out.defect(error)
    return int(getattr(result, "exit_code", 0))


def main() -> None:
    sys.exit(run(sys.argv[1:]))
