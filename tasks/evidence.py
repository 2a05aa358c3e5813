"""Collects what the gate sees: scores of candidate and champion on the same test rows.

The interval of (candidate - champion) is a paired percentile bootstrap: rows are drawn with replacement, the
same draw for both models (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13). A
draw is a vector of how often each row was drawn, given to each model's statistic as weights.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tasks.errors import InsufficientEvidence
from tasks.gate import Evidence, SliceEvidence
from tasks.metrics import METRICS
from tasks.spec import GateSpec, ModelSpec
from tasks.statistics import Predictions, all_classes, statistic

if TYPE_CHECKING:
    import pandas as pd

    from tasks.statistics import Array, Statistic

__all__ = ["Predictions", "all_metrics", "collect", "paired_interval", "predict", "statistic"]

SEED = 20_260_101
"""Of the bootstrap's draws: fixed, so that the same predictions always give the same decision."""
SMALL_SLICES = 50
"""At most so many values a column with too few rows to judge are reported."""


def predict(pipeline: Any, frame: "pd.DataFrame") -> Predictions:
    """What a fitted `pipeline` says about the rows of `frame` (which may have more columns than it takes)."""
    import numpy as np
    from slipway_model_server.predictor import Predictor

    labels, probability = Predictor(pipeline)(frame[list(pipeline.feature_names_in_)])
    classes = tuple(pipeline.classes_.tolist()) if hasattr(pipeline, "classes_") else ()
    return Predictions(np.asarray(labels), probability, classes)


def collect(
    spec: ModelSpec,
    frame: "pd.DataFrame",
    y: "Array",
    candidate: Predictions,
    champion: Predictions | None = None,
    champion_problem: str | None = None,
) -> Evidence:
    """The evidence on the n test rows of `frame` (the spec's columns and slice columns), target `y` (n,).

    `champion` is None for a first model, or if `champion_problem` says why it cannot be judged. What cannot
    be computed is named in the evidence, never raised: the gate decides what it means.
    """
    import numpy as np

    y = np.asarray(y)
    gate = spec.gate
    problems: list[str] = []
    has_champion = champion is not None or champion_problem is not None
    if len(y) == 0:
        return Evidence(
            metric=gate.metric, rows=0, candidate=None, has_champion=has_champion,
            champion_problem=champion_problem, problems=("There are no test rows to judge on.",),
        )  # fmt: skip
    models = [one for one in (candidate, champion) if one is not None]
    classes = all_classes(y, *models) if METRICS[gate.metric] == "classification" else None
    ours = _statistic(gate.metric, y, candidate, classes, "candidate", problems)
    theirs = None
    if champion is not None and champion_problem is None:
        theirs = _statistic(gate.metric, y, champion, classes, "champion", problems)
    interval = None
    if ours is not None and theirs is not None and not problems:
        interval = paired_interval(ours, theirs, len(y), gate, problems)
    slices, left_out = _slices(gate, frame, y, candidate, champion if theirs else None, classes, problems)
    return Evidence(
        metric=gate.metric,
        rows=len(y),
        candidate=_score(ours),
        has_champion=has_champion,
        champion=_score(theirs),
        interval=interval,
        confidence=gate.confidence,
        resamples=gate.resamples if theirs is not None else 0,
        slices=tuple(slices),
        unreported_slices=left_out,
        champion_problem=champion_problem,
        problems=tuple(problems),
    )


def all_metrics(spec: ModelSpec, y: "Array", predictions: Predictions) -> dict[str, float]:
    """Every metric of the spec's problem that these predictions allow and that is defined on these rows."""
    scores = {}
    for metric, problem in METRICS.items():
        if problem == spec.problem:
            try:
                score = statistic(metric, y, predictions)(None)
            except InsufficientEvidence:  # needs probabilities, which this model does not give
                continue
            if math.isfinite(score):
                scores[metric] = score
    return scores


def paired_interval(
    ours: "Statistic", theirs: "Statistic", n: int, gate: GateSpec, problems: list[str]
) -> tuple[float, float] | None:
    """The interval of (ours - theirs) over `gate.resamples` draws of n rows.

    None, with a line added to `problems`, if the metric is undefined for any draw.
    """
    import numpy as np

    generator = np.random.default_rng(SEED)
    differences = np.empty(gate.resamples)
    for index in range(gate.resamples):
        drawn = np.bincount(generator.integers(0, n, n, dtype=np.int32), minlength=n).astype(np.float64)
        differences[index] = ours(drawn) - theirs(drawn)
    undefined = int((~np.isfinite(differences)).sum())
    if undefined:
        problems.append(
            f"{gate.metric} is undefined in {undefined} of {gate.resamples} bootstrap draws of the {n} test "
            "rows: a class is too rare, or the target hardly varies."
        )
        return None
    tail = (1 - gate.confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return float(low), float(high)


def _statistic(
    metric: str, y: "Array", model: Predictions, classes: list[Any] | None, who: str, problems: list[str]
) -> "Statistic | None":
    """The model's statistic; None, with a line added to `problems`, if it cannot be computed or is NaN."""
    import numpy as np

    output = model.probability if model.probability is not None else model.labels
    if output.dtype.kind == "f" and not np.isfinite(output).all():
        problems.append(f"The {who} predicts values that are not finite.")
        return None
    try:
        found = statistic(metric, y, model, classes)
    except InsufficientEvidence as error:
        problems.append(f"The {who}: {error}")
        return None
    if not math.isfinite(found(None)):
        problems.append(f"The {who}'s {metric} on the {len(y)} test rows is not a finite number.")
        return None
    return found


def _score(found: "Statistic | None") -> float | None:
    return None if found is None else found(None)


def _slices(
    gate: GateSpec,
    frame: "pd.DataFrame",
    y: "Array",
    candidate: Predictions,
    champion: Predictions | None,
    classes: list[Any] | None,
    problems: list[str],
) -> tuple[list[SliceEvidence], int]:
    """One entry a value of each slice column, largest first, and how many small ones were left out."""
    found: list[SliceEvidence] = []
    left_out = 0
    for column, floor in gate.slices.items():
        if column not in frame:
            problems.append(f"The test rows have no column {column}, which gate.slices names.")
            continue
        small = 0
        for value, rows in _groups(frame[column]):
            judged = len(rows) >= gate.slice_rows
            small += not judged
            if small > SMALL_SLICES:
                left_out += 1
                continue
            ours = _part_score(gate.metric, y, candidate, rows, classes)
            theirs = None if champion is None else _part_score(gate.metric, y, champion, rows, classes)
            found.append(
                SliceEvidence(
                    column=column, value=value, rows=len(rows), candidate=ours, champion=theirs,
                    floor=floor, judged=judged,
                )
            )  # fmt: skip
    return found, left_out


def _groups(values: "pd.Series[Any]") -> Iterator[tuple[str, "Array"]]:
    """(value as text, indices of its rows), the largest group first."""
    groups = values.reset_index(drop=True).groupby(values.to_numpy(), dropna=False).indices
    for value in sorted(groups, key=lambda one: (-len(groups[one]), str(one))):
        yield ("missing" if str(value) in ("None", "nan", "NaT", "<NA>") else str(value)), groups[value]


def _part_score(
    metric: str, y: "Array", model: Predictions, rows: "Array", classes: list[Any] | None
) -> float | None:
    probability = None if model.probability is None else model.probability[rows]
    part = Predictions(model.labels[rows], probability, model.classes)
    try:
        score = statistic(metric, y[rows], part, classes)(None)
    except InsufficientEvidence:  # already named for the whole
        return None
    return score if math.isfinite(score) else None
