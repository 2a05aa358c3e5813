"""Search and fit. Pure: parameters and rows in, fitted pipelines and scores out; the flow runs them at once.

The test part is never seen here: a search, and the choice between candidates, score a validation part of the
training rows. Each `Fit` of `plan_fits` is a unit that can run at the same time as the others.
"""

import importlib
import itertools
import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.errors import TrainingError
from tasks.fit_warnings import collected_warnings
from tasks.pipelines import build, check
from tasks.spec import TARGET, CandidateSpec, ModelSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = [
    "Candidate", "Fit", "Scored", "best_of_each", "build", "check", "fit_and_validate", "fit_final",
    "parameter_sets", "plan_fits", "target_of", "warm_imports", "winner",
]  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """One parameter set of one candidate, to be scored on the validation rows."""

    candidate: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = ", ".join(f"{key}={value}" for key, value in self.parameters.items())
        return f"{self.candidate}({given})"


@dataclass(frozen=True)
class Scored:
    """A `Fit` and its score of the gate's metric on the validation rows."""

    fit: Fit
    score: float
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A pipeline fitted on all training rows.

    `parameters` are those that its search chose (empty without one); `validation_score` is None if there was
    nothing to choose.
    """

    name: str
    parameters: Mapping[str, Any]
    pipeline: Any
    validation_score: float | None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def warm_imports() -> None:
    """Imports everything that fitting needs. Call it before the first thread: lazy imports of scikit-learn
    in several threads at once end in `_DeadlockError`."""
    for module in (
        "matplotlib.figure",
        "pandas",
        "scipy.stats",
        "sklearn.compose",
        "sklearn.ensemble",
        "sklearn.impute",
        "sklearn.inspection",
        "sklearn.pipeline",
        "sklearn.preprocessing",
    ):
        importlib.import_module(module)


def parameter_sets(candidate: CandidateSpec) -> list[dict[str, Any]]:
    """The parameter sets of the candidate's search, always in the same order; one empty set without one.

    Random search takes `samples` different points of the grid, or the whole grid if it has no more.
    """
    search = candidate.search
    if search is None:
        return [{}]
    names = list(search.parameters)
    sizes = [len(search.parameters[name]) for name in names]
    total = math.prod(sizes)
    chosen: Iterable[int] = range(total)
    if search.samples is not None and search.samples < total:
        chosen = sorted(random.Random(search.seed).sample(range(total), search.samples))  # noqa: S311
    return [
        {name: search.parameters[name][index] for name, index in zip(names, _point(at, sizes), strict=True)}
        for at in chosen
    ]


def _point(at: int, sizes: Sequence[int]) -> list[int]:
    """Indices of the grid's point number `at`, the last parameter running fastest."""
    indices = []
    for size in reversed(sizes):
        at, index = divmod(at, size)
        indices.append(index)
    return indices[::-1]


def plan_fits(spec: ModelSpec) -> list[Fit]:
    """What to score on the validation rows; empty if one candidate without a search leaves no choice."""
    fits = [
        Fit(name, parameters)
        for name, candidate in spec.candidates.items()
        for parameters in parameter_sets(candidate)
    ]
    return fits if len(fits) > 1 else []


def target_of(frame: "pd.DataFrame") -> "np.ndarray[Any, Any]":
    """(n,) the target as scikit-learn takes it: objects only if they are strings."""
    values: np.ndarray[Any, Any] = frame[TARGET].infer_objects().to_numpy()
    return values


def fit_and_validate(
    spec: ModelSpec,
    fit: Fit,
    features: "pd.DataFrame",
    target: "np.ndarray[Any, Any]",
    fit_rows: "np.ndarray[Any, Any]",
    validation_rows: "np.ndarray[Any, Any]",
) -> Scored:
    """Fits on `fit_rows` and scores on `validation_rows` (masks or indices of rows of `features`).

    Raises TrainingError, naming the candidate and its parameters, if scikit-learn refuses the data.
    """
    from tasks.evidence import predict
    from tasks.statistics import statistic

    pipeline, seconds, warnings = _fitted(spec, fit, features.iloc[fit_rows], target[fit_rows])
    predictions = predict(pipeline, features.iloc[validation_rows])
    score = statistic(spec.gate.metric, target[validation_rows], predictions)(None)
    return Scored(fit, score, seconds, warnings)


def best_of_each(spec: ModelSpec, scored: Iterable[Scored]) -> dict[str, Scored | None]:
    """For each candidate its best parameter set, None where nothing was scored. Ties go to the earlier one.

    Raises TrainingError if all of a candidate's scores are not finite.
    """
    found = list(scored)
    if not found:
        return dict.fromkeys(spec.candidates)
    order = {str(fit): place for place, fit in enumerate(plan_fits(spec))}
    found.sort(key=lambda one: order[str(one.fit)])
    best: dict[str, Scored | None] = {}
    for name, group in itertools.groupby(found, key=lambda one: one.fit.candidate):
        finite = [one for one in group if math.isfinite(one.score)]
        if not finite:
            raise TrainingError(
                f"candidate {name!r}",
                f"no parameter set has a finite {spec.gate.metric} on the validation rows",
                "Give more rows, or another metric.",
            )
        best[name] = max(finite, key=lambda one: one.score)
    return best


def winner(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate with the best validation score (the first of equals), or the only one."""
    if len(candidates) == 1:
        return candidates[0]
    for one in candidates:
        if one.validation_score is None:
            raise TrainingError(
                f"candidate {one.name!r}", "has no validation score to choose by", "Score it first."
            )
    return max(candidates, key=lambda one: one.validation_score or 0.0)


def fit_final(
    spec: ModelSpec,
    candidate: str,
    best: Scored | None,
    features: "pd.DataFrame",
    target: "np.ndarray[Any, Any]",
) -> Candidate:
    """Fits `candidate` with its best parameters on all training rows (`features`, `target`)."""
    only = parameter_sets(spec.candidates[candidate])[0]
    chosen = best.fit if best is not None else Fit(candidate, only)
    pipeline, seconds, warnings = _fitted(spec, chosen, features, target)
    score = best.score if best is not None else None
    return Candidate(candidate, chosen.parameters, pipeline, score, seconds, warnings)


def _fitted(
    spec: ModelSpec, fit: Fit, features: "pd.DataFrame", target: "np.ndarray[Any, Any]"
) -> tuple[Any, float, tuple[str, ...]]:
    pipeline = build(spec, fit.candidate, fit.parameters)
    started = time.perf_counter()
    with collected_warnings() as seen:
        try:
            pipeline.fit(features[list(spec.columns)], target)
        except (ValueError, TypeError, ArithmeticError, MemoryError) as error:
            raise TrainingError(
                f"candidate {fit}",
                f"could not be fitted on {len(features)} rows ({type(error).__name__}: {error})",
                "Change its parameters or encoders in the spec, or drop it.",
            ) from error
    return pipeline, time.perf_counter() - started, tuple(dict.fromkeys(seen))
