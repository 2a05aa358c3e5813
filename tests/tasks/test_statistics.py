from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tasks.errors import InsufficientEvidence
from tasks.metrics import METRICS
from tasks.statistics import Predictions, all_classes, statistic

N = 300
NAMES = {2: np.array(["no", "yes"], dtype=object), 4: np.array(["a", "b", "c", "d"], dtype=object)}


def drawn(k: int, ties: bool, seed: int = 0) -> tuple[np.ndarray, Predictions]:
    """(n,) true labels and predictions that know something about them; `ties`: many equal probabilities."""
    generator = np.random.default_rng(seed)
    true = generator.integers(0, k, N)
    raw = generator.random((N, k)) + 0.7 * np.eye(k)[true]
    if ties:
        raw = np.round(raw * 4) + 1
    probability = raw / raw.sum(axis=1, keepdims=True)
    names = NAMES[k]
    return names[true], Predictions(names[probability.argmax(axis=1)], probability, tuple(names))


def one_vs_rest(score: Callable, y: np.ndarray, found: Predictions, weights: np.ndarray | None) -> float:
    """scikit-learn's binary `score`: of the last of two classes, or the mean over all."""
    chosen = range(len(found.classes)) if len(found.classes) > 2 else [1]
    each = [
        score((y == found.classes[at]).astype(int), found.probability[:, at], sample_weight=weights)
        for at in chosen
    ]
    return float(np.mean(each))


def f1(y: np.ndarray, found: Predictions, weights: np.ndarray | None) -> float:
    how = {"average": "macro"} if len(found.classes) > 2 else {"pos_label": found.classes[1]}
    return sk.f1_score(y, found.labels, sample_weight=weights, **how)


def brier(y: np.ndarray, found: Predictions, weights: np.ndarray | None) -> float:
    classes = list(found.classes)
    return -sk.brier_score_loss(y, found.probability, labels=classes, sample_weight=weights)


def of_labels(score: Callable, sign: int = 1) -> Callable:
    return lambda y, found, weights: sign * score(y, found.labels, sample_weight=weights)


REFERENCES: dict[str, Callable] = {
    "accuracy": of_labels(sk.accuracy_score),
    "balanced_accuracy": of_labels(sk.balanced_accuracy_score),
    "f1": f1,
    "roc_auc": lambda *case: one_vs_rest(sk.roc_auc_score, *case),
    "average_precision": lambda *case: one_vs_rest(sk.average_precision_score, *case),
    "neg_log_loss": lambda y, found, weights: (
        -sk.log_loss(y, found.probability, labels=list(found.classes), sample_weight=weights)
    ),
    "neg_brier_score": brier,
    "r2": of_labels(sk.r2_score),
    "neg_mean_absolute_error": of_labels(sk.mean_absolute_error, -1),
    "neg_root_mean_squared_error": of_labels(sk.root_mean_squared_error, -1),
}


def weights_of(kind: str) -> np.ndarray | None:
    generator = np.random.default_rng(1)
    return {
        "none": None,
        "real": generator.random(N) + 0.1,
        "counts": np.bincount(generator.integers(0, N, N), minlength=N).astype(float),
        "mask": (np.arange(N) % 3 == 0).astype(float),
    }[kind]


