"""The one table of what may be trained, stored and served (to be completed)."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["classifier", "regressor", "transformer"]


@dataclass(frozen=True)
class Entry:
    """`types`: full names of the types beyond skops' defaults that a fitted estimator's file needs."""

    kind: Kind
    types: tuple[str, ...] = ()


ESTIMATORS: dict[str, Entry] = {
    "sklearn.linear_model.LogisticRegression": Entry("classifier"),
    "sklearn.linear_model.Ridge": Entry("regressor"),
    "sklearn.ensemble.HistGradientBoostingClassifier": Entry(
        "classifier", ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
    ),
    "sklearn.preprocessing.OneHotEncoder": Entry("transformer"),
    "sklearn.preprocessing.OrdinalEncoder": Entry("transformer"),
    "sklearn.preprocessing.StandardScaler": Entry("transformer"),
    "sklearn.impute.SimpleImputer": Entry("transformer"),
}


def trusted_types() -> frozenset[str]:
    """Every type of the table: what a stored model may hold beyond skops' own defaults."""
    return frozenset(name for entry in ESTIMATORS.values() for name in entry.types)
