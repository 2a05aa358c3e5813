"""source -> snapshot -> prepare -> validate -> split -> train -> judge -> register -> release."""

from datetime import UTC, datetime
from typing import Any

from prefect import flow, runtime
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.release import check_way, release_registered
from flows.steps import cores, step
from tasks import (
    candidates,
    handover,
    judging,
    preparation,
    results,
    runkey,
    split,
    tracking,
    training,
    validation,
)
from tasks import sources as data
from tasks.candidates import Trained
from tasks.errors import InsufficientEvidence
from tasks.gate import GateRecord
from tasks.judging import Judgement, Rows
from tasks.lineage import code_facts
from tasks.locks import one_at_a_time
from tasks.releasing import ReleaseResult
from tasks.reporting import Reporter, reported
from tasks.results import RetrainResult, retrain_result
from tasks.spec import Engine, ModelSpec, load_spec
from tasks.tracking import Version

seed_sources = step(data.seed_sources, "seed sources")
take_snapshot = step(data.take_snapshot, "snapshot")
check_candidates = step(training.check, "check candidates")
prepare = step(preparation.prepare, "prepare")
validate = step(validation.validate, "validate")
read_prepared = step(preparation.read_prepared, "read prepared")
split_rows = step(judging.split_rows, "split")
score_fit = step(candidates.score_fit, "score", task_run_name="score {fit}")
train_candidate = step(candidates.train_candidate, "train", task_run_name="train {name}")
judge = step(judging.judge, "judge")
register = step(tracking.register, "register")


@flow(name="retrain", flow_run_name="retrain {model}", task_runner=cores())
def retrain(
    model: str, engine: Engine | None = None, force: bool = False, sources: dict[str, str] | None = None
) -> Any:
    """Train, judge and, if the gate says `promote`, release `model`; returns a RetrainResult.

    `model` is a name in deployments/models or the path of a spec. `engine` and `sources` (name -> URI) stand
    in for the spec's; `force` recomputes what is unchanged. Raises SlipwayError: production is as it was.
    """
    spec = load_spec(model)
    engine = engine or spec.engine
    tracking.check_server()
    check_way(spec.name)
    with one_at_a_time("retrain", spec.name), reported(spec) as report:
        seed_sources(spec)
        snapshot = take_snapshot(spec, sources)
        key = runkey.run_key(spec, snapshot, engine, preparation.code_hash(spec))
        last = runkey.last_completed(spec.name)
        if last is not None and last.run_key == key and not force and results.stands(last):
            result = report.unchanged(last)
        else:
            report.open_run(snapshot, engine, key, code_facts())
            since = runtime.flow_run.scheduled_start_time if force else None
            registered = tracking.unreleased(spec.name, key, since)
            if registered is not None:
                report.resumed(registered)
            else:
                check_candidates(spec)
                prepared = prepare(spec, snapshot, engine, with_target=True)
                validate(spec, prepared)
                rows = split_rows(spec, read_prepared(prepared))
                registered = train_and_judge(spec, rows, key, report)
            result = bring_live(model, registered, key, report)
            runkey.complete(result)
    handover.keep("retrain", result)
    return Completed(name=result.outcome.capitalize(), message=" ".join(result.reasons), data=result)


def train_and_judge(spec: ModelSpec, rows: Rows, key: str, report: Reporter) -> Version | None:
    """The version that the gate let through, or None if the champion stays."""
    report.note(facts={"rows": f"{len(rows.frame):,}"}, split=split.described(rows.split))
    trained = train(spec, rows, report)
    winner = trained[training.winner([one.candidate for one in trained.values()]).name]
    report.candidates(trained.values(), winner.candidate.name)
    judgement = judge(spec, rows, winner.candidate.pipeline, winner.predictions)
    report.judged(judgement)
    if judgement.decision.outcome == "insufficient evidence":
        raise InsufficientEvidence(
            f"gate of {spec.name}", " ".join(judgement.decision.reasons), judging.NEXT_STEP
        )
    if judgement.decision.outcome == "keep":
        return None
    return register(gate_record(spec, rows, winner, judgement, key), winner.logged.source)


def train(spec: ModelSpec, rows: Rows, report: Reporter) -> dict[str, Trained]:
    """Every candidate, with the best of its parameter sets, trained as many at a time as there are cores."""
    training.warm_imports()
    fits = training.plan_fits(spec)
    scored = [score_fit.submit(spec, rows, fit) for fit in fits]
    best = training.best_of_each(spec, [one.result() for one in scored])
    running = {
        name: train_candidate.submit(spec, rows, name, best[name], report.mlflow_run)
        for name in spec.candidates
    }
    trained = {name: one.result() for name, one in running.items()}
    for name, one in trained.items():
        for warning in one.candidate.warnings:
            get_run_logger().warning("candidate %s: %s", name, warning)
    return trained


def gate_record(spec: ModelSpec, rows: Rows, winner: Trained, judgement: Judgement, key: str) -> GateRecord:
    return GateRecord(
        model=spec.name,
        digest=winner.logged.digest,
        decision=judgement.decision,
        evidence=judgement.evidence,
        split=rows.split,
        run_id=winner.logged.run.run_id,
        run_key=key,
        champion=None if judgement.champion is None else judgement.champion.number,
        created_at=datetime.now(UTC),
    )


def bring_live(model: str, version: Version | None, key: str, report: Reporter) -> RetrainResult:
    """Release what the gate let through, unless a rollback's hold stands."""
    released: ReleaseResult | None = None
    if version is not None:
        report.note(registered=f"v{version.number}")
        released = release_registered(model, version.number)
        report.note(traffic=str(released))
    return retrain_result(report.known, key, released)
