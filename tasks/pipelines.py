"""From a candidate of the spec to an unfitted scikit-learn Pipeline: encoders by role, then the estimator."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from slipway_model_server.estimators import ESTIMATORS

from tasks.errors import SpecError
from tasks.metrics import NEEDS_PROBABILITY
from tasks.spec import CandidateSpec, ModelSpec, Role, Step

ENCODE, MODEL = "encode", "model"
"""Names of the two steps of every Pipeline."""
ANY_KIND = ("init",)
"""Parameters whose nested estimator need not be of the outer one's kind (gradient boosting's start)."""
UNKNOWN, ABSENT = -1, -2
"""Codes of a category that training did not see, and of a missing one, where trees get ordinal codes."""


class _BadParameter(Exception):
    """A parameter that scikit-learn does not take: its place below `parameters`, what is wrong, what goes."""

    def __init__(self, place: tuple[str | int, ...], observed: str, allowed: str) -> None:
        super().__init__(place, observed, allowed)
        self.place, self.observed, self.allowed = place, observed, allowed


def build(spec: ModelSpec, candidate: str, parameters: Mapping[str, Any] | None = None) -> Any:
    """The unfitted Pipeline of `candidate`; `parameters` (one set of its search) win over the spec's.

    It takes a frame with the spec's columns. Raises SpecError naming file, line and key of a bad parameter.
    """
    from sklearn.pipeline import Pipeline

    step = spec.candidates[candidate]
    at = ("candidates", candidate)
    try:
        estimator = _estimator(step.estimator, step.parameters, parameters or {})
    except _BadParameter as bad:
        from_search = parameters is not None and bad.place[:1] and bad.place[0] in parameters
        below = ("search", "parameters") if from_search else ("parameters",)
        raise _spec_error(spec, (*at, *below, *bad.place), bad) from None
    return Pipeline([(ENCODE, _encoder(spec, step, estimator, at)), (MODEL, estimator)])


def check(spec: ModelSpec) -> None:
    """Builds every Pipeline that the spec can lead to, unfitted. Raises SpecError for what cannot work."""
    from tasks.training import parameter_sets

    for name, candidate in spec.candidates.items():
        for parameters in parameter_sets(candidate):
            pipeline = build(spec, name, parameters)
            if spec.gate.metric in NEEDS_PROBABILITY and not _gives_probability(pipeline[-1]):
                raise SpecError(
                    spec.place("candidates", name, "estimator"),
                    f"{candidate.estimator} with these parameters gives no probabilities, "
                    f"and gate.metric is {spec.gate.metric}",
                    "Set its parameters so that it has predict_proba, or gate on accuracy, balanced_accuracy "
                    "or f1.",
                )


def _spec_error(spec: ModelSpec, place: tuple[str | int, ...], bad: _BadParameter) -> SpecError:
    return SpecError(spec.place(*place), bad.observed, bad.allowed)


def _gives_probability(estimator: Any) -> bool:
    if getattr(estimator, "final_estimator", estimator) is None:  # stacking: its default is logistic
        return True
    return hasattr(estimator, "predict_proba")


def _encoder(spec: ModelSpec, step: CandidateSpec, estimator: Any, at: tuple[str | int, ...]) -> Any:
    from sklearn.compose import ColumnTransformer

    blocks = []
    for role in ("numeric", "categorical", "date"):
        columns = [name for name, column in spec.columns.items() if column.kind == role]
        if columns:
            blocks.append((role, _block(spec, step, role, estimator, at), columns))
    threshold = 0.3 if estimator.__sklearn_tags__().input_tags.sparse else 0.0
    return ColumnTransformer(blocks, sparse_threshold=threshold)


def _block(
    spec: ModelSpec, step: CandidateSpec, role: Role, estimator: Any, at: tuple[str | int, ...]
) -> Any:
    """The transformer of all columns of `role`: the spec's steps, or what suits the estimator."""
    from sklearn.pipeline import make_pipeline

    given: tuple[Step, ...] | None = getattr(step.encoders, role)
    if given is None:
        steps = list(_default_steps(role, estimator))
    else:
        steps = []
        for index, wanted in enumerate(given):
            try:
                steps.append(_estimator(wanted.estimator, wanted.parameters, {}))
            except _BadParameter as bad:
                place = (*at, "encoders", role, index, "parameters", *bad.place)
                raise _spec_error(spec, place, bad) from None
    if role == "date":
        from slipway_model_server.estimators import date_step

        steps.insert(0, date_step())
    if not steps:
        return "passthrough"
    return steps[0] if len(steps) == 1 else make_pipeline(*steps)


