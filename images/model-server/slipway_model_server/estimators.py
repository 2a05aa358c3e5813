"""The one table of what may be trained, stored and served.

A spec may name exactly these scikit-learn classes (`Pipeline` and `ColumnTransformer` are built around them),
and a stored model may hold exactly skops' default types and the ones listed here. A test fits, stores and
loads every entry and compares the types found with the table's.

Left out, with the reason:

- `Birch`: skops cannot store it. `DBSCAN`, `TSNE` and such: no `transform` of new rows.
- `FunctionTransformer`: its function cannot be written in a spec; `date_step` is the one use of it.
- `SVC` and `NuSVC` are here, their `probability` parameter is deprecated by scikit-learn: wrap them in
  `CalibratedClassifierCV` for probabilities.
- `PassiveAggressive*`: deprecated by scikit-learn; `SGDClassifier` and `SGDRegressor` do the same.
- `MultiOutput*`, `MultiTask*`, `*Chain`, `CCA`, `PLSCanonical`: more than one target.
- `RadiusNeighbors*`: no answer for a row without a neighbour. `IsotonicRegression`: one column only.
- `FixedThresholdClassifier`, `TunedThresholdClassifierCV`: the label would not be the one that the gate's
  probability metrics speak of. `SelfTrainingClassifier`, `LabelPropagation`, `LabelSpreading`: unlabelled
  rows never reach training. `Dummy*`: nothing to serve.
- `DictVectorizer`, `FeatureHasher`, text vectorizers: they take dicts or texts, not columns.
- `GaussianProcess*`: their kernels cannot be written in a spec.
"""

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["classifier", "regressor", "transformer"]


@dataclass(frozen=True)
class Entry:
    """`types`: full names of the types beyond skops' defaults that a fitted estimator's file may need.

    `argmax`: the label of a row is always the class of its one highest probability (if there is only one), so
    that a server need not compute both.
    """

    kind: Kind
    types: tuple[str, ...] = ()
    argmax: bool = False


TREE = ("sklearn.tree._tree.Tree",)
HISTOGRAM_TREES = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # Beside them, the check of the columns in `categorical_features`:
    "functools.partial",
    "sklearn.utils.validation.check_array",
)
OPTIMIZERS = (
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
)
NEIGHBOURS = (
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
)
CALIBRATION = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
)
NAMED = ("sklearn.utils._bunch.Bunch",)
SPLINE = ("scipy._lib.array_api_compat.numpy._aliases.asarray", "scipy.interpolate._bsplines.BSpline")
DTYPE = ("numpy.dtype",)
DATE = ("numpy.asarray_chkfinite",)

CLASSIFIERS: dict[str, Entry] = {
    "sklearn.calibration.CalibratedClassifierCV": Entry("classifier", CALIBRATION, argmax=True),
    "sklearn.discriminant_analysis.LinearDiscriminantAnalysis": Entry("classifier"),
    "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis": Entry("classifier"),
    "sklearn.ensemble.AdaBoostClassifier": Entry("classifier", TREE, argmax=True),
    "sklearn.ensemble.BaggingClassifier": Entry("classifier", TREE, argmax=True),
    "sklearn.ensemble.ExtraTreesClassifier": Entry("classifier", TREE, argmax=True),
    "sklearn.ensemble.GradientBoostingClassifier": Entry("classifier", TREE, argmax=True),
    "sklearn.ensemble.HistGradientBoostingClassifier": Entry("classifier", HISTOGRAM_TREES, argmax=True),
    "sklearn.ensemble.RandomForestClassifier": Entry("classifier", TREE, argmax=True),
    "sklearn.ensemble.StackingClassifier": Entry("classifier", NAMED),
    "sklearn.ensemble.VotingClassifier": Entry("classifier", NAMED, argmax=True),
    "sklearn.linear_model.LogisticRegression": Entry("classifier", argmax=True),
    "sklearn.linear_model.LogisticRegressionCV": Entry("classifier", argmax=True),
    "sklearn.linear_model.Perceptron": Entry("classifier"),
    "sklearn.linear_model.RidgeClassifier": Entry("classifier"),
    "sklearn.linear_model.RidgeClassifierCV": Entry("classifier"),
    "sklearn.linear_model.SGDClassifier": Entry("classifier"),
    "sklearn.multiclass.OneVsOneClassifier": Entry("classifier"),
    "sklearn.multiclass.OneVsRestClassifier": Entry("classifier"),
    "sklearn.naive_bayes.BernoulliNB": Entry("classifier", argmax=True),
    "sklearn.naive_bayes.CategoricalNB": Entry("classifier", argmax=True),
    "sklearn.naive_bayes.ComplementNB": Entry("classifier", argmax=True),
    "sklearn.naive_bayes.GaussianNB": Entry("classifier", argmax=True),
    "sklearn.naive_bayes.MultinomialNB": Entry("classifier", argmax=True),
    "sklearn.neighbors.KNeighborsClassifier": Entry("classifier", NEIGHBOURS),
    "sklearn.neighbors.NearestCentroid": Entry("classifier"),
    "sklearn.neural_network.MLPClassifier": Entry("classifier", OPTIMIZERS, argmax=True),
    "sklearn.svm.LinearSVC": Entry("classifier"),
    "sklearn.svm.NuSVC": Entry("classifier"),
    "sklearn.svm.SVC": Entry("classifier"),
    "sklearn.tree.DecisionTreeClassifier": Entry("classifier", TREE, argmax=True),
    "sklearn.tree.ExtraTreeClassifier": Entry("classifier", TREE, argmax=True),
}

