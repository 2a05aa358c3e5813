import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.gate import Evidence, GateDecision, GateRecord, SliceEvidence, decide
from tasks.spec import GateSpec
from tasks.split import ResolvedSplit

GATE = GateSpec(metric="roc_auc", minimum=0.7, margin=-0.01, slices={"origin": 0.6})


def part(value: str = "EWR", candidate: float | None = 0.7, judged: bool = True) -> SliceEvidence:
    return SliceEvidence(
        column="origin", value=value, rows=500, candidate=candidate, floor=0.6, judged=judged
    )


def evidence(**changes: object) -> Evidence:
    """Good enough in every respect, unless changed."""
    good: dict = {
        "metric": "roc_auc",
        "rows": 1000,
        "candidate": 0.8,
        "has_champion": True,
        "champion": 0.79,
        "interval": (-0.005, 0.02),
        "slices": (part(), part("JFK")),
    }
    return Evidence(**{**good, **changes})


FIRST = {"has_champion": False, "champion": None, "interval": None}


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({}, "promote", "lower end reaches the margin -0.0100"),
        ({"interval": (-0.01, 0.02)}, "promote", "[-0.0100, +0.0200]"),
        ({"interval": (-0.0101, 0.02)}, "keep", "lower end is below the margin -0.0100"),
        ({"candidate": 0.7}, "promote", "reaches the minimum 0.7000"),
        ({"candidate": 0.6999}, "keep", "roc_auc 0.6999 is below the minimum 0.7000"),
        (
            {"slices": (part(), part("JFK", 0.59))},
            "keep",
            "origin is JFK (500 rows) is 0.5900, below the floor",
        ),
        ({"slices": (part(), part("JFK", 0.1, judged=False))}, "promote", "All 1 judged slices"),
        ({"slices": (part(), part("JFK", None, judged=False))}, "promote", "All 1 judged slices"),
        (
            {"slices": (part(candidate=None),)},
            "insufficient evidence",
            "origin is EWR (500 rows) is not a finite",
        ),
        ({"slices": ()}, "insufficient evidence", "No value of origin has the 100 test rows"),
        ({"slices": (part(judged=False),)}, "insufficient evidence", "No value of origin has the 100 test"),
        (FIRST, "promote", "no champion: a first model is judged by the floors alone"),
        ({**FIRST, "candidate": 0.5}, "keep", "below the minimum"),
        ({"candidate": None}, "insufficient evidence", "candidate's roc_auc is not a finite number"),
        ({"champion": None}, "insufficient evidence", "champion's roc_auc is not a finite number"),
        ({"interval": None}, "insufficient evidence", "no finite interval"),
        ({"interval": (0.2, 0.1)}, "insufficient evidence", "upside down"),
        ({"rows": 0}, "insufficient evidence", "There are 0 test rows; the gate asks for 30"),
        ({"rows": 29}, "insufficient evidence", "There are 29 test rows; the gate asks for 30"),
        ({"rows": 30}, "promote", "on 30 test rows"),
        ({"metric": "accuracy"}, "insufficient evidence", "about accuracy; the gate asks for roc_auc"),
        (
            {"champion_problem": "v3: digest."},
            "insufficient evidence",
            "judged on these rows: v3: digest.",
        ),
        ({"problems": ("A draw failed.",)}, "insufficient evidence", "A draw failed."),
        # a gap outweighs a missed floor: what is not known is not decided
        ({"candidate": 0.1, "interval": None}, "insufficient evidence", "no finite interval"),
    ],
)
def test_decisions(changes: dict, outcome: str, reason: str) -> None:
    decision = decide(evidence(**changes), GATE)
    assert decision.outcome == outcome
    assert reason in str(decision)


def test_no_evidence_at_all() -> None:
    assert decide(None, GATE).outcome == "insufficient evidence"


def test_every_missed_floor_is_a_reason() -> None:
    decision = decide(evidence(candidate=0.1, interval=(-1.0, -0.5), slices=(part(candidate=0.2),)), GATE)
    assert len(decision.reasons) == 3


