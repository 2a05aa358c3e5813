"""Pictures of a fitted pipeline's test rows, as PNG bytes by name.

Figures are made without pyplot, so nothing is shared between threads and nothing stays open.
"""

import io
from typing import TYPE_CHECKING, Any

from tasks.evidence import Predictions
from tasks.spec import ModelSpec
from tasks.statistics import all_classes, codes, statistic

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from tasks.statistics import Array

DPI = 80
IMPORTANCE_ROWS = 2_000
IMPORTANCE_REPEATS = 5
IMPORTANCE_CALLS = 200
"""At most so many predictions of `IMPORTANCE_ROWS` rows: with more columns there are fewer repeats."""
POINTS = 2_000
"""At most so many points in the picture of residuals."""
SHOWN_CLASSES = 20
SEED = 0


def plots(
    spec: ModelSpec, pipeline: Any, frame: "pd.DataFrame", y: "Array", predictions: Predictions
) -> dict[str, bytes]:
    """name -> PNG for the n test rows of `frame` with target `y` (n,): confusion matrix and calibration for a
    classification, residuals for a regression, permutation importance for both."""
    import numpy as np

    y = np.asarray(y)
    pictures: dict[str, bytes] = {}
    if spec.problem == "classification":
        pictures["confusion_matrix"] = confusion_matrix(y, predictions)
        if predictions.probability is not None:
            pictures["calibration"] = calibration(y, predictions)
    else:
        pictures["residuals"] = residuals(y.astype(np.float64), predictions.labels.astype(np.float64))
    names, means, deviations = importances(spec, pipeline, frame, y)
    pictures["permutation_importance"] = importance(spec.gate.metric, names, means, deviations)
    return pictures


def confusion_matrix(y: "Array", predictions: Predictions) -> bytes:
    """Share of each true class (rows) that was predicted as each class; the most frequent classes only."""
    import numpy as np

    classes = all_classes(y, predictions)
    k = len(classes)
    table = np.bincount(codes(y, classes) * k + codes(predictions.labels, classes), minlength=k * k).reshape(
        k, k
    )
    shown = np.sort(np.argsort(-table.sum(axis=1), kind="stable")[:SHOWN_CLASSES])
    names = [str(classes[index]) for index in shown]
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(width=max(4.5, 0.45 * len(shown) + 2), height=max(4.0, 0.4 * len(shown) + 1.5))
    axes.imshow(share[np.ix_(shown, shown)], vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(shown)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(shown)), names)
    if len(shown) <= 10:
        for row, true in enumerate(shown):
            for column, found in enumerate(shown):
                colour = "white" if share[true, found] > 0.5 else "black"
                axes.text(column, row, f"{table[true, found]}", ha="center", va="center", color=colour)
    left_out = f" (the {len(shown)} most frequent of {k} classes)" if len(shown) < k else ""
    _label(axes, f"Confusion matrix{left_out}", "predicted", "true")
    return _png(figure)


def calibration(y: "Array", predictions: Predictions, bins: int = 10) -> bytes:
    """Observed share against predicted probability: of the last class, or one curve a class."""
    import numpy as np

    if predictions.probability is None:
        raise ValueError("calibration needs probabilities")
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    k = len(predictions.classes)
    wanted = [1] if k == 2 else list(range(min(k, 10)))
    for index in wanted:
        label = predictions.classes[index]
        probability = predictions.probability[:, index]
        place = np.minimum((probability * bins).astype(np.int64), bins - 1)
        rows = np.bincount(place, minlength=bins)
        used = rows > 0
        predicted = np.bincount(place, weights=probability, minlength=bins)[used] / rows[used]
        observed = np.bincount(place, weights=(y == label).astype(float), minlength=bins)[used] / rows[used]
        axes.plot(predicted, observed, marker="o", markersize=4, linewidth=1, label=str(label))
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize=8)
    left_out = f" (first {len(wanted)} of {k} classes)" if len(wanted) < k and k > 2 else ""
    _label(axes, f"Calibration{left_out}", "predicted probability", "observed share")
    return _png(figure)


def residuals(y: "Array", found: "Array") -> bytes:
    """True minus predicted value against the predicted one, for a sample of the rows."""
    import numpy as np

    chosen = np.random.default_rng(SEED).permutation(len(y))[:POINTS]
    figure, axes = _figure()
    axes.scatter(found[chosen], (y - found)[chosen], s=6, alpha=0.5, linewidths=0)
    axes.axhline(0, color="grey", linewidth=1, linestyle="--")
    of = f" ({len(chosen)} of {len(y)} test rows)" if len(chosen) < len(y) else ""
    _label(axes, f"Residuals{of}", "predicted", "true - predicted")
    return _png(figure)


def importances(
    spec: ModelSpec, pipeline: Any, frame: "pd.DataFrame", y: "Array"
) -> tuple[list[str], "Array", "Array"]:
    """(columns, mean loss, standard deviation) of the gate's metric when a column is shuffled.

    On a sample of at most `IMPORTANCE_ROWS` rows; the prepared columns are shuffled, not the encoded ones.
    """
    import numpy as np
    from sklearn.inspection import permutation_importance

    from tasks.evidence import predict

    columns = list(spec.columns)
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(y))[:IMPORTANCE_ROWS])
    classes = all_classes(y, Predictions(y)) if spec.problem == "classification" else None

    def score(model: Any, features: "pd.DataFrame", target: "Array") -> float:
        found = predict(model, features)
        known = None if classes is None else sorted({*classes, *found.classes})
        return statistic(spec.gate.metric, target, found, known)(None)

    found = permutation_importance(
        pipeline,
        frame[columns].iloc[chosen],
        y[chosen],
        scoring=score,
        n_repeats=max(1, min(IMPORTANCE_REPEATS, IMPORTANCE_CALLS // len(columns))),
        random_state=SEED,
    )
    return columns, found.importances_mean, found.importances_std


def importance(metric: str, columns: list[str], means: "Array", deviations: "Array") -> bytes:
    """The columns whose shuffling costs most, at most 25 of them."""
    import numpy as np

    order = np.argsort(-means, kind="stable")[:25][::-1]
    figure, axes = _figure(height=max(2.5, 0.24 * len(order) + 1.2))
    axes.barh(range(len(order)), means[order], xerr=deviations[order], color="steelblue")
    axes.set_yticks(range(len(order)), [columns[index] for index in order], fontsize=8)
    _label(axes, "Permutation importance", f"loss of {metric} when the column is shuffled", "")
    return _png(figure)


def _figure(width: float = 5.5, height: float = 4.0) -> tuple[Any, "Axes"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _label(axes: "Axes", title: str, below: str, left: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(below, fontsize=9)
    axes.set_ylabel(left, fontsize=9)


def _png(figure: Any) -> bytes:
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})
    figure.clear()
    return written.getvalue()
