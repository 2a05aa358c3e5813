import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from tasks.errors import TrainingError
from tasks.evidence import predict
from tasks.fit_warnings import collected_warnings
from tasks.spec import CandidateSpec, ModelSpec
from tasks.split import resolve, test_rows, validation_rows
from tasks.training import (
    Candidate,
    Fit,
    Scored,
    best_of_each,
    fit_and_validate,
    fit_final,
    parameter_sets,
    plan_fits,
    target_of,
    warm_imports,
    winner,
)
from tests.tasks.specs import LOGISTIC, frame_of, spec_of

test_rows.__test__ = False

SEARCH = {"method": "grid", "parameters": {"C": [0.01, 1.0], "fit_intercept": [True, False]}}
FOREST = {
    "estimator": "sklearn.ensemble.RandomForestClassifier",
    "parameters": {"n_estimators": 10},
    "search": {"method": "grid", "parameters": {"max_depth": [1, 6]}},
}


def candidate_of(search: dict | None) -> CandidateSpec:
    return spec_of(candidates={"first": {**LOGISTIC, "search": search}}).candidates["first"]


def test_a_grid_is_every_combination_in_order() -> None:
    assert parameter_sets(candidate_of(SEARCH)) == [
        {"C": 0.01, "fit_intercept": True},
        {"C": 0.01, "fit_intercept": False},
        {"C": 1.0, "fit_intercept": True},
        {"C": 1.0, "fit_intercept": False},
    ]
    assert parameter_sets(candidate_of(None)) == [{}]


@given(st.integers(1, 200), st.integers(0, 1000))
def test_a_random_search_is_so_many_different_points_of_the_grid(samples: int, seed: int) -> None:
    values = {"C": [0.1, 0.2, 0.3, 0.4, 0.5], "tol": [1e-4, 1e-3, 1e-2], "l1_ratio": [0.0, 0.5, 1.0]}
    search = {"method": "random", "samples": samples, "seed": seed, "parameters": values}
    grid = parameter_sets(candidate_of({"method": "grid", "parameters": values}))
    found = parameter_sets(candidate_of(search))
    assert found == parameter_sets(candidate_of(search))
    assert len(found) == min(samples, 45)
    assert len({str(one) for one in found}) == len(found)
    assert all(one in grid for one in found)


def test_a_random_search_of_a_huge_grid_does_not_write_it_out() -> None:
    values = {name: list(range(1, 1001)) for name in ("max_iter", "verbose", "random_state", "n_jobs")}
    assert len(parameter_sets(candidate_of({"method": "random", "samples": 3, "parameters": values}))) == 3


def test_one_candidate_without_a_search_needs_no_validation() -> None:
    spec = spec_of()
    assert plan_fits(spec) == []
    assert best_of_each(spec, []) == {"first": None}


def test_one_parameter_set_is_used_though_nothing_was_compared() -> None:
    search = {"method": "grid", "parameters": {"C": [0.5]}}
    spec = spec_of(candidates={"first": {**LOGISTIC, "search": search}})
    assert plan_fits(spec) == []
    frame = frame_of()
    found = fit_final(spec, "first", None, frame, target_of(frame))
    assert found.parameters == {"C": 0.5}
    assert found.pipeline[-1].C == 0.5
    assert found.validation_score is None


def run(spec: ModelSpec, workers: int) -> tuple[list[Candidate], Candidate]:
    """The whole of training, as the flow runs it: every fit at once, then every candidate at once."""
    frame = frame_of(600)
    y = target_of(frame)
    split = resolve(spec, frame)
    on_test, on_validation = test_rows(split, frame), validation_rows(split, frame)
    warm_imports()
    with ThreadPoolExecutor(workers) as pool:
        scored = pool.map(
            lambda fit: fit_and_validate(spec, fit, frame, y, ~on_test & ~on_validation, on_validation),
            plan_fits(spec),
        )
        best = best_of_each(spec, reversed(list(scored)))
        fitted = pool.map(
            lambda item: fit_final(spec, *item, frame[~on_test], y[~on_test]), list(best.items())
        )
        candidates = list(fitted)
    return candidates, winner(candidates)


def test_search_and_choice_give_the_same_whatever_runs_at_once() -> None:
    spec = spec_of(candidates={"first": {**LOGISTIC, "search": SEARCH}, "forest": FOREST})
    (serial, first), (parallel, second) = run(spec, 1), run(spec, 4)
    assert first.name == second.name
    frame = frame_of(50, seed=9)
    for one, other in zip(serial, parallel, strict=True):
        assert (one.name, one.parameters, one.validation_score) == (
            other.name,
            other.parameters,
            other.validation_score,
        )
        assert np.array_equal(
            predict(one.pipeline, frame).probability, predict(other.pipeline, frame).probability
        )
    assert {one.name for one in serial} == {"first", "forest"}
    assert first.validation_score == max(one.validation_score or 0 for one in serial)


