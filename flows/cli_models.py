"""The commands for one model. On a cluster a run of the model's deployment does it; here, this process."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from flows import console
from tasks.errors import SpecError

if TYPE_CHECKING:
    from tasks.results import RetrainResult

Engine = Literal["pandas", "polars", "spark"]
Json = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON document, and nothing else.")
]
Model = Annotated[str, Parameter(help="Name of a spec in deployments/models/, or path of a spec file.")]


def retrain(model: Model, *, engine: Engine | None = None, force: bool = False, json: Json = False) -> Any:
    """Train, judge and, if the gate says so, release a model.

    Parameters
    ----------
    engine
        What prepares the data, instead of the spec's engine.
    force
        Also when nothing changed since the last completed run.
    """
    if _on_cluster(model):
        from flows import remote

        return remote.retrain(model, engine, force)
    prepare("Prefect", "MLflow", "model")
    from flows.retrain import retrain as flow  # gives back what its state holds
    from tasks.asking import curl_line

    result: RetrainResult = cast(Any, flow)(model, engine=engine, force=force)
    return console.Retrained(result, curl_line(result.model))


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
    if _on_cluster(model):
        from flows import remote

        return remote.release(model, version, force, reason)
    prepare("Prefect", "MLflow", "model")
    from flows.release import release as flow

    return flow(model, version, force=force, reason=reason)


def rollback(model: Model, *, reason: str = "rolled back by hand", json: Json = False) -> Any:
    """Back to the previous live version; retrains release nothing more until `slipway release`.

    Parameters
    ----------
    reason
        Kept with the version that is left.
    """
    if _on_cluster(model):
        from flows import remote

        return remote.rollback(model, reason)
    prepare("Prefect", "MLflow", "model")
    from flows.rollback import rollback as flow

    return flow(model, reason)


def live(model: Model | None = None, *, json: Json = False) -> Any:
    """Which version of each model really answers, where, and whether all that is known of it fits together."""
    from tasks.live import live as look
    from tasks.reach import reached

    with reached("MLflow", "model", "store"):
        if model is not None and model.endswith((".yaml", ".yml")):
            from tasks.spec import load_spec

            model = load_spec(model).name
        return console.Models(tuple(look(model)))


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
        Folder or s3:// prefix for the scores; store:// is below the platform's store.
    source
        NAME=URI, one for each source that is not to be the spec's.
    """
    sources = dict(map(named_uri, source or ()))
    if _on_cluster(model):
        from flows import remote

        return remote.score(model, destination, sources, engine)
    prepare("Prefect", "MLflow")
    from flows.score import score as flow

    return flow(model, destination, sources=sources or None, engine=engine)


def named_uri(given: str) -> tuple[str, str]:
    name, separator, uri = given.partition("=")
    if not (name and separator and uri):
        raise SpecError(f"--source {given!r}", "is not NAME=URI", "Name a source of the spec, and its place.")
    return name, uri


def _on_cluster(model: str) -> bool:
    """Whether the platform is a cluster, where `remote` refuses a bad spec; here it is refused at once."""
    from tasks.settings import settings
    from tasks.spec import load_spec

    if settings().platform == "cluster":
        return True
    load_spec(model)
    return False


def prepare(*servers: Literal["Prefect", "MLflow", "model"]) -> None:
    """Refuse a missing server within a moment, then point this process at the platform."""
    from tasks.reach import require
    from tasks.settings import connect

    require(*servers)
    connect()
    console.follow_flows()
