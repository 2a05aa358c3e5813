"""Which deployment runs a model on an engine: the pools differ in what their image holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import SpecError
from tasks.prefect_api import ask
from tasks.spec import Engine, ModelSpec

ENGINES: dict[str, tuple[Engine, ...]] = {"pandas": ("pandas", "polars"), "spark": ("spark",)}
"""The engines that each pool's flow runs have."""


@dataclass(frozen=True)
class Entry:
    """One registered deployment of a flow for a model; `engine` None: the spec's."""

    name: str
    pool: str
    model: str
    engine: Engine | None


def choose(flow: str, spec: ModelSpec, engine: Engine | None, entries: Sequence[Entry]) -> Entry:
    """Pure: the deployment for `spec` on `engine` (None: as the deployment, or else the spec, says).

    The one named after the model if its pool has the engine, or else another one of the model. SpecError if
    none has.
    """
    own = sorted((one for one in entries if one.model == spec.name), key=lambda one: one.name != spec.name)
    if not own:
        raise SpecError(
            f"model {spec.name}",
            f"has no deployment of the flow {flow} on this cluster",
            "Add one to prefect.yaml, and run `slipway deploy`.",
        )
    for one in own:
        if (engine or one.engine or spec.engine) in ENGINES.get(one.pool, ()) and (
            engine is None or one.engine in (None, engine)
        ):
            return one
    wanted = engine or own[0].engine or spec.engine
    pool = next(name for name, engines in ENGINES.items() if wanted in engines)
    raise SpecError(
        f"engine {wanted}",
        f"is in no pool that runs {flow} for {spec.name} "
        f"({'; '.join(f'{flow}/{one.name} runs in pool {one.pool}' for one in own)})",
        f"Add a deployment in the pool {pool} to prefect.yaml and run `slipway deploy`, or take another engine.",
    )


def entries(api: str, flow: str) -> list[Entry]:
    """Every deployment of `flow` at the Prefect server."""
    query = {"flows": {"name": {"any_": [flow]}}}
    found = ask("POST", f"{api}/deployments/filter", query).raise_for_status().json()
    return [entry(one) for one in found]


def entry(deployment: dict[str, Any]) -> Entry:
    parameters = deployment["parameters"] or {}
    return Entry(
        deployment["name"],
        deployment["work_pool_name"] or "",
        str(parameters.get("model") or ""),
        parameters.get("engine"),
    )
