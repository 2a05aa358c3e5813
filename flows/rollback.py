"""Back to the previous live version, and a hold until a person releases again."""

from prefect import flow

from flows.release import bring_live
from tasks import handover, rolling_back, tracking
from tasks.errors import SpecError
from tasks.locks import one_at_a_time
from tasks.releasing import ReleaseResult
from tasks.serving import serving
from tasks.spec import load_spec


@flow(name="rollback", flow_run_name="rollback {model}")
def rollback(model: str, reason: str) -> ReleaseResult:
    """Release the version before the live one again, through the same smoke test.

    The version that is left is tagged with `reason`, and the model is held: retrains go on, but release
    nothing until a person does. RegistryError for a second rollback with no release in between.
    """
    spec = load_spec(model)
    if not reason.strip():
        raise SpecError("--reason", "is empty", "Say why: it is kept with the version.")
    tracking.check_server()
    with one_at_a_time("release", spec.name):
        server = serving()
        server.retire_candidates(spec.name)
        move = rolling_back.decide_rollback(spec.name, server)
        before = rolling_back.version_before(spec.name, move.to)
        with rolling_back.marked(spec.name, move, reason) as hold:
            result = bring_live(before, spec.serving)
    result = result.model_copy(
        update={"outcome": "rolled back", "note": f"{result.note} On hold: {hold}".strip()}
    )
    handover.keep("rollback", result)
    return result