def test_the_better_parameters_are_chosen_by_validation() -> None:
    spec = spec_of(candidates={"forest": FOREST})
    candidates, best = run(spec, 2)
    assert best.parameters == {"max_depth": 6}
    assert best.pipeline[-1].max_depth == 6
    assert len(candidates) == 1


def test_test_rows_do_not_matter_to_the_choice() -> None:
    spec = spec_of(candidates={"first": {**LOGISTIC, "search": SEARCH}, "forest": FOREST})
    frame = frame_of(600)
    split = resolve(spec, frame)
    on_test, on_validation = test_rows(split, frame), validation_rows(split, frame)
    scrambled = frame.copy()
    scrambled.loc[on_test, list(spec.columns)[:1]] = 1e9
    scores = [
        [
            fit_and_validate(spec, fit, data, target_of(data), ~on_test & ~on_validation, on_validation).score
            for fit in plan_fits(spec)
        ]
        for data in (frame, scrambled)
    ]
    assert scores[0] == scores[1]


def scored(name: str, score: float, **parameters: object) -> Scored:
    return Scored(Fit(name, parameters), score, 0.1)


def test_a_score_that_is_not_a_number_never_wins() -> None:
    spec = spec_of(candidates={"forest": FOREST})
    best = best_of_each(
        spec, [scored("forest", float("nan"), max_depth=1), scored("forest", 0.1, max_depth=6)]
    )
    assert best["forest"] is not None
    assert best["forest"].fit.parameters == {"max_depth": 6}
    with pytest.raises(TrainingError, match="candidate 'forest': no parameter set has a finite accuracy"):
        best_of_each(spec, [scored("forest", float("nan"), max_depth=1)])


def test_the_first_of_equals_wins() -> None:
    spec = spec_of(candidates={"forest": FOREST})
    best = best_of_each(spec, [scored("forest", 0.5, max_depth=6), scored("forest", 0.5, max_depth=1)])
    assert best["forest"] is not None
    assert best["forest"].fit.parameters == {"max_depth": 1}
    one, other = (Candidate(name, {}, None, 0.5) for name in ("one", "other"))
    assert winner([one, other]) is one
    lower = Candidate("lower", {}, None, -2.0)
    assert winner([Candidate("lowest", {}, None, -3.0), lower]) is lower
    with pytest.raises(TrainingError, match="'none': has no validation score"):
        winner([one, Candidate("none", {}, None, None)])


def test_data_that_scikit_learn_refuses_names_the_candidate_and_its_parameters() -> None:
    naive = {
        "estimator": "sklearn.naive_bayes.MultinomialNB",
        "search": {"method": "grid", "parameters": {"alpha": [0.1, 1.0]}},
    }
    spec = spec_of(candidates={"counts": naive})
    frame = frame_of(100)
    rows = np.arange(100) < 50
    with pytest.raises(
        TrainingError, match=r"candidate counts\(alpha=0.1\): could not be fitted on 50 rows.*Negative"
    ):
        fit_and_validate(spec, plan_fits(spec)[0], frame, target_of(frame), rows, ~rows)


def test_convergence_warnings_belong_to_their_candidate() -> None:
    hasty = {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"max_iter": 1}}
    spec = spec_of(candidates={"hasty": hasty, "first": LOGISTIC})
    frame = frame_of()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing leaks out
        found = [fit_final(spec, name, None, frame, target_of(frame)) for name in ("hasty", "first", "hasty")]
    assert [bool(one.warnings) for one in found] == [True, False, True]
    assert found[0].warnings[0].startswith("ConvergenceWarning: ")


def test_warnings_of_fits_that_run_at_once_do_not_mix() -> None:
    together = threading.Barrier(4)

    def work(number: int) -> list[str]:
        with collected_warnings() as seen:
            together.wait(10)
            for _ in range(20):
                warnings.warn(f"from {number}", ConvergenceWarning, stacklevel=1)
            together.wait(10)
        return seen

    before = (warnings.showwarning, list(warnings.filters))
    with ThreadPoolExecutor(4) as pool:
        for number, seen in enumerate(pool.map(work, range(4))):
            assert seen == [f"ConvergenceWarning: from {number}"] * 20
    assert (warnings.showwarning, list(warnings.filters)) == before


def test_warnings_elsewhere_go_where_they_always_go() -> None:
    def from_another_thread() -> list[str]:
        with collected_warnings() as seen:
            thread = threading.Thread(target=lambda: warnings.warn("mine", UserWarning, stacklevel=1))
            thread.start()
            thread.join()
        return seen

    with pytest.warns(UserWarning, match="mine"):
        seen = from_another_thread()
    assert seen == []


def test_targets_keep_what_they_are() -> None:
    frame = frame_of(20)
    assert target_of(frame).dtype == object
    booleans = frame.assign(**{"__target__": np.array([True, False] * 10, dtype=object)})
    assert target_of(booleans).dtype == bool
    whole = frame.assign(**{"__target__": np.arange(20)})
    assert target_of(whole).dtype == np.int64
