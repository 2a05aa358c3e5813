import numpy as np
import pandas as pd
import pytest
from slipway_model_server.estimators import ESTIMATORS

from tasks.errors import SpecError
from tasks.evidence import predict
from tasks.pipelines import build, check
from tasks.spec import TARGET, ModelSpec
from tasks.training import target_of
from tests.tasks.specs import frame_of, spec_of

EVERY = [path for path, entry in ESTIMATORS.items() if entry.kind in ("classifier", "regressor")]
NESTED = {
    "sklearn.ensemble.StackingClassifier": "classifier",
    "sklearn.ensemble.VotingClassifier": "classifier",
    "sklearn.ensemble.StackingRegressor": "regressor",
    "sklearn.ensemble.VotingRegressor": "regressor",
}
PLAIN = {
    "classifier": {"estimator": "sklearn.linear_model.LogisticRegression"},
    "regressor": {"estimator": "sklearn.linear_model.Ridge"},
}
PLAIN = {
    "classifier": {"estimator": "sklearn.linear_model.LogisticRegression"},
    "regressor": {"estimator": "sklearn.linear_model.Ridge"},
}
PARAMETERS: dict[str, dict] = {
    "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis": {"solver": "eigen", "shrinkage": 0.2},
    "sklearn.multiclass.OneVsRestClassifier": {"estimator": PLAIN["classifier"]},
    "sklearn.multiclass.OneVsOneClassifier": {"estimator": PLAIN["classifier"]},
    "sklearn.neural_network.MLPClassifier": {"max_iter": 20, "hidden_layer_sizes": [5]},
    "sklearn.neural_network.MLPRegressor": {"max_iter": 20, "hidden_layer_sizes": [5, 3]},
    "sklearn.linear_model.GammaRegressor": {"max_iter": 50},
}
POSITIVE_INPUT = ("MultinomialNB", "ComplementNB", "CategoricalNB")
POSITIVE_TARGET = ("GammaRegressor", "PoissonRegressor")


def one(estimator: str, parameters: dict | None = None, **more: object) -> ModelSpec:
    kind = ESTIMATORS[estimator].kind
    problem = "classification" if kind == "classifier" else "regression"
    candidate = {"estimator": estimator, "parameters": parameters or {}, **more}
    return spec_of(problem, candidates={"first": candidate})


def parameters_of(path: str) -> dict:
    if path in NESTED:
        forest = "sklearn.tree.DecisionTree" + ("Classifier" if NESTED[path] == "classifier" else "Regressor")
        return {
            "estimators": [
                {"name": "plain", **PLAIN[NESTED[path]]},
                {"name": "tree", "estimator": forest, "parameters": {"max_depth": 3}},
            ]
        }
    return PARAMETERS.get(path, {})


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.filterwarnings("ignore")
def test_every_estimator_of_the_table_learns_from_every_type_of_column(path: str) -> None:
    name = path.rsplit(".", 1)[1]
    encoders = {}
    if name in POSITIVE_INPUT:  # naive Bayes of counts: its inputs are counts, or codes of categories
        binned = {
            "estimator": "sklearn.preprocessing.KBinsDiscretizer",
            "parameters": {"n_bins": 4, "encode": "ordinal", "quantile_method": "averaged_inverted_cdf"},
        }
        filled = {"estimator": "sklearn.impute.SimpleImputer", "parameters": {"missing_values": -(2**63)}}
        encoders = {
            "numeric": [{"estimator": "sklearn.impute.SimpleImputer"}, binned],
            "date": [filled, binned],
        }
    spec = one(path, parameters_of(path), encoders=encoders)
    frame = frame_of(120, spec.problem)
    if name in POSITIVE_TARGET:
        frame[TARGET] = np.exp(frame[TARGET])
    check(spec)
    pipeline = build(spec, "first").fit(frame[list(spec.columns)], target_of(frame))
    new = frame_of(30, seed=5)
    new.loc[:4, "colour"] = "never seen"
    new.loc[5:9, ["size", "colour", "seen"]] = [np.nan, None, pd.NaT]
    found = predict(pipeline, new)
    assert len(found.labels) == 30
    if spec.problem == "regression":
        assert np.isfinite(found.labels.astype(float)).all()
    if found.probability is not None:
        assert np.allclose(found.probability.sum(axis=1), 1)


