"""Each metric as a function of weights: one mechanism for the total, for slices and for the bootstrap.

A statistic maps weights, None or (n,) non-negative, to a score, higher is better, NaN where the metric is
undefined. What does not depend on the weights (sorting by score above all) is done once. Sums are numpy's
own, not BLAS products: those would spread each small one over threads, which fits that run at once need.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.errors import InsufficientEvidence
from tasks.metrics import NEEDS_PROBABILITY

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Weights = np.ndarray[Any, Any] | None
    Statistic = Callable[[Weights], float]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a fitted pipeline says about n rows.

    `labels` (n,): classes, or values of a regression. `probability` (n, k) in the order of `classes`, None if
    the pipeline gives none; `classes` is empty for a regression.
    """

    labels: "Array"
    probability: "Array | None" = None
    classes: tuple[Any, ...] = ()


def statistic(
    metric: str, y: "Array", predictions: Predictions, classes: Sequence[Any] | None = None
) -> "Statistic":
    """The `metric` of `predictions` against the true `y` (n,), as a function of weights.

    `classes` are all that count, sorted; by default those of `y` and of the predictions. Two models are
    compared under the same `classes`. Raises InsufficientEvidence if the metric needs probabilities and there
    are none.
    """
    import numpy as np

    y = np.asarray(y)
    if metric in REGRESSION:
        labels = predictions.labels.astype(np.float64)
        return REGRESSION[metric](y.astype(np.float64), labels)
    known = list(classes) if classes is not None else all_classes(y, predictions)
    true = codes(y, known)
    if metric in NEEDS_PROBABILITY:
        if predictions.probability is None:
            raise InsufficientEvidence(
                "predictions", f"hold no probabilities, which {metric} needs", "Use a model that gives them."
            )
        return PROBABILITY[metric](true, _aligned(predictions, known))
    return LABELS[metric](true, codes(predictions.labels, known), len(known))


def all_classes(y: "Array", *predictions: Predictions) -> list[Any]:
    """Sorted classes of the true values and of every model."""
    import pandas as pd

    found = set(pd.unique(y).tolist())
    for one in predictions:
        found.update(one.classes)
        found.update(pd.unique(one.labels).tolist())
    return sorted(found, key=lambda label: (isinstance(label, str), label))  # two models may differ in kind


def codes(labels: "Array", classes: Sequence[Any]) -> "Array":
    """(n,) place of each label in `classes`."""
    import numpy as np
    import pandas as pd

    place = {label: index for index, label in enumerate(classes)}
    inverse, distinct = pd.factorize(labels)  # by hashing: sorting strings is ten times as slow
    found: Array = np.asarray([place[label] for label in distinct.tolist()], dtype=np.int64)[inverse]
    return found


def _aligned(predictions: Predictions, classes: Sequence[Any]) -> "Array":
    """(n, k) probabilities in the order of `classes`; 0 for a class that the model does not know."""
    import numpy as np

    if predictions.probability is None:
        raise ValueError("there are no probabilities")
    if list(predictions.classes) == list(classes):
        return predictions.probability
    wide = np.zeros((len(predictions.labels), len(classes)))
    for column, label in enumerate(predictions.classes):
        wide[:, classes.index(label)] = predictions.probability[:, column]
    return wide


def _mean(values: "Array") -> "Statistic":
    """Weighted mean of a score per row."""

    def score(weights: "Weights") -> float:
        total = len(values) if weights is None else float(weights.sum())
        if total == 0:
            return float("nan")
        return float(values.sum() if weights is None else (values * weights).sum()) / total

    return score


def _accuracy(true: "Array", found: "Array", k: int) -> "Statistic":
    import numpy as np

    return _mean((true == found).astype(np.float64))


def _counts(cells: "Array", weights: "Weights", size: int) -> "Array":
    import numpy as np

    return np.bincount(cells, weights=weights, minlength=size)


def _balanced_accuracy(true: "Array", found: "Array", k: int) -> "Statistic":
    """Mean recall over the classes that occur."""
    cells = true * k + found

    def score(weights: "Weights") -> float:
        table = _counts(cells, weights, k * k).reshape(k, k)
        rows = table.sum(axis=1)
        occur = rows > 0
        return float((table.diagonal()[occur] / rows[occur]).mean()) if occur.any() else float("nan")

    return score


def _f1(true: "Array", found: "Array", k: int) -> "Statistic":
    """Two classes: F1 of the last one. More: mean over the classes that occur, or are predicted."""
    cells = true * k + found

    def score(weights: "Weights") -> float:
        table = _counts(cells, weights, k * k).reshape(k, k)
        if table.sum() == 0:
            return float("nan")
        both = table.sum(axis=0) + table.sum(axis=1)
        hits = 2 * table.diagonal()
        if k == 2:
            return float(hits[1] / both[1]) if both[1] > 0 else 0.0
        occur = both > 0
        return float((hits[occur] / both[occur]).mean())

    return score


