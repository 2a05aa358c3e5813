"""What a retrain ends with: small, frozen, JSON."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.releasing import ReleaseResult
from tasks.report import RunReport, summary_table

Outcome = Literal["released", "kept", "held", "unchanged"]


class RetrainResult(BaseModel):
    """`kept`: the champion stays. `held`: registered, but a rollback's hold stands. `unchanged`: nothing to do.

    `version` is the version registered in this run, or in the run that an unchanged one repeats. `table` has
    rows (what, candidate, champion, threshold).
    """

    model_config = ConfigDict(frozen=True)

    model: str
    outcome: Outcome
    reasons: tuple[str, ...]
    run_key: str
    version: int | None = None
    table: tuple[tuple[str, str, str, str], ...] = ()
    mlflow_url: str | None = None
    prefect_url: str | None = None
    release: ReleaseResult | None = None

    def as_unchanged(self, prefect_url: str | None) -> "RetrainResult":
        """The result of a run that found nothing to do after this one."""
        reason = f"Spec, data, code and locks are those of the last completed run ({self.outcome})."
        return self.model_copy(
            update={
                "outcome": "unchanged",
                "reasons": (reason,),
                "prefect_url": prefect_url,
                "release": None,
            }
        )


def stands(result: RetrainResult) -> bool:
    """Whether what a completed run left is still there: its version registered, and some version answering."""
    from tasks import tracking
    from tasks.serving.asked import answering

    if result.version is None:
        return True
    if not tracking.is_registered(result.model, result.version):
        return False
    return result.outcome == "held" or answering(result.model) is not None


def retrain_result(report: RunReport, run_key: str, release: ReleaseResult | None) -> RetrainResult:
    """Pure: the result of a run that came to a decision, `release` being what followed a `promote`."""
    if release is None:
        outcome: Outcome = "kept"
    else:
        outcome = "held" if release.outcome == "on hold" else "released"
    return RetrainResult(
        model=report.model,
        outcome=outcome,
        reasons=report.decision.reasons if report.decision else (),
        run_key=run_key,
        version=None if report.registered is None else int(report.registered.removeprefix("v")),
        table=tuple(summary_table(report)),
        mlflow_url=report.links.get("MLflow run"),
        prefect_url=report.links.get("Prefect run"),
        release=release,
    )
