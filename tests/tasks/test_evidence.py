import time

import numpy as np
import pandas as pd
import pytest

from tasks.evidence import Predictions, all_metrics, collect, paired_interval, predict, statistic
from tasks.gate import Evidence, decide
from tasks.spec import TARGET, GateSpec, ModelSpec
from tasks.training import build, target_of
from tests.tasks.specs import frame_of, spec_of

N = 600


def gate_of(metric: str = "roc_auc", **more: object) -> dict:
    return {"metric": metric, "minimum": 0.5, "resamples": 200, "slice_rows": 50, **more}


def case(skill: float = 0.3, seed: int = 0, n: int = N) -> tuple[pd.DataFrame, np.ndarray, Predictions]:
    """n test rows with a slice column, and a model of the given skill; the same seed is the same rows."""
    rows = np.random.default_rng(7)
    true = rows.random(n) < 0.4
    noise = np.random.default_rng(seed).random(n)
    positive = np.clip(noise * (1 - skill) + skill * true, 0.001, 0.999)
    y = np.where(true, "yes", "no").astype(object)
    probability = np.c_[1 - positive, positive]
    labels = np.where(positive > 0.5, "yes", "no").astype(object)
    colour = np.where(np.arange(n) % 20 == 0, "rare", np.where(np.arange(n) % 3 == 0, "blue", "red"))
    frame = pd.DataFrame({"colour": colour.astype(object)})
    return frame, y, Predictions(labels, probability, ("no", "yes"))


def test_a_first_model_has_no_champion_and_no_interval() -> None:
    frame, y, model = case()
    found = collect(spec_of(gate=gate_of()), frame, y, model)
    assert found.candidate == statistic("roc_auc", y, model)(None)
    assert (found.has_champion, found.champion, found.interval) == (False, None, None)
    assert found.rows == N
    assert not found.problems


def test_the_target_may_be_a_series_with_any_index() -> None:
    frame, y, model = case()
    series = pd.Series(y, index=range(1000, 1000 + N))
    spec = spec_of(gate=gate_of())
    assert collect(spec, frame, series, model) == collect(spec, frame, y, model)


def test_the_interval_of_a_model_with_itself_is_nothing() -> None:
    frame, y, model = case()
    assert collect(spec_of(gate=gate_of()), frame, y, model, model).interval == (0.0, 0.0)


def test_a_better_candidate_is_seen_and_a_worse_one_too() -> None:
    frame, y, good = case(skill=0.5)
    _, _, poor = case(skill=0.1, seed=1)
    spec = spec_of(gate=gate_of())
    better, worse = collect(spec, frame, y, good, poor), collect(spec, frame, y, poor, good)
    assert better.interval is not None
    assert worse.interval is not None
    assert better.interval[0] > 0 > worse.interval[1]
    assert decide(better, spec.gate).outcome == "promote"
    assert decide(worse, spec.gate).outcome == "keep"


def test_the_same_predictions_give_the_same_evidence() -> None:
    frame, y, one = case(seed=1)
    _, _, other = case(seed=2)
    spec = spec_of(gate=gate_of())
    assert collect(spec, frame, y, one, other) == collect(spec, frame, y, one, other)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    gate = GateSpec(metric="neg_mean_absolute_error", minimum=0, confidence=0.9, resamples=200)
    covered = 0
    for _ in range(200):
        y = np.zeros(150)
        one, other = np.abs(generator.normal(1.0, 1, 150)), np.abs(generator.normal(1.0, 1, 150))
        ours, theirs = (statistic(gate.metric, y, Predictions(values)) for values in (one, other))
        found = paired_interval(ours, theirs, 150, gate, [])
        assert found is not None
        covered += found[0] <= 0 <= found[1]
    assert 0.83 < covered / 200 < 0.97


def test_slices_are_scored_and_small_ones_only_reported() -> None:
    frame, y, model = case()
    spec = spec_of(gate=gate_of(slices={"colour": 0.55}))
    found = collect(spec, frame, y, model, model)
    assert [(one.value, one.judged) for one in found.slices] == [
        ("red", True),
        ("blue", True),
        ("rare", False),
    ]
    for one in found.slices:
        mask = (frame["colour"] == one.value).to_numpy()
        assert one.rows == mask.sum()
        assert one.candidate == one.champion
        assert one.candidate == pytest.approx(statistic("roc_auc", y, model)(mask.astype(float)), rel=1e-9)


def test_missing_values_are_a_slice() -> None:
    frame, y, model = case()
    frame.loc[:99, "colour"] = None
    found = collect(spec_of(gate=gate_of(slices={"colour": 0.1})), frame, y, model)
    assert ("missing", 100) in [(one.value, one.rows) for one in found.slices]


def test_numbers_and_booleans_can_be_sliced_by() -> None:
    frame, y, model = case()
    frame["open"] = np.arange(N) % 2 == 0
    frame["count"] = np.arange(N) % 3
    found = collect(spec_of(gate=gate_of(slices={"open": 0.1, "count": 0.1})), frame, y, model)
    assert sorted(one.value for one in found.slices) == ["0", "1", "2", "False", "True"]