def block(spec: ModelSpec, role: str, parameters: dict | None = None) -> object:
    encode = build(spec, "first", parameters).named_steps["encode"]
    return {name: transformer for name, transformer, _ in encode.transformers}[role]


def names(steps: object) -> list[str]:
    if isinstance(steps, str):
        return [steps]
    return (
        [type(step).__name__ for _, step in steps.steps]
        if hasattr(steps, "steps")
        else [type(steps).__name__]
    )


def test_trees_that_take_missing_values_get_numbers_as_they_are() -> None:
    spec = one("sklearn.ensemble.HistGradientBoostingClassifier")
    assert names(block(spec, "numeric")) == ["passthrough"]
    assert names(block(spec, "categorical")) == ["OrdinalEncoder"]
    assert names(block(spec, "date")) == ["FunctionTransformer", "SimpleImputer"]


def test_trees_that_do_not_get_them_filled() -> None:
    assert names(block(one("sklearn.ensemble.GradientBoostingClassifier"), "numeric")) == ["SimpleImputer"]


def test_other_estimators_get_filled_and_scaled_numbers_and_one_column_a_category() -> None:
    spec = one("sklearn.linear_model.LogisticRegression")
    assert names(block(spec, "numeric")) == ["SimpleImputer", "StandardScaler"]
    assert names(block(spec, "categorical")) == ["OneHotEncoder"]
    assert names(block(spec, "date")) == ["FunctionTransformer", "SimpleImputer", "StandardScaler"]
    assert block(spec, "categorical").sparse_output
    assert not block(one("sklearn.naive_bayes.GaussianNB"), "categorical").sparse_output


def test_the_specs_encoders_win_and_an_empty_list_passes_columns_through() -> None:
    robust = {"estimator": "sklearn.preprocessing.RobustScaler", "parameters": {"quantile_range": [10, 90]}}
    spec = one("sklearn.linear_model.LogisticRegression", encoders={"numeric": [robust], "categorical": []})
    assert block(spec, "numeric").quantile_range == (10, 90)
    assert block(spec, "categorical") == "passthrough"
    assert names(block(spec, "date"))[0] == "FunctionTransformer"


def test_a_role_moves_a_column() -> None:
    spec = spec_of(columns={"count": {"type": "int64", "role": "categorical"}, "size": {"type": "float64"}})
    columns = {name: columns for name, _, columns in build(spec, "first").named_steps["encode"].transformers}
    assert columns == {"numeric": ["size"], "categorical": ["count"]}


def test_random_state_is_zero_unless_given_also_inside() -> None:
    forest = "sklearn.ensemble.RandomForestClassifier"
    assert build(one(forest), "first")[-1].random_state == 0
    assert build(one(forest, {"random_state": 7}), "first")[-1].random_state == 7
    stack = one(
        "sklearn.ensemble.StackingClassifier", {"estimators": [{"name": "forest", "estimator": forest}]}
    )
    assert build(stack, "first")[-1].estimators[0][1].random_state == 0


def test_search_parameters_win_and_reach_nested_estimators() -> None:
    bag = one(
        "sklearn.ensemble.BaggingClassifier",
        {"n_estimators": 3, "estimator": {"estimator": "sklearn.tree.DecisionTreeClassifier"}},
    )
    built = build(bag, "first", {"n_estimators": 4, "estimator__max_depth": 2})[-1]
    assert built.n_estimators == 4
    assert built.estimator.max_depth == 2