def test_evidence_refuses_numbers_that_json_cannot_hold() -> None:
    with pytest.raises(ValidationError):
        evidence(candidate=math.nan)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["candidate", "champion", "interval", "slices"])
def test_evidence_that_got_round_the_check_still_does_not_promote(bad: float, field: str) -> None:
    value: object = bad
    if field == "interval":
        value = (bad, 1.0)
    if field == "slices":
        value = (part().model_copy(update={"candidate": bad}),)
    assert decide(evidence().model_copy(update={field: value}), GATE).outcome == "insufficient evidence"


scores = st.floats(-10, 10)
maybe = st.none() | scores


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    low, high = sorted([draw(scores), draw(scores)])
    slices = draw(st.lists(st.builds(part, st.sampled_from(["a", "b"]), maybe, st.booleans()), max_size=4))
    champion = draw(st.booleans())
    return Evidence(
        metric="roc_auc",
        rows=draw(st.integers(27, 40)),
        candidate=draw(maybe),
        has_champion=champion,
        champion=draw(maybe) if champion else None,
        interval=draw(st.none() | st.just((low, high))) if champion else None,
        slices=tuple(slices),
        champion_problem=draw(st.none() | st.just("gone")) if champion else None,
        problems=tuple(draw(st.lists(st.just("a problem"), max_size=1))),
    )


gates = st.builds(
    lambda minimum, margin, floor: GateSpec(
        metric="roc_auc", minimum=minimum, margin=margin, slices={"origin": floor}
    ),
    scores,
    scores,
    scores,
)


@given(any_evidence(), gates, st.floats(0, 5))
def test_raising_the_candidates_scores_never_turns_promote_to_keep(
    found: Evidence, gate: GateSpec, rise: float
) -> None:
    def up(score: float | None) -> float | None:
        return None if score is None else score + rise

    better = found.model_copy(
        update={
            "candidate": up(found.candidate),
            "interval": None if found.interval is None else tuple(end + rise for end in found.interval),
            "slices": tuple(one.model_copy(update={"candidate": up(one.candidate)}) for one in found.slices),
        }
    )
    before, after = decide(found, gate).outcome, decide(better, gate).outcome
    assert (before, after) in {
        ("promote", "promote"),
        ("keep", "keep"),
        ("keep", "promote"),
        ("insufficient evidence", "insufficient evidence"),
    }


@given(any_evidence(), gates)
def test_nothing_is_promoted_with_a_gap_or_below_a_floor(found: Evidence, gate: GateSpec) -> None:
    decision = decide(found, gate)
    assert decision.reasons
    if decision.outcome != "promote":
        return
    assert found.rows >= gate.test_rows
    assert any(one.judged for one in found.slices)
    assert not found.problems
    assert found.champion_problem is None
    assert found.candidate is not None
    assert found.candidate >= gate.minimum
    for one in found.slices:
        assert not one.judged or (one.candidate is not None and one.candidate >= gate.slices["origin"])
    if found.has_champion:
        assert found.champion is not None
        assert found.interval is not None
        assert found.interval[0] >= gate.margin


@given(any_evidence())
def test_evidence_survives_json(found: Evidence) -> None:
    assert Evidence.model_validate_json(found.model_dump_json()) == found


def test_a_gate_record_survives_json_and_refuses_unknown_keys() -> None:
    record = GateRecord(
        model="iris",
        digest="sha256:" + "0" * 64,
        decision=GateDecision(outcome="promote", reasons=("Good.",)),
        evidence=evidence(),
        split=ResolvedSplit(by="random", columns=("id",), test=0.2),
        run_id="r",
        run_key="k",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    written = record.model_dump_json()
    assert GateRecord.model_validate_json(written) == record
    with pytest.raises(ValidationError, match="extra"):
        GateRecord.model_validate_json(json.dumps({**json.loads(written), "more": 1}))