def test_thousands_of_small_slices_do_not_swell_the_record() -> None:
    frame, y, model = case()
    frame["colour"] = [f"c{i}" for i in range(N)]
    found = collect(spec_of(gate=gate_of(slices={"colour": 0.1})), frame, y, model)
    assert len(found.slices) == 50
    assert found.unreported_slices == N - 50
    assert len(found.model_dump_json()) < 20_000


def test_a_slice_of_one_class_leaves_the_gate_without_evidence() -> None:
    frame, y, model = case()
    frame["colour"] = np.where(y == "yes", "red", "blue")
    spec = spec_of(gate=gate_of(slices={"colour": 0.1}))
    decision = decide(collect(spec, frame, y, model), spec.gate)
    assert decision.outcome == "insufficient evidence"
    assert "colour is blue" in str(decision)


def insufficient(spec: ModelSpec, found: Evidence) -> str:
    decision = decide(found, spec.gate)
    assert decision.outcome == "insufficient evidence"
    assert Evidence.model_validate_json(found.model_dump_json()) == found
    return str(decision)


def test_predictions_that_are_not_finite_are_named() -> None:
    frame, y, model = case()
    broken = model.probability.copy()
    broken[3, 1] = np.nan
    bad = Predictions(model.labels, broken, model.classes)
    spec = spec_of(gate=gate_of())
    assert "The candidate predicts values that are not finite" in insufficient(
        spec, collect(spec, frame, y, bad)
    )
    assert "The champion predicts values" in insufficient(spec, collect(spec, frame, y, model, bad))


def test_a_metric_that_is_nan_is_named() -> None:
    frame, _, model = case()
    spec = spec_of(gate=gate_of())
    reason = insufficient(spec, collect(spec, frame, np.full(N, "no", dtype=object), model))
    assert "The candidate's roc_auc on the 600 test rows is not a finite number" in reason
    regression = spec_of("regression", gate=gate_of("r2"))
    assert "r2 on the 600" in insufficient(
        regression, collect(regression, frame, np.ones(N), Predictions(np.ones(N)))
    )


def test_a_draw_without_the_rare_class_is_named() -> None:
    frame, _, model = case()
    y = np.full(N, "no", dtype=object)
    y[:2] = "yes"
    spec = spec_of(gate=gate_of())
    assert "bootstrap draws" in insufficient(spec, collect(spec, frame, y, model, model))


def test_no_rows_a_missing_slice_column_and_a_champion_that_cannot_be_judged_are_named() -> None:
    frame, y, model = case()
    spec = spec_of(gate=gate_of(slices={"colour": 0.1}))
    empty = Predictions(model.labels[:0], model.probability[:0], model.classes)
    assert "no test rows" in insufficient(spec, collect(spec, frame[:0], y[:0], empty))
    assert "no column colour" in insufficient(spec, collect(spec, frame[[]], y, model))
    found = collect(spec, frame, y, model, None, "example v3: the digest differs")
    assert found.has_champion
    assert "example v3: the digest differs" in insufficient(spec, found)


def test_a_champion_with_other_labels_is_compared_all_the_same() -> None:
    frame, y, model = case()
    numbers = Predictions(np.zeros(N, dtype=int), np.c_[np.ones(N), np.zeros(N)], (0, 1))
    found = collect(spec_of(gate=gate_of("accuracy")), frame, y, model, numbers)
    assert found.champion == 0.0


@pytest.mark.parametrize(
    ("problem", "classes"), [("classification", 2), ("classification", 4), ("regression", 0)]
)
def test_predictions_of_a_real_pipeline(problem: str, classes: int) -> None:
    spec = spec_of(problem)
    frame = frame_of(400, problem, classes=classes)
    y = target_of(frame)
    pipeline = build(spec, "first").fit(frame[list(spec.columns)], y)
    found = predict(pipeline, frame)
    if problem == "regression":
        assert found.probability is None
        assert found.classes == ()
    else:
        assert found.probability.shape == (400, classes)
        assert found.classes == tuple("abcd"[:classes])
    assert np.array_equal(found.labels, pipeline.predict(frame[list(spec.columns)]))
    scores = all_metrics(spec, frame[TARGET], found)
    assert all(np.isfinite(score) for score in scores.values())
    assert len(scores) == (3 if problem == "regression" else 7)


def test_metrics_that_are_undefined_or_need_probabilities_are_left_out() -> None:
    _, y, model = case()
    labels_only = Predictions(model.labels, None, model.classes)
    assert set(all_metrics(spec_of(), y, labels_only)) == {"accuracy", "balanced_accuracy", "f1"}


def test_the_bootstrap_of_a_large_test_part_is_fast() -> None:
    """500 draws of 80,000 rows for two models in 5 s of one core, by the fastest of a few: others work too."""
    _, y, one = case(n=80_000)
    _, _, other = case(seed=1, n=80_000)
    statistics = [statistic("roc_auc", y, model) for model in (one, other)]
    gate = GateSpec.model_construct(metric="roc_auc", resamples=5, confidence=0.95)
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        assert paired_interval(*statistics, 80_000, gate, [])
        seconds.append(time.perf_counter() - started)
    assert min(seconds) * 100 < 5
