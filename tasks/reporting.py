"""Leaves the report of a run where people look: a Prefect artifact and a page in MLflow, however the run ends."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from tasks import runlog
from tasks.candidates import Trained
from tasks.judging import Judgement
from tasks.report import CandidateReport, RunReport, render, render_html
from tasks.results import RetrainResult
from tasks.runlog import Run
from tasks.sources import Snapshot
from tasks.spec import ModelSpec
from tasks.tracking import Version, read_record


class Reporter:
    """What is known of the running retrain: `note` adds to it, `open_run` starts its MLflow run."""

    def __init__(self, spec: ModelSpec, opened: ExitStack) -> None:
        self.spec = spec
        self.known = RunReport(
            model=spec.name,
            gate=spec.gate,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            links=_prefect_link(),
        )
        self.run: Run | None = None
        self._opened = opened

    def note(self, **learnt: Any) -> None:
        """Add fields of `RunReport`. Mappings (facts, links, pictures) are merged with what is there."""
        merged: dict[str, Any] = {
            name: {**getattr(self.known, name), **value} if isinstance(value, Mapping) else value
            for name, value in learnt.items()
        }
        self.known = dataclasses.replace(self.known, **merged)

    def open_run(self, snapshot: Snapshot, engine: str, run_key: str, facts: Mapping[str, str]) -> Run:
        """Start the MLflow run and log what the retrain starts from. It ends with the `reported` block."""
        run = self._start({"slipway.run_key": run_key, "slipway.snapshot": snapshot.fingerprint})
        runlog.log_lineage(run, snapshot)
        lineage = {"engine": engine, "snapshot": snapshot.fingerprint, "spec": self.spec.digest, **facts}
        runlog.log_values(run, {"run_key": run_key, **lineage}, {})
        self.note(facts=lineage)
        return run

    def _start(self, tags: Mapping[str, str]) -> Run:
        self.run = self._opened.enter_context(runlog.parent_run(self.spec, self.known.started, tags))
        self.note(links={"MLflow run": self.run.url})
        return self.run

    @property
    def mlflow_run(self) -> Run:
        if self.run is None:
            raise RuntimeError("open_run comes first")
        return self.run

    def candidates(self, trained: Iterable[Trained], chosen: str) -> None:
        """What was trained, and which one goes before the gate."""
        found = list(trained)
        self.note(
            candidates=tuple(candidate_report(one, chosen) for one in found),
            pictures=next(one.pictures for one in found if one.candidate.name == chosen),
        )

    def judged(self, judgement: Judgement) -> None:
        champion = judgement.champion
        self.note(
            champion=None if champion is None else f"v{champion.number}",
            evidence=judgement.evidence,
            decision=judgement.decision,
        )

    def resumed(self, version: Version) -> None:
        """What the gate saw when an earlier run, killed since, registered `version`."""
        record = read_record(version)
        self.note(
            facts={"resumed": f"version {version.number}, judged at {record.created_at:%Y-%m-%d %H:%M} UTC"},
            champion=None if record.champion is None else f"v{record.champion}",
            evidence=record.evidence,
            decision=record.decision,
        )

    def unchanged(self, last: RetrainResult) -> RetrainResult:
        """The result of a run that has nothing to do after `last`."""
        result = last.as_unchanged(self.known.links.get("Prefect run"))
        links = {"MLflow run of the last completed retrain": last.mlflow_url} if last.mlflow_url else {}
        self.note(unchanged=" ".join(result.reasons), links=links)
        return result

    def write(self) -> None:
        """The page as a Prefect artifact and, if there is an MLflow run, beside it."""
        from prefect.artifacts import create_markdown_artifact

        page = render(self.known)
        create_markdown_artifact(
            page, key=f"report-{self.spec.name}", description=f"Retrain of {self.spec.name}"
        )
        if self.run is not None:
            pages = {
                "report/report.html": render_html(self.known).encode(),
                "report/report.md": page.encode(),
            }
            runlog.log_files(self.run, pages)

    def write_failure(self, error: BaseException) -> None:
        """The page of a run that ends with `error`, with an MLflow run even if it failed before starting one."""
        self.note(failure=str(error) or type(error).__name__)
        if self.run is None:
            self._start({})
        self.write()


def candidate_report(trained: Trained, chosen: str) -> CandidateReport:
    one = trained.candidate
    return CandidateReport(
        one.name,
        one.parameters,
        one.validation_score,
        trained.metrics,
        one.seconds,
        one.warnings,
        one.name == chosen,
    )


@contextmanager
def reported(spec: ModelSpec) -> Iterator[Reporter]:
    """Whatever happens in the block, its report is written. A stopped run (KeyboardInterrupt) reports too."""
    with ExitStack() as opened:
        report = Reporter(spec, opened)
        try:
            yield report
        except BaseException as error:
            try:
                report.write_failure(error)
            except Exception as second:  # noqa: BLE001 - the run's own error must reach the user
                error.add_note(f"(and its report could not be written: {second})")
            raise
        try:
            report.write()
        except Exception as error:  # noqa: BLE001 - the run has done its work; a lost page does not undo it
            logging.getLogger("prefect").warning(
                "the report of %s could not be written: %s", spec.name, error
            )


def _prefect_link() -> dict[str, str]:
    from prefect.runtime import flow_run

    return {"Prefect run": flow_run.ui_url} if flow_run.ui_url else {}
