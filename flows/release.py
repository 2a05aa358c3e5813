"""A registered version becomes live, proven by its golden rows; or everything stays as it was."""

from typing import cast

from prefect import flow
from prefect.logging import get_run_logger

from flows import trigger
from flows.steps import step
from tasks import handover, releasing, tracking
from tasks.locks import one_at_a_time
from tasks.releasing import ReleaseResult
from tasks.serving import serving
from tasks.settings import settings
from tasks.spec import load_spec
from tasks.spec_schema import ServingSpec
from tasks.tracking import Version
from tasks.undo import or_as_before

prepare_release = step(releasing.prepare_release, "check the artifacts and plan")
prove_candidate = step(releasing.prove_candidate, "prove the candidate at its own address")
move_traffic = step(releasing.move_traffic, "move traffic")
prove_live = step(releasing.prove_live, "prove the stable address")
move_aliases = step(releasing.move_aliases, "move the aliases")
retire = step(releasing.retire, "retire the candidate")


@flow(name="release", flow_run_name="release {model}")
def release(
    model: str,
    version: int | None = None,
    force: bool = False,
    reason: str = "",
    by_person: bool = True,
) -> ReleaseResult:
    """Make `version` of `model` (default: the newest with a valid gate record) live.

    A person's release ends a hold; one that is not `by_person` respects it and changes nothing. `force`, with
    a `reason` that is recorded, excuses a missing gate record and nothing else. Running it again is harmless.
    Raises ServingError, RegistryError or SpecError; what was live before is live then.
    """
    spec = load_spec(model)
    tracking.check_server()
    with one_at_a_time("release", spec.name):
        held = tracking.hold(spec.name)
        if held is not None and not by_person:
            result = releasing.on_hold(spec.name, serving(), held)
            handover.keep("release", result)
            return result
        chosen = releasing.select_version(spec.name, version, force, reason)
        if not by_person:
            releasing.check_incumbent(chosen, serving())
        result = bring_live(chosen, spec.serving)
        if by_person:
            releasing.end_hold(chosen)
    handover.keep("release", result)
    return result


def check_way(model: str) -> None:
    """Raise SpecError, before anything is trained, if a cluster has no deployment that could release `model`."""
    if settings().platform == "cluster":
        trigger.check("release", model)


def release_registered(model: str, number: int) -> ReleaseResult:
    """What a retrain ends with. On a cluster, a run of its own in the pool that may touch what is served.

    Code of a model never runs with that right; and a retrain that runs again finds the release it started.
    """
    if settings().platform == "embedded":
        return release(model, number, by_person=False)
    say = get_run_logger().info
    ended = trigger.run_or_join("release", load_spec(model).name, say, version=number, by_person=False)
    return cast(ReleaseResult, ended.result)


def bring_live(version: Version, needs: ServingSpec) -> ReleaseResult:
    """The steps that `release` and `rollback` share. The caller holds the model's lock."""
    server = serving()
    ongoing = prepare_release(version, needs, server)
    with or_as_before(ongoing, server):
        if ongoing.plan.moves_traffic:
            prove_candidate(ongoing, server)
            move_traffic(ongoing, server)
        figures = prove_live(ongoing, server)
        if ongoing.plan.moves_aliases:
            move_aliases(ongoing)
    note = retire(ongoing, server)
    return releasing.result(ongoing, server, figures, note)