@pytest.mark.parametrize("kind", ["none", "real", "counts", "mask"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("metric", [name for name, problem in METRICS.items() if problem == "classification"])
def test_classification_equals_scikit_learn(metric: str, k: int, ties: bool, kind: str) -> None:
    y, found = drawn(k, ties)
    weights = weights_of(kind)
    assert statistic(metric, y, found)(weights) == pytest.approx(
        REFERENCES[metric](y, found, weights), rel=1e-10
    )


@pytest.mark.parametrize("kind", ["none", "real", "counts", "mask"])
@pytest.mark.parametrize("metric", [name for name, problem in METRICS.items() if problem == "regression"])
def test_regression_equals_scikit_learn(metric: str, kind: str) -> None:
    generator = np.random.default_rng(2)
    y = generator.normal(size=N)
    found = Predictions(y + generator.normal(size=N))
    weights = weights_of(kind)
    assert statistic(metric, y, found)(weights) == pytest.approx(
        REFERENCES[metric](y, found, weights), rel=1e-10
    )


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(METRICS)), st.integers(0, 1000))
def test_a_weight_of_two_is_the_row_twice(metric: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 3, N)
    again = np.repeat(np.arange(N), counts)
    if METRICS[metric] == "classification":
        y, found = drawn(4, ties=True, seed=seed)
        twice = Predictions(found.labels[again], found.probability[again], found.classes)
    else:
        y = generator.normal(size=N)
        found = Predictions(y + generator.normal(size=N))
        twice = Predictions(found.labels[again])
    weighted, repeated = (
        statistic(metric, y, found)(counts.astype(float)),
        statistic(metric, y[again], twice)(None),
    )
    assert weighted == pytest.approx(repeated, rel=1e-9)


def test_no_weight_at_all_is_undefined() -> None:
    y, found = drawn(2, ties=False)
    for metric, problem in METRICS.items():
        if problem == "classification":
            assert np.isnan(statistic(metric, y, found)(np.zeros(N))), metric
        else:
            assert np.isnan(statistic(metric, np.arange(N), Predictions(np.arange(N)))(np.zeros(N))), metric


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
def test_a_class_without_rows_has_no_curve(metric: str) -> None:
    y, found = drawn(2, ties=False)
    only_no = (y == "no").astype(float)
    assert np.isnan(statistic(metric, y, found)(only_no))


def test_r2_of_a_target_that_does_not_vary_is_undefined() -> None:
    assert np.isnan(statistic("r2", np.ones(5), Predictions(np.zeros(5)))(None))


def test_models_with_different_classes_are_scored_under_the_same_ones() -> None:
    y, found = drawn(4, ties=False)
    y = np.where(y == "d", "a", y)  # no test row of the class that only one model knows
    narrow = Predictions(
        np.where(found.labels == "d", "a", found.labels), found.probability[:, :3], ("a", "b", "c")
    )
    classes = all_classes(y, found, narrow)
    assert classes == ["a", "b", "c", "d"]
    for metric in ("accuracy", "f1", "roc_auc", "neg_log_loss", "neg_brier_score"):
        for model in (found, narrow):
            assert np.isfinite(statistic(metric, y, model, classes)(None))


def test_a_class_that_the_model_does_not_know_costs_but_does_not_fail() -> None:
    y = np.array(["a", "b", "c", "c"], dtype=object)
    model = Predictions(
        np.array(["a", "b", "a", "b"], dtype=object), np.array([[0.9, 0.1], [0.2, 0.8]] * 2), ("a", "b")
    )
    assert statistic("neg_log_loss", y, model)(None) < -10
    assert statistic("roc_auc", y, model)(None) < 1
    assert statistic("accuracy", y, model)(None) == 0.5


def test_labels_may_be_of_any_kind() -> None:
    for labels in (
        np.array([0, 1, 1, 0]),
        np.array([False, True, True, False]),
        np.array([0.0, 1.0, 1.0, 0.0]),
    ):
        probability = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]])
        found = Predictions(labels, probability, tuple(np.unique(labels).tolist()))
        assert statistic("roc_auc", labels, found)(None) == 1.0
        assert statistic("f1", labels, found)(None) == 1.0


def test_a_metric_of_probabilities_needs_them() -> None:
    y, found = drawn(2, ties=False)
    with pytest.raises(InsufficientEvidence, match="no probabilities, which roc_auc needs"):
        statistic("roc_auc", y, Predictions(found.labels, None, found.classes))


def test_every_metric_of_the_table_is_here() -> None:
    y, found = drawn(2, ties=False)
    closures: list[Callable] = [
        statistic(metric, y, found)
        if problem == "classification"
        else statistic(metric, np.arange(N), Predictions(np.arange(N)))
        for metric, problem in METRICS.items()
    ]
    assert all(np.isfinite(closure(None)) for closure in closures)
