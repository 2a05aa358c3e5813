"""snapshot -> prepare (without target) -> validate -> the champion's predictions, as parquet."""

from prefect import flow, runtime
from prefect.logging import get_run_logger

from flows.steps import step
from tasks import engines, handover, preparation, scoring, tracking, validation
from tasks import sources as data
from tasks.scoring import ScoreResult
from tasks.spec import Engine, load_spec

take_snapshot = step(data.take_snapshot, "snapshot")
prepare = step(preparation.prepare, "prepare")
validate = step(validation.validate, "validate")
find_champion = step(scoring.find_champion, "find champion")
write_predictions = step(scoring.write_predictions, "predict")


@flow(name="score", flow_run_name="score {model}")
def score(
    model: str, destination: str, sources: dict[str, str] | None = None, engine: Engine | None = None
) -> ScoreResult:
    """Score the spec's sources (or those given: name -> URI) with the champion of `model`.

    `destination` becomes a folder of parquet with the spec's keys, `prediction` and, for a classifier,
    `probability_<class>`; what an earlier score left there stays until the new one is complete. Categories
    that training did not see are predicted as unknown, and counted in the result.
    """
    spec = load_spec(model)
    engine = engine or spec.engine
    tracking.check_server()
    place = scoring.destination_uri(destination)
    champion = find_champion(spec.name)
    snapshot = take_snapshot(spec, sources)
    run_id = str(runtime.flow_run.id)
    with engines.working(engine):
        prepared = prepare(spec, snapshot, engine, with_target=False)
        validate(spec, prepared, new_categories=True)
        result = write_predictions(spec, prepared, champion, engine, place, run_id, snapshot.fingerprint)
    for column, new in result.new_categories.items():
        get_run_logger().warning(
            "column %s: %d of %d rows hold a category that training did not see (%s)",
            column, new.rows, result.rows, ", ".join(new.values),
        )  # fmt: skip
    handover.keep("score", result)
    return result
