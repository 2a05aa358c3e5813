"""`slipway`: a thin command line over the flows. Heavy imports stay inside the commands: `--help` is instant."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import App, CycloptsError, Parameter

from flows import console
from tasks.errors import SlipwayError, SpecError

if TYPE_CHECKING:
    from tasks.results import RetrainResult

Engine = Literal["pandas", "polars", "spark"]
Json = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON document, and nothing else.")
]
Model = Annotated[str, Parameter(help="Name of a spec in deployments/models/, or path of a spec file.")]

app = App(
    name="slipway",
    help="From data to a live model, through a gate.",
    help_epilogue="Exit codes: 0 done (also when the gate keeps the champion), 1 failed, 2 bad usage or spec.",
    version_flags=[],
    help_format="plaintext",  # markdown would load pygments: half the time of `--help`
)


@app.command
def up(*, json: Json = False) -> Any:
    """Start the embedded platform: Prefect, MLflow, the model server, a worker for each work pool."""
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
    """What of the embedded platform runs, and where."""
    from infra import local
    from tasks.settings import settings

    return local.status(settings().home)


@app.command
def retrain(model: Model, *, engine: Engine | None = None, force: bool = False, json: Json = False) -> Any:
    """Train, judge and, if the gate says so, release a model.

    Parameters
    ----------
    engine
        What prepares the data, instead of the spec's engine.
    force
        Also when nothing changed since the last completed run.
    """
    _prepare(model, "Prefect", "MLflow", "model")
    from flows.retrain import retrain as flow  # gives back what its state holds
    from tasks.asking import curl_line

    result: RetrainResult = cast(Any, flow)(model, engine=engine, force=force)
    return console.Retrained(result, curl_line(result.model))


@app.command
def release(
    model: Model, *, version: int | None = None, force: bool = False, reason: str = "", json: Json = False
) -> Any:
    """Make a registered version live, and end a hold.

    Parameters
    ----------
    version
        Number in the registry; the newest that passed the gate by default.
    force
        Without a gate record; the reason is kept with the version.
    reason
        Why, with --force.
    """
    _prepare(model, "Prefect", "MLflow", "model")
    from flows.release import release as flow

    return flow(model, version, force=force, reason=reason)


@app.command
def rollback(model: Model, *, reason: str = "rolled back by hand", json: Json = False) -> Any:
    """Back to the previous live version; retrains release nothing more until `slipway release`.

    Parameters
    ----------
    reason
        Kept with the version that is left.
    """
    _prepare(model, "Prefect", "MLflow", "model")
    from flows.rollback import rollback as flow

    return flow(model, reason)


@app.command
def live(model: Model | None = None, *, json: Json = False) -> Any:
    """Which version of each model really answers, where, and whether all that is known of it fits together."""
    _prepare(None, "MLflow", "model")
    from tasks.live import live as look

    if model is not None and model.endswith((".yaml", ".yml")):
        from tasks.spec import load_spec

        model = load_spec(model).name
    return console.Models(tuple(look(model)))


@app.command
def score(
    model: Model,
    destination: str,
    *,
    source: Annotated[list[str] | None, Parameter(negative="")] = None,
    engine: Engine | None = None,
    json: Json = False,
) -> Any:
    """Score the spec's sources, or those given, with the champion; parquet out.

    Parameters
    ----------
    destination
        Folder or s3:// prefix for the scores.
    source
        NAME=URI, one for each source that is not to be the spec's.
    """
    sources = dict(named_uri(given) for given in source or ())
    _prepare(model, "Prefect", "MLflow")
    from flows.score import score as flow

    return flow(model, destination, sources=sources or None, engine=engine)


def named_uri(given: str) -> tuple[str, str]:
    name, separator, uri = given.partition("=")
    if not (name and separator and uri):
        raise SpecError(f"--source {given!r}", "is not NAME=URI", "Name a source of the spec, and its place.")
    return name, uri


def _prepare(model: str | None, *servers: Literal["Prefect", "MLflow", "model"]) -> None:
    """Refuse a bad spec and a missing server within a moment, then point this process at the platform."""
    from tasks.reach import require
    from tasks.settings import connect

    if model is not None:
        from tasks.spec import load_spec

        load_spec(model)
    require(*servers)
    connect()
    console.follow_flows()


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    as_json = "--json" in arguments
    try:
        command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return console.bad_usage(str(error), as_json)
    with console.answer(as_json) as out:
        try:
            out.result(command(*bound.args, **bound.kwargs))
        except SlipwayError as error:
            return out.failure(error)
        except KeyboardInterrupt:
            return out.stopped()
        except Exception as error:  # noqa: BLE001 - a defect: shown whole, and still one JSON document
            return out.defect(error)
    return 0


def main() -> None:
    sys.exit(run(sys.argv[1:]))