def refused(spec: ModelSpec) -> str:
    with pytest.raises(SpecError) as error:
        check(spec)
    return str(error.value)


def test_an_unknown_parameter_is_refused_with_its_place_and_what_is_allowed() -> None:
    message = refused(one("sklearn.linear_model.LogisticRegression", {"c": 1.0}))
    assert "example.yaml:" in message
    assert (
        "candidates.first.parameters.c: sklearn.linear_model.LogisticRegression has no parameter 'c'"
        in message
    )
    assert "Allowed: C, class_weight" in message


def test_a_bad_value_is_refused_before_anything_is_fitted() -> None:
    message = refused(one("sklearn.linear_model.LogisticRegression", {"C": -1.0}))
    assert "candidates.first.parameters.C: found -1.0" in message
    assert "must be a float in the range" in message


def test_a_bad_search_is_refused() -> None:
    search = {"method": "grid", "parameters": {"C": [1.0, "much"]}}
    message = refused(one("sklearn.linear_model.LogisticRegression", search=search))
    assert "candidates.first.search.parameters.C: found 'much'" in message
    search = {"method": "grid", "parameters": {"depth": [1]}}
    assert "search.parameters.depth" in refused(one("sklearn.linear_model.LogisticRegression", search=search))


def test_bad_parameters_inside_are_refused_with_their_place() -> None:
    inner = {
        "name": "plain",
        "estimator": "sklearn.linear_model.LogisticRegression",
        "parameters": {"C": "x"},
    }
    stack = one("sklearn.ensemble.StackingClassifier", {"estimators": [inner]})
    assert "candidates.first.parameters.estimators.0.parameters.C: found 'x'" in refused(stack)
    encoder = {"estimator": "sklearn.preprocessing.OneHotEncoder", "parameters": {"drop": 3}}
    spec = one("sklearn.linear_model.LogisticRegression", encoders={"categorical": [encoder]})
    assert "candidates.first.encoders.categorical.0.parameters.drop: found 3" in refused(spec)
    bag = {"estimator": {"estimator": "sklearn.tree.DecisionTreeClassifier"}, "estimator__max_depth": -2}
    assert "parameters.estimator__max_depth" in refused(one("sklearn.ensemble.BaggingClassifier", bag))
    bag["estimator__depth"] = bag.pop("estimator__max_depth")
    assert "parameters.estimator__depth" in refused(one("sklearn.ensemble.BaggingClassifier", bag))


def test_a_regressor_inside_a_classifier_is_refused() -> None:
    vote = {"estimators": [{"name": "ridge", "estimator": "sklearn.linear_model.Ridge"}]}
    message = refused(one("sklearn.ensemble.VotingClassifier", vote))
    assert "sklearn.linear_model.Ridge is a regressor inside a classifier" in message


def test_missing_estimators_are_refused() -> None:
    assert "estimators" in refused(one("sklearn.ensemble.StackingClassifier"))


def test_a_metric_of_probabilities_needs_a_candidate_that_gives_them() -> None:
    gate = {"metric": "roc_auc", "minimum": 0.5}

    def of(path: str, parameters: dict | None = None) -> ModelSpec:
        return spec_of(gate=gate, candidates={"first": {"estimator": path, "parameters": parameters or {}}})

    message = refused(of("sklearn.svm.LinearSVC"))
    assert "first.estimator: sklearn.svm.LinearSVC with these parameters gives no probabilities" in message
    refused(of("sklearn.linear_model.SGDClassifier"))
    check(of("sklearn.linear_model.SGDClassifier", {"loss": "log_loss"}))
    estimators = {"estimators": [{"name": "a", "estimator": "sklearn.linear_model.LogisticRegression"}]}
    refused(of("sklearn.ensemble.VotingClassifier", estimators))
    check(of("sklearn.ensemble.VotingClassifier", {**estimators, "voting": "soft"}))
    check(of("sklearn.ensemble.StackingClassifier", estimators))
