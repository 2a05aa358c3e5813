"""Every entry of the table is fitted, stored with skops, checked as a server checks it, and loaded."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import is_classifier, is_regressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from slipway_model_server.estimators import DATE, DTYPE, ESTIMATORS, NAT, date_step, trusted_types
from slipway_model_server.predictor import Predictor
from slipway_model_server.trust import check_types

from tests.model_server import variants as data


def build(path: str, parameters: dict[str, Any]) -> Any:
    module, _, name = path.rpartition(".")
    kind = getattr(__import__(module, fromlist=[name]), name)
    known = kind().get_params() if "estimator" not in parameters and "estimators" not in parameters else {}
    return kind(**parameters, **({"random_state": 0} if known.get("random_state", 0) is None else {}))


def fitted(path: str) -> list[tuple[Pipeline, pd.DataFrame]]:
    """A fitted Pipeline and its data for every variant of `path`, and for two and three classes."""
    name = path.rpartition(".")[2]
    kind = ESTIMATORS[path].kind
    frame = data.gaps() if name in data.GIVEN_GAPS else data.numbers()
    if name in data.GIVEN_TEXTS:
        frame = data.categories()
    targets = [data.two_classes(), data.three_classes()] if kind == "classifier" else [data.values()]
    pipelines = []
    for parameters in data.VARIANTS.get(name, [{}]):
        for target in targets:
            steps = [("it", build(path, parameters))]
            if kind == "transformer":
                steps.append(("last", LinearRegression()))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # small data: not converged, constant, deprecated
                pipelines.append((Pipeline(steps).fit(frame, target), frame))
    return pipelines


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("path", ESTIMATORS)
def test_an_entry_stores_exactly_the_types_of_the_table_and_loads_to_the_same_answers(path: str) -> None:
    found: set[str] = set()
    for pipeline, frame in fitted(path):
        stored = skops.io.dumps(pipeline)
        types = check_types(stored)
        found.update(types)
        loaded = skops.io.loads(stored, trusted=list(types))

        labels, probability = Predictor(loaded)(frame)

        # Numbers as near as golden rows must be: a loaded array may lie the other way round in memory.
        same = np.testing.assert_array_equal if hasattr(pipeline, "classes_") else close
        same(labels, pipeline.predict(frame))
        assert labels.shape == (len(frame),)
        if hasattr(pipeline, "predict_proba"):
            close(probability, pipeline.predict_proba(frame))
        else:
            assert probability is None
    assert found == set(ESTIMATORS[path].types)


@pytest.mark.parametrize("path", ESTIMATORS)
def test_an_entry_is_of_the_kind_the_table_says(path: str) -> None:
    name = path.rpartition(".")[2]
    estimator = build(path, data.VARIANTS.get(name, [{}])[0])
    kind = ESTIMATORS[path].kind
    assert is_classifier(estimator) == (kind == "classifier")
    assert is_regressor(estimator) == (kind == "regressor")
    assert kind != "transformer" or hasattr(estimator, "transform")


FOLLOWING = [path for path, entry in ESTIMATORS.items() if entry.argmax]
ALSO_FOLLOWING = ["sklearn.ensemble.StackingClassifier", "sklearn.neighbors.KNeighborsClassifier"]


@pytest.mark.parametrize("path", FOLLOWING + ALSO_FOLLOWING)
def test_labels_taken_from_the_highest_probability_are_those_of_predict(path: str) -> None:
    rng = np.random.default_rng(2)
    followed = False
    for pipeline, frame in fitted(path):
        rows = pd.DataFrame(rng.integers(0, 7, (500, 4)).astype(float), columns=frame.columns)
        predictor = Predictor(pipeline)
        followed = followed or predictor.labels_follow
        np.testing.assert_array_equal(predictor(rows)[0], pipeline.predict(rows))
    assert followed


def test_equal_probabilities_leave_the_label_to_the_estimator() -> None:
    frame = data.numbers()
    pipeline = make_pipeline(LogisticRegression()).fit(frame, data.two_classes())
    final = pipeline[-1]
    final.coef_[:] = 1e-18  # both probabilities are 0.5, and yet the score is on the second class's side
    final.intercept_[:] = 0
    predictor = Predictor(pipeline)
    labels, probability = predictor(frame)
    assert predictor.labels_follow
    assert probability is not None
    assert (probability == 0.5).all()
    assert set(labels) == {pipeline.classes_[1]}
    np.testing.assert_array_equal(labels, pipeline.predict(frame))


def dates(unit: str = "us") -> pd.DataFrame:
    moments = pd.to_datetime(
        ["2024-02-29 10:11:12.123456", None, "2021-05-05", "1931-01-01"], format="ISO8601"
    )
    return pd.DataFrame({"left": moments, "landed": moments[::-1]}).astype(f"datetime64[{unit}]")


def test_dates_become_the_same_numbers_whatever_their_unit_and_missing_ones_are_marked() -> None:
    pipeline = make_pipeline(
        date_step(),
        SimpleImputer(missing_values=NAT, strategy="median", add_indicator=True),
        StandardScaler(),
    )
    expected = pipeline.fit_transform(dates())
    stored = skops.io.dumps(pipeline)
    assert set(check_types(stored)) == {*DATE, *DTYPE}
    loaded = skops.io.loads(stored, trusted=list(check_types(stored)))

    assert np.isfinite(expected).all()
    assert (expected[:, 2:] > 0).astype(int).tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]
    for unit in ("us", "ns"):
        np.testing.assert_array_equal(loaded.transform(dates(unit)), expected)


def test_no_type_is_trusted_that_no_entry_needs() -> None:
    needed = {name for entry in ESTIMATORS.values() for name in entry.types}
    assert trusted_types() == needed | set(DATE)