def _default_steps(role: Role, estimator: Any) -> Iterator[Any]:
    """Trees take ordinal codes and need no scaling, nor imputing if they take NaN; the rest gets both."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    tags = estimator.__sklearn_tags__().input_tags
    tree = _is_tree(estimator)
    if role == "categorical":
        if tree:
            yield OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=UNKNOWN, encoded_missing_value=ABSENT
            )
        else:
            yield OneHotEncoder(handle_unknown="ignore", sparse_output=bool(tags.sparse))
        return
    if role == "date":
        from slipway_model_server.estimators import NAT

        yield SimpleImputer(
            missing_values=NAT, strategy="median", add_indicator=True, keep_empty_features=True
        )
    elif not (tree and tags.allow_nan):
        yield SimpleImputer(strategy="median", keep_empty_features=True)
    if not tree:
        yield StandardScaler()


def _is_tree(estimator: Any) -> bool:
    """Whether splits on single columns are all that the estimator learns."""
    module = type(estimator).__module__
    return module.startswith(("sklearn.tree.", "sklearn.ensemble._forest", "sklearn.ensemble._gb")) or (
        "hist_gradient_boosting" in module
    )


def _estimator(path: str, parameters: Mapping[str, Any], search: Mapping[str, Any]) -> Any:
    """An unfitted estimator with nested ones built, random_state 0 unless given, parameters checked."""
    kind = _class(path)
    given = {**parameters, **search}
    known = set(kind._get_param_names())
    for key in given:
        if key.split("__", 1)[0] not in known:
            raise _BadParameter(
                (key,), f"{path} has no parameter {key!r}", f"Allowed: {', '.join(sorted(known))}."
            )
    values = {key: _value(path, key, value) for key, value in given.items() if "__" not in key}
    if "random_state" in known:
        values.setdefault("random_state", 0)
    try:
        estimator = kind(**values)
    except TypeError as error:
        raise _BadParameter((), f"{path}: {error}", "Give it in `parameters`.") from None
    for key in (k for k in given if "__" in k):
        try:
            estimator.set_params(**{key: given[key]})
        except (ValueError, AttributeError, TypeError) as error:
            raise _BadParameter((key,), str(error), f"Give a parameter of {path}.") from None
        if (owner := _owner(estimator, key)) is not None:
            _validate(owner, (key,))
    _validate(estimator, ())
    return estimator


def _class(path: str) -> Any:
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def _value(outer: str, key: str, value: Any) -> Any:
    """A parameter's value with the estimators in it built, and a list made a tuple where only that goes."""
    if isinstance(value, Mapping) and isinstance(value.get("estimator"), str):
        nested = _nested(outer, key, value)
        return (value["name"], nested) if "name" in value else nested
    if isinstance(value, list | tuple):
        items = []
        for index, item in enumerate(value):
            try:
                items.append(_value(outer, key, item))
            except _BadParameter as bad:
                place = (bad.place[0], index, *bad.place[1:])
                raise _BadParameter(place, bad.observed, bad.allowed) from None
        rules = getattr(_class(outer), "_parameter_constraints", {}).get(key, ())
        tuples_only = tuple in rules and list not in rules and "array-like" not in rules
        return tuple(items) if tuples_only else items
    return value


def _nested(outer: str, key: str, value: Mapping[str, Any]) -> Any:
    path = value["estimator"]
    kinds = {ESTIMATORS[outer].kind, ESTIMATORS[path].kind}
    if kinds == {"classifier", "regressor"} and key not in ANY_KIND:
        raise _BadParameter(
            (key, "estimator"),
            f"{path} is a {ESTIMATORS[path].kind} inside a {ESTIMATORS[outer].kind}",
            f"Give a {ESTIMATORS[outer].kind}.",
        )
    try:
        return _estimator(path, value.get("parameters", {}), {})
    except _BadParameter as bad:
        raise _BadParameter((key, "parameters", *bad.place), bad.observed, bad.allowed) from None


def _owner(estimator: Any, key: str) -> Any:
    """The nested estimator whose parameter `a__b__c` names, or None if it is not one."""
    owner = estimator.get_params(deep=True).get(key.rsplit("__", 1)[0])
    return owner if hasattr(owner, "_validate_params") else None


def _validate(estimator: Any, place: tuple[str | int, ...]) -> None:
    """scikit-learn's own check of parameter values, which it makes at `fit`."""
    from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints

    rules = getattr(estimator, "_parameter_constraints", {})
    for key, value in estimator.get_params(deep=False).items():
        if key in rules:
            try:
                validate_parameter_constraints({key: rules[key]}, {key: value}, type(estimator).__name__)
            except InvalidParameterError as error:
                raise _BadParameter(
                    place or (key,), f"found {value!r}", f"{' '.join(str(error).split('. Got')[0].split())}."
                ) from None
