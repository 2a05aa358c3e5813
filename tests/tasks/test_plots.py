import io
from concurrent.futures import ThreadPoolExecutor

import matplotlib.image
import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from tasks.evidence import Predictions, predict
from tasks.plots import (
    IMPORTANCE_CALLS,
    IMPORTANCE_ROWS,
    calibration,
    confusion_matrix,
    importances,
    plots,
    residuals,
)
from tasks.spec import TARGET
from tasks.training import build, target_of
from tests.tasks.specs import frame_of, spec_of

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("problem", "classes", "names"),
    [
        ("classification", 2, {"confusion_matrix", "calibration", "permutation_importance"}),
        ("classification", 4, {"confusion_matrix", "calibration", "permutation_importance"}),
        ("regression", 0, {"residuals", "permutation_importance"}),
    ],
)
def test_every_problem_has_its_pictures(problem: str, classes: int, names: set[str]) -> None:
    spec = spec_of(problem)
    frame = frame_of(300, problem, classes=classes)
    pipeline = build(spec, "first").fit(frame[list(spec.columns)], target_of(frame))
    pictures = plots(spec, pipeline, frame, frame[TARGET], predict(pipeline, frame))
    assert set(pictures) == names
    for png in pictures.values():
        assert png.startswith(PNG)
        assert len(png) < 60_000
        assert matplotlib.image.imread(io.BytesIO(png)).shape[2] == 4
    assert matplotlib.pyplot.get_fignums() == []


def test_pictures_are_the_same_again_also_from_threads() -> None:
    spec = spec_of()
    frame = frame_of(300)
    pipeline = build(spec, "first").fit(frame[list(spec.columns)], target_of(frame))
    found = predict(pipeline, frame)
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: plots(spec, pipeline, frame, frame[TARGET], found), range(4)))
    assert all(one == several[0] for one in several)


def test_a_model_without_probabilities_has_no_calibration() -> None:
    spec = spec_of(candidates={"first": {"estimator": "sklearn.svm.LinearSVC"}})
    frame = frame_of(300)
    pipeline = build(spec, "first").fit(frame[list(spec.columns)], target_of(frame))
    pictures = plots(spec, pipeline, frame, frame[TARGET], predict(pipeline, frame))
    assert set(pictures) == {"confusion_matrix", "permutation_importance"}


def test_hundreds_of_classes_and_a_hundred_thousand_rows_still_give_small_pictures() -> None:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 300, 5000)
    probability = generator.random((5000, 300))
    found = Predictions(y, probability / probability.sum(axis=1, keepdims=True), tuple(range(300)))
    assert len(confusion_matrix(y, found)) < 60_000
    assert len(calibration(y, found)) < 60_000
    values = generator.normal(size=100_000)
    assert len(residuals(values, values + 1)) < 60_000


def test_the_column_that_matters_is_the_most_important_one() -> None:
    spec = spec_of()
    frame = frame_of(2000)
    pipeline = build(spec, "first").fit(frame[list(spec.columns)], target_of(frame))
    columns, means, _ = importances(spec, pipeline, frame, target_of(frame))
    assert columns == list(spec.columns)
    assert columns[int(means.argmax())] == "size"
    assert means[columns.index("colour")] > means[columns.index("count")]


class Counting(LogisticRegression):
    """Counts the rows that it is asked about."""

    asked = 0

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        Counting.asked += len(X)
        return super().predict_proba(X)


def test_permutation_importance_has_a_bounded_cost() -> None:
    columns = {f"c{i}": {"type": "float64"} for i in range(80)}
    spec = spec_of(columns=columns, gate={"metric": "roc_auc", "minimum": 0.5})
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(20_000, 80)), columns=list(columns))
    y = np.where(frame["c0"] > 0, "a", "b").astype(object)
    pipeline = Pipeline([*build(spec, "first").steps[:-1], ("model", Counting())]).fit(frame, y)
    importances(spec, pipeline, frame, y)
    assert 80 * IMPORTANCE_ROWS <= Counting.asked <= (IMPORTANCE_CALLS + 1) * IMPORTANCE_ROWS
