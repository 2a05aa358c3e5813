"""The commands on a cluster: each creates a run of a deployment there, and follows it to its result."""

from collections.abc import Mapping
from typing import Any

from flows import console
from flows.trigger import trigger
from tasks.compute import choose, entries
from tasks.errors import PlatformError, SpecError
from tasks.reach import reached
from tasks.releasing import check_force
from tasks.spec import Engine, ModelSpec, load_spec


def retrain(model: str, engine: Engine | None, force: bool) -> console.Retrained:
    spec = deployed_spec(model)
    with reached("Prefect") as found:
        name = choose("retrain", spec, engine, entries(found.prefect_url, "retrain")).name
        result = followed("retrain", name, engine=engine, force=force or None)
    return console.Retrained(result, result.release.curl if result.release else "")


def release(model: str, version: int | None, force: bool, reason: str) -> Any:
    spec = deployed_spec(model)
    check_force(version, force, reason)
    return followed("release", spec.name, version=version, force=force or None, reason=reason or None)


def rollback(model: str, reason: str) -> Any:
    spec = deployed_spec(model)
    if not reason.strip():
        raise SpecError("--reason", "is empty", "Say why: it is kept with the version.")
    return followed("rollback", spec.name, reason=reason)


def score(model: str, destination: str, sources: Mapping[str, str], engine: Engine | None) -> Any:
    spec = deployed_spec(model)
    for name, uri in {"destination": destination, **sources}.items():
        if not uri.startswith(("s3://", "store://")):
            raise SpecError(
                f"{name} {uri!r}",
                "is on this machine, which the cluster cannot read or write",
                "Give s3:// or store://.",
            )
    with reached("Prefect") as found:
        name = choose("score", spec, engine, entries(found.prefect_url, "score")).name
        return followed("score", name, destination=destination, sources=dict(sources) or None, engine=engine)


def deployed_spec(model: str) -> ModelSpec:
    """The spec of `model`, as it lies here. SpecError for one given by path: a pod has only what its image has."""
    if model.endswith((".yaml", ".yml")) or "/" in model:
        raise SpecError(
            model,
            "is a path, and a cluster runs what its image holds",
            "Put the spec into deployments/models/, add it to prefect.yaml, and run `slipway deploy`.",
        )
    return load_spec(model)


def followed(flow: str, deployment: str, **parameters: Any) -> Any:
    """The result of a run with those of `parameters` that are not None."""
    given = {name: value for name, value in parameters.items() if value is not None}
    try:
        ended = trigger(flow, deployment, say=console.say, **given)
    except KeyboardInterrupt:
        console.say(f"The run of {flow}/{deployment} goes on; `prefect flow-run cancel` ends it.")
        raise
    if ended.result is None:
        raise PlatformError(
            ended.run, f"completed, but left no result ({ended.message})", f"Its log: {ended.url}"
        )
    return ended.result
