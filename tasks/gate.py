"""The gate: evidence in, decision out. Pure; what it saw is kept as the gate record."""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from tasks.spec import GateSpec, Strict
from tasks.split import ResolvedSplit

Outcome = Literal["promote", "keep", "insufficient evidence"]


class SliceEvidence(Strict):
    """Test rows where `column` has `value`. Only judged slices must reach their floor."""

    column: str
    value: str
    rows: int
    candidate: float | None
    champion: float | None = None
    floor: float
    judged: bool


class Evidence(Strict):
    """What the gate sees: every score on the same test rows, higher is better.

    A score that is not finite is None and named in `problems`. `interval` is the paired bootstrap interval
    of (candidate - champion) at `confidence`. `has_champion` is False for a first model only;
    `champion_problem` says why a champion that exists could not be judged.
    """

    metric: str
    rows: int
    candidate: float | None
    has_champion: bool = False
    champion: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float = 0.95
    resamples: int = 0
    slices: tuple[SliceEvidence, ...] = ()
    unreported_slices: int = 0
    """Values with too few rows to judge that were left out of `slices` to keep the record small."""
    champion_problem: str | None = None
    problems: tuple[str, ...] = ()


class GateDecision(Strict):
    outcome: Outcome
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.outcome}: {' '.join(self.reasons)}"


class GateRecord(Strict):
    """Kept with a registered version; no release without it. `digest` is that of the model's artifacts.

    `champion` is the version that it was judged against (None for a first model): a release that nobody asked
    for by hand replaces no other.
    """

    model: str
    digest: str
    decision: GateDecision
    evidence: Evidence
    split: ResolvedSplit
    run_id: str
    run_key: str
    champion: int | None = None
    created_at: datetime


def decide(evidence: Evidence | None, gate: GateSpec) -> GateDecision:
    """The decision on `evidence`, with one readable sentence a reason.

    `insufficient evidence` if anything that the gate needs is missing or not finite; else `keep` if a floor
    is missed or the lower end of the interval is below the margin; else `promote`.
    """
    gaps = tuple(_gaps(evidence, gate))
    if evidence is None or gaps:
        return GateDecision(outcome="insufficient evidence", reasons=gaps)
    failed = tuple(_failures(evidence, gate))
    if failed:
        return GateDecision(outcome="keep", reasons=failed)
    return GateDecision(outcome="promote", reasons=tuple(_merits(evidence, gate)))


def _gaps(evidence: Evidence | None, gate: GateSpec) -> Iterator[str]:
    if evidence is None:
        yield "There is no evidence."
        return
    if evidence.metric != gate.metric:
        yield f"The evidence is about {evidence.metric}; the gate asks for {gate.metric}."
    if evidence.rows < gate.test_rows:
        yield f"There are {evidence.rows} test rows; the gate asks for {gate.test_rows}."
    yield from evidence.problems
    if not _finite(evidence.candidate):
        yield f"The candidate's {gate.metric} is not a finite number."
    yield from _champion_gaps(evidence, gate)
    for column in gate.slices:
        if not any(found.column == column and found.judged for found in evidence.slices):
            yield f"No value of {column} has the {gate.slice_rows} test rows that judging its floor takes."
    for found in evidence.slices:
        if found.judged and not _finite(found.candidate):
            yield (
                f"The candidate's {gate.metric} where {found.column} is {found.value} "
                f"({found.rows} rows) is not a finite number."
            )


def _champion_gaps(evidence: Evidence, gate: GateSpec) -> Iterator[str]:
    if evidence.champion_problem is not None:
        yield f"The champion cannot be judged on these rows: {evidence.champion_problem.rstrip('.')}."
    elif evidence.has_champion:
        if not _finite(evidence.champion):
            yield f"The champion's {gate.metric} is not a finite number."
        if evidence.interval is None or not all(map(_finite, evidence.interval)):
            yield "There is no finite interval of candidate - champion."
        elif evidence.interval[0] > evidence.interval[1]:
            yield f"The interval {_interval(evidence.interval)} is upside down."


def _failures(evidence: Evidence, gate: GateSpec) -> Iterator[str]:
    score = _number(evidence.candidate)
    if score < gate.minimum:
        yield f"The candidate's {gate.metric} {score:.4f} is below the minimum {gate.minimum:.4f}."
    for found in evidence.slices:
        floor = gate.slices.get(found.column)
        if found.judged and floor is not None and _number(found.candidate) < floor:
            yield (
                f"The candidate's {gate.metric} where {found.column} is {found.value} ({found.rows} rows) is "
                f"{found.candidate:.4f}, below the floor {floor:.4f}."
            )
    if evidence.has_champion and evidence.interval is not None and evidence.interval[0] < gate.margin:
        compared = _compared(evidence, evidence.interval)
        yield f"{compared}; its lower end is below the margin {gate.margin:+.4f}."


def _merits(evidence: Evidence, gate: GateSpec) -> Iterator[str]:
    yield (
        f"The candidate's {gate.metric} {evidence.candidate:.4f} on {evidence.rows} test rows reaches the "
        f"minimum {gate.minimum:.4f}."
    )
    judged = [found for found in evidence.slices if found.judged]
    if judged:
        lowest = min(judged, key=lambda found: _number(found.candidate) - found.floor)
        yield (
            f"All {len(judged)} judged slices reach their floor (closest: {lowest.column} {lowest.value}, "
            f"{lowest.candidate:.4f} against {lowest.floor:.4f})."
        )
    if evidence.has_champion and evidence.interval is not None:
        compared = _compared(evidence, evidence.interval)
        yield f"{compared}; its lower end reaches the margin {gate.margin:+.4f}."
    else:
        yield "There is no champion: a first model is judged by the floors alone."


def _finite(number: float | None) -> bool:
    return number is not None and math.isfinite(number)


def _number(number: float | None) -> float:
    """A score that `_gaps` has proven to be there."""
    if number is None:
        raise ValueError("a score is missing after the check for gaps")
    return number


def _compared(evidence: Evidence, interval: tuple[float, float]) -> str:
    difference = _number(evidence.candidate) - _number(evidence.champion)
    return (
        f"Candidate - champion is {difference:+.4f} with a {evidence.confidence:.0%} interval of "
        f"{_interval(interval)}"
    )


def _interval(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"