REGRESSORS: dict[str, Entry] = {
    "sklearn.compose.TransformedTargetRegressor": Entry("regressor"),
    "sklearn.cross_decomposition.PLSRegression": Entry("regressor"),
    "sklearn.ensemble.AdaBoostRegressor": Entry("regressor", TREE),
    "sklearn.ensemble.BaggingRegressor": Entry("regressor", TREE),
    "sklearn.ensemble.ExtraTreesRegressor": Entry("regressor", TREE),
    "sklearn.ensemble.GradientBoostingRegressor": Entry("regressor", TREE),
    "sklearn.ensemble.HistGradientBoostingRegressor": Entry("regressor", HISTOGRAM_TREES),
    "sklearn.ensemble.RandomForestRegressor": Entry("regressor", TREE),
    "sklearn.ensemble.StackingRegressor": Entry("regressor", NAMED),
    "sklearn.ensemble.VotingRegressor": Entry("regressor", NAMED),
    "sklearn.kernel_ridge.KernelRidge": Entry("regressor"),
    "sklearn.linear_model.ARDRegression": Entry("regressor"),
    "sklearn.linear_model.BayesianRidge": Entry("regressor"),
    "sklearn.linear_model.ElasticNet": Entry("regressor"),
    "sklearn.linear_model.ElasticNetCV": Entry("regressor"),
    "sklearn.linear_model.GammaRegressor": Entry("regressor"),
    "sklearn.linear_model.HuberRegressor": Entry("regressor"),
    "sklearn.linear_model.Lars": Entry("regressor"),
    "sklearn.linear_model.LarsCV": Entry("regressor"),
    "sklearn.linear_model.Lasso": Entry("regressor"),
    "sklearn.linear_model.LassoCV": Entry("regressor"),
    "sklearn.linear_model.LassoLars": Entry("regressor"),
    "sklearn.linear_model.LassoLarsCV": Entry("regressor"),
    "sklearn.linear_model.LassoLarsIC": Entry("regressor"),
    "sklearn.linear_model.LinearRegression": Entry("regressor"),
    "sklearn.linear_model.OrthogonalMatchingPursuit": Entry("regressor"),
    "sklearn.linear_model.OrthogonalMatchingPursuitCV": Entry("regressor"),
    "sklearn.linear_model.PoissonRegressor": Entry("regressor"),
    "sklearn.linear_model.QuantileRegressor": Entry("regressor"),
    "sklearn.linear_model.RANSACRegressor": Entry("regressor"),
    "sklearn.linear_model.Ridge": Entry("regressor"),
    "sklearn.linear_model.RidgeCV": Entry("regressor"),
    "sklearn.linear_model.SGDRegressor": Entry("regressor"),
    "sklearn.linear_model.TheilSenRegressor": Entry("regressor"),
    "sklearn.linear_model.TweedieRegressor": Entry(
        "regressor", ("sklearn._loss.loss.HalfTweedieLoss", "sklearn._loss.loss.HalfTweedieLossIdentity")
    ),
    "sklearn.neighbors.KNeighborsRegressor": Entry("regressor", NEIGHBOURS),
    "sklearn.neural_network.MLPRegressor": Entry("regressor", OPTIMIZERS),
    "sklearn.svm.LinearSVR": Entry("regressor"),
    "sklearn.svm.NuSVR": Entry("regressor"),
    "sklearn.svm.SVR": Entry("regressor"),
    "sklearn.tree.DecisionTreeRegressor": Entry("regressor", TREE),
    "sklearn.tree.ExtraTreeRegressor": Entry("regressor", TREE),
}