def _one_vs_rest(
    curve: "Callable[[Array, Array], Statistic]",
) -> "Callable[[Array, Array], Statistic]":
    """Two classes: the curve of the last one. More: mean over the classes that have a curve."""

    def make(true: "Array", probability: "Array") -> "Statistic":
        import numpy as np

        k = probability.shape[1]
        if k == 2:
            return curve(true == 1, probability[:, 1])
        curves = [curve(true == label, probability[:, label]) for label in range(k)]

        def score(weights: "Weights") -> float:
            scores = np.asarray([one(weights) for one in curves])
            defined = scores[~np.isnan(scores)]
            return float(defined.mean()) if len(defined) else float("nan")

        return score

    return make


def _sorted_once(positive: "Array", scores: "Array") -> "Callable[[Weights], tuple[Array, Array]]":
    """Weights -> cumulated weights of positives and of all rows, from the highest score down, at the end of
    each run of equal scores."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    positives = positive[order].astype(np.float64)
    ordered = scores[order]
    ends = np.append(np.nonzero(np.diff(ordered))[0], len(ordered) - 1)
    all_differ = len(ends) == len(ordered)

    def cumulated(weights: "Weights") -> tuple["Array", "Array"]:
        if weights is None:
            hits, rows = np.cumsum(positives), np.arange(1.0, len(order) + 1)
        else:
            taken = weights[order].astype(np.float64)
            hits, rows = np.cumsum(positives * taken), np.cumsum(taken)
        return (hits, rows) if all_differ else (hits[ends], rows[ends])

    return cumulated


def _roc_auc(positive: "Array", scores: "Array") -> "Statistic":
    """Area under the curve by the trapezoid rule; NaN if one of the two sides has no weight."""
    import numpy as np

    cumulated = _sorted_once(positive, scores)

    def score(weights: "Weights") -> float:
        hits, rows = cumulated(weights)
        misses = rows - hits
        positives, negatives = hits[-1], misses[-1]
        if positives <= 0 or negatives <= 0:
            return float("nan")
        area = hits[0] * misses[0] + (np.diff(misses) * (hits[1:] + hits[:-1])).sum()
        return float(area / (2 * positives * negatives))

    return score


def _average_precision(positive: "Array", scores: "Array") -> "Statistic":
    """Sum over thresholds of (rise of recall) x precision; NaN if there are no positives."""
    import numpy as np

    cumulated = _sorted_once(positive, scores)

    def score(weights: "Weights") -> float:
        hits, rows = cumulated(weights)
        if hits[-1] <= 0:
            return float("nan")
        rises = np.diff(hits, prepend=0.0)
        used = rows > 0
        return float((rises[used] * hits[used] / rows[used]).sum() / hits[-1])

    return score


def _log_loss(true: "Array", probability: "Array") -> "Statistic":
    import numpy as np

    tiny = np.finfo(probability.dtype).eps
    chosen = probability[np.arange(len(true)), true] / probability.sum(axis=1)
    return _mean(np.log(np.clip(chosen, tiny, 1 - tiny)))


def _brier(true: "Array", probability: "Array") -> "Statistic":
    """Mean squared distance of the probabilities from the truth; halved for two classes."""
    import numpy as np

    k = probability.shape[1]
    distance: Array = ((probability - np.eye(k)[true]) ** 2).sum(axis=1)
    return _mean(-distance / 2 if k == 2 else -distance)


def _r2(y: "Array", found: "Array") -> "Statistic":
    """1 - residual / total sum of squares; NaN if `y` does not vary."""
    import numpy as np

    residual = (y - found) ** 2

    def score(weights: "Weights") -> float:
        if weights is None:
            weights = np.ones(len(y))
        if weights.sum() <= 0:
            return float("nan")
        total = float((weights * (y - np.average(y, weights=weights)) ** 2).sum())
        return 1.0 - float((weights * residual).sum()) / total if total > 0 else float("nan")

    return score


def _absolute_error(y: "Array", found: "Array") -> "Statistic":
    return _mean(-abs(y - found))


def _root_squared_error(y: "Array", found: "Array") -> "Statistic":
    mean = _mean((y - found) ** 2)
    return lambda weights: -(mean(weights) ** 0.5)


REGRESSION: "dict[str, Callable[[Array, Array], Statistic]]" = {
    "r2": _r2,
    "neg_mean_absolute_error": _absolute_error,
    "neg_root_mean_squared_error": _root_squared_error,
}
LABELS: "dict[str, Callable[[Array, Array, int], Statistic]]" = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
}
PROBABILITY: "dict[str, Callable[[Array, Array], Statistic]]" = {
    "roc_auc": _one_vs_rest(_roc_auc),
    "average_precision": _one_vs_rest(_average_precision),
    "neg_log_loss": _log_loss,
    "neg_brier_score": _brier,
}
