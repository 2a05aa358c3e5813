"""Small data, and the parameters under which each entry of the table is fitted.

An entry without variants is fitted with scikit-learn's defaults. Together the variants must bring out every
type that the table gives the entry.
"""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

ROWS = 90


def numbers() -> pd.DataFrame:
    """Whole numbers from 0 to 6 as float64, so that counting estimators can take them too."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.integers(0, 7, (ROWS, 4)).astype(float), columns=list("abcd"))


def categories() -> pd.DataFrame:
    """Texts, among them missing ones."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        rng.choice(np.array(["x", "y", "z", None], dtype=object), (ROWS, 2)), columns=["s", "t"]
    )


def gaps() -> pd.DataFrame:
    """`numbers()` with a missing value in every seventh row of each column."""
    frame = numbers()
    for place, name in enumerate(frame):
        frame.loc[place::7, name] = np.nan
    return frame


def two_classes() -> Any:
    frame = numbers()
    return np.where(frame.a + frame.b > 6, "late", "on time").astype(object)


def three_classes() -> Any:
    frame = numbers()
    return np.array([30, 10, 20])[((frame.a + frame.b) // 5).astype(int)]


def values() -> Any:
    frame = numbers()
    return (frame.a * 2 + frame.b + np.arange(ROWS) % 3 + 0.5).to_numpy()


NEIGHBOURS: list[dict[str, Any]] = [
    {},
    {"algorithm": "ball_tree", "weights": "distance"},
    {"algorithm": "brute", "metric": "cosine"},
    {"algorithm": "kd_tree", "p": 1},
    {"algorithm": "kd_tree", "p": 3},
    {"algorithm": "ball_tree", "metric": "chebyshev"},
]
NETWORK: list[dict[str, Any]] = [
    {"solver": solver, "max_iter": 30, "hidden_layer_sizes": (5,)} for solver in ("adam", "sgd", "lbfgs")
]
FOREST: list[dict[str, Any]] = [
    {"n_estimators": 5},
    {"n_estimators": 20, "oob_score": True, "bootstrap": True, "max_samples": 0.9},
]
NAMED_CLASSIFIERS = [("one", LogisticRegression()), ("two", LogisticRegression(C=0.1))]
NAMED_REGRESSORS = [("one", Ridge()), ("two", Ridge(alpha=10))]

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "BaggingClassifier": [{"n_estimators": 4}, {"estimator": LogisticRegression(), "n_estimators": 3}],
    "CalibratedClassifierCV": [
        {"estimator": LogisticRegression()},
        {"estimator": LogisticRegression(), "method": "isotonic"},
        {"estimator": LogisticRegression(), "method": "temperature", "ensemble": False},
    ],
    "ExtraTreesClassifier": FOREST,
    "ExtraTreesRegressor": FOREST,
    "GradientBoostingClassifier": [{"n_estimators": 5}, {"n_estimators": 5, "n_iter_no_change": 2}],
    "GradientBoostingRegressor": [
        {"n_estimators": 5, "loss": loss} for loss in ("squared_error", "absolute_error", "huber", "quantile")
    ],
    "HistGradientBoostingClassifier": [
        {"max_iter": 5},
        {"max_iter": 5, "early_stopping": True, "categorical_features": [0], "class_weight": "balanced"},
    ],
    "HistGradientBoostingRegressor": [
        {"max_iter": 5, "loss": loss, "quantile": 0.4}
        for loss in ("squared_error", "absolute_error", "gamma", "poisson", "quantile")
    ]
    + [{"max_iter": 5, "categorical_features": [1, 2]}],
    "KBinsDiscretizer": [{}, {"encode": "ordinal"}, {"encode": "onehot-dense", "strategy": "kmeans"}],
    "KNeighborsClassifier": NEIGHBOURS,
    "KNeighborsRegressor": NEIGHBOURS,
    "KernelPCA": [{"n_components": 2}, {"n_components": 2, "kernel": "rbf"}],
    "LogisticRegression": [{}, {"solver": "saga", "l1_ratio": 0.5}, {"class_weight": "balanced"}],
    "LogisticRegressionCV": [{"Cs": 2, "cv": 2}],
    "MLPClassifier": NETWORK,
    "MLPRegressor": NETWORK,
    "NMF": [{"n_components": 2}],
    "NuSVC": [{"nu": 0.1}],
    "OneHotEncoder": [
        {"handle_unknown": "ignore"},
        {"handle_unknown": "infrequent_if_exist", "min_frequency": 5, "max_categories": 2},
        {"drop": "if_binary", "sparse_output": False},
    ],
    "OneVsOneClassifier": [{"estimator": LogisticRegression()}],
    "OneVsRestClassifier": [{"estimator": LogisticRegression()}],
    "OrdinalEncoder": [
        {"handle_unknown": "use_encoded_value", "unknown_value": -1, "encoded_missing_value": -2},
        {"min_frequency": 3},
    ],
    "PCA": [{}, {"n_components": 2, "svd_solver": "arpack"}, {"n_components": 0.9, "whiten": True}],
    "PowerTransformer": [{}, {"standardize": False}],
    "QuantileTransformer": [{"n_quantiles": 20}, {"n_quantiles": 20, "output_distribution": "normal"}],
    "RandomForestClassifier": FOREST,
    "RandomForestRegressor": FOREST,
    "RandomTreesEmbedding": [{"n_estimators": 5}],
    "RidgeClassifierCV": [{}, {"cv": 3}],
    "SGDClassifier": [{"loss": loss} for loss in ("hinge", "log_loss", "modified_huber", "perceptron")],
    "SGDRegressor": [{}, {"loss": "huber"}, {"loss": "epsilon_insensitive", "average": True}],
    "SVC": [{}, {"kernel": "linear"}, {"kernel": "poly", "class_weight": "balanced"}],
    "SelectFromModel": [{"estimator": Ridge()}],
    "SelectKBest": [{"k": 2}],
    "SelectPercentile": [{"percentile": 60}],
    "SimpleImputer": [
        {},
        {"strategy": "median", "add_indicator": True},
        {"strategy": "most_frequent", "keep_empty_features": True},
        {"strategy": "constant", "fill_value": -1},
    ],
    "StackingClassifier": [
        {"estimators": NAMED_CLASSIFIERS, "cv": 2},
        {"estimators": NAMED_CLASSIFIERS, "final_estimator": LogisticRegression(), "passthrough": True},
    ],
    "StackingRegressor": [
        {"estimators": NAMED_REGRESSORS, "final_estimator": Ridge()},
        {"estimators": NAMED_REGRESSORS},
    ],
    "TargetEncoder": [{}, {"smooth": 2.0, "cv": 2}],
    "TransformedTargetRegressor": [{"regressor": Ridge(), "transformer": StandardScaler()}],
    "TruncatedSVD": [{"n_components": 2}],
    "TweedieRegressor": [{"power": power, "max_iter": 500} for power in (0, 1, 1.5, 2, 3)]
    + [{"power": 0, "link": "log"}, {"power": 1.5, "link": "identity", "max_iter": 20}],
    "VotingClassifier": [
        {"estimators": NAMED_CLASSIFIERS},
        {"estimators": NAMED_CLASSIFIERS, "voting": "soft"},
    ],
    "VotingRegressor": [{"estimators": NAMED_REGRESSORS}],
}

GIVEN_GAPS = {"SimpleImputer", "KNNImputer", "MissingIndicator"}
GIVEN_TEXTS = {"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"}