TRANSFORMERS: dict[str, Entry] = {
    "sklearn.decomposition.FactorAnalysis": Entry("transformer"),
    "sklearn.decomposition.FastICA": Entry("transformer"),
    "sklearn.decomposition.IncrementalPCA": Entry("transformer"),
    "sklearn.decomposition.KernelPCA": Entry("transformer"),
    "sklearn.decomposition.NMF": Entry("transformer"),
    "sklearn.decomposition.PCA": Entry("transformer"),
    "sklearn.decomposition.TruncatedSVD": Entry("transformer"),
    "sklearn.ensemble.RandomTreesEmbedding": Entry("transformer", TREE),
    "sklearn.feature_selection.SelectKBest": Entry(
        "transformer", ("sklearn.feature_selection._univariate_selection.f_classif",)
    ),
    "sklearn.feature_selection.SelectPercentile": Entry(
        "transformer", ("sklearn.feature_selection._univariate_selection.f_classif",)
    ),
    "sklearn.feature_selection.SelectFromModel": Entry("transformer"),
    "sklearn.feature_selection.VarianceThreshold": Entry("transformer"),
    "sklearn.impute.KNNImputer": Entry("transformer"),
    "sklearn.impute.MissingIndicator": Entry("transformer"),
    "sklearn.impute.SimpleImputer": Entry("transformer", DTYPE),
    "sklearn.kernel_approximation.Nystroem": Entry("transformer"),
    "sklearn.kernel_approximation.RBFSampler": Entry("transformer"),
    "sklearn.preprocessing.Binarizer": Entry("transformer"),
    "sklearn.preprocessing.KBinsDiscretizer": Entry("transformer", DTYPE),
    "sklearn.preprocessing.MaxAbsScaler": Entry("transformer"),
    "sklearn.preprocessing.MinMaxScaler": Entry("transformer"),
    "sklearn.preprocessing.Normalizer": Entry("transformer"),
    "sklearn.preprocessing.OneHotEncoder": Entry("transformer"),
    "sklearn.preprocessing.OrdinalEncoder": Entry("transformer"),
    "sklearn.preprocessing.PolynomialFeatures": Entry("transformer"),
    "sklearn.preprocessing.PowerTransformer": Entry("transformer"),
    "sklearn.preprocessing.QuantileTransformer": Entry("transformer"),
    "sklearn.preprocessing.RobustScaler": Entry("transformer"),
    "sklearn.preprocessing.SplineTransformer": Entry("transformer", SPLINE),
    "sklearn.preprocessing.StandardScaler": Entry("transformer"),
    "sklearn.preprocessing.TargetEncoder": Entry("transformer"),
}

ESTIMATORS: dict[str, Entry] = {**CLASSIFIERS, **REGRESSORS, **TRANSFORMERS}

NAT = -(2**63)
"""A missing date as scikit-learn sees it, which reads dates as whole numbers (imputers: `missing_values`)."""


def trusted_types() -> frozenset[str]:
    """Every type of the table: what a stored model may hold beyond skops' own defaults."""
    return frozenset(DATE).union(*(entry.types for entry in ESTIMATORS.values()))


def argmax_types() -> frozenset[str]:
    """Classifiers whose label is always that of the highest probability: see `Entry`."""
    return frozenset(path for path, entry in ESTIMATORS.items() if entry.argmax)


def date_step() -> Any:
    """The unfitted step that every date column passes first: microseconds, whatever unit came in.

    scikit-learn would otherwise read a frame in nanoseconds, such as `mlflow.pyfunc` makes, as dates 1000
    times as far from 1970. An imputer with `missing_values=NAT` must follow; it turns the dates into float64.
    """
    import numpy as np
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(
        np.asarray_chkfinite, kw_args={"dtype": "datetime64[us]"}, feature_names_out="one-to-one"
    )
