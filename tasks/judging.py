"""Judging a candidate: the same test rows, seen by it and by the champion, put before the gate."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tasks import artifacts, evidence, gate, split, tracking
from tasks.evidence import Predictions
from tasks.serving.asked import answering
from tasks.spec import ModelSpec
from tasks.training import target_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Rows:
    """Prepared rows of one run and their side of the split.

    `frame`: the columns of the spec, its extra columns and the target; `on_test`: (n,) bool.
    """

    frame: "pd.DataFrame"
    split: split.ResolvedSplit
    on_test: "npt.NDArray[np.bool_]"

    @cached_property
    def validation(self) -> "npt.NDArray[np.bool_]":
        """(n,) the training rows on which parameter sets are scored."""
        return split.validation_rows(self.split, self.frame)


@dataclass(frozen=True)
class Judgement:
    """What the gate saw and said. `champion` is the version that the candidate was compared with."""

    evidence: gate.Evidence
    decision: gate.GateDecision
    champion: tracking.Version | None


def split_rows(spec: ModelSpec, frame: "pd.DataFrame") -> Rows:
    """Rows of `frame` with their side. DataError if a side is empty or the target cannot be learnt."""
    resolved = split.resolve(spec, frame)
    return Rows(frame, resolved, split.test_rows(resolved, frame))


NEXT_STEP = (
    "Production is untouched. Give the evidence that is missing; a champion that can no longer be judged (its "
    "columns, test rows or gate record are gone) needs them back, or the model a new name."
)


def judge(spec: ModelSpec, rows: Rows, pipeline: "Pipeline", predictions: Predictions) -> Judgement:
    """Compare a fitted candidate with the champion on rows that neither has trained on.

    `predictions` are the candidate's for all test rows of this run. A champion that cannot be loaded, trusted
    or asked on these rows is a gap in the evidence: the gate then decides `insufficient evidence`.
    """
    champion, problem = None, None
    on, ours, theirs = rows.on_test, predictions, None
    try:
        champion = incumbent(spec.name)
        if champion is not None:
            on, theirs = _champion_view(champion, rows)
            if on.sum() < rows.on_test.sum():
                ours = evidence.predict(pipeline, rows.frame[on])
    except Exception as error:  # noqa: BLE001 - whatever keeps the champion from being judged is evidence
        problem = str(error) if champion is None else f"{champion.name}: {error}"
    tested = rows.frame[on]
    found = evidence.collect(spec, tested, target_of(tested), ours, theirs, problem)
    return Judgement(found, gate.decide(found, spec.gate), champion)


def incumbent(model: str) -> tracking.Version | None:
    """What a release would replace: the version that really answers, or else the one that is meant to.

    The two differ after a release that was killed between moving traffic and moving the aliases.
    """
    found = answering(model)
    if found is not None:
        return tracking.get_version(model, found.number)
    return tracking.alias(model, "champion")


def _champion_view(champion: tracking.Version, rows: Rows) -> "tuple[npt.NDArray[np.bool_], Predictions]":
    """(n,) the test rows common to both, and the champion's predictions for them."""
    record = tracking.read_record(champion)
    common = split.common_test_rows(rows.split, record.split, rows.frame)
    return common, evidence.predict(artifacts.load_pipeline(champion), rows.frame[common])
