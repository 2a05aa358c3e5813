"""What a failed release puts back, and in which order: traffic, then the aliases, then the candidate."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks import tracking
from tasks.errors import ServingError
from tasks.releasing import Release
from tasks.serving import Predictor, Serving
from tasks.tracking import Alias


@contextmanager
def or_as_before(release: Release, server: Serving) -> Iterator[None]:
    """If the body fails, make everything as it was before this release, and say so.

    What comes out is a ServingError with what was observed, what is live now and the end of the server's log.
    """
    try:
        yield
    except BaseException as error:
        log = server.log_tail(release.model, release.version.number)
        try:
            put_back(release, server)
        except Exception as second:  # noqa: BLE001 - whatever it is, a person must hear of both
            raise ServingError(
                f"release of {release.version.name}",
                f"failed ({error}), and what was before could not be put back ({second})",
                f"Repair the server, then run `slipway release {release.model}`.\nEnd of its log:\n{log}",
            ) from error
        if not isinstance(error, Exception):
            raise  # stopped by a person or by Prefect: all is as before, and no server is to blame
        raise ServingError(
            f"release of {release.version.name}",
            f"{error}\n{_still(release)}",
            f"Correct this, and run `slipway release {release.model}`.\nEnd of the server's log:\n{log}",
        ) from error


def put_back(release: Release, server: Serving) -> None:
    """Undo what was done, if anything was. Traffic first, without MLflow, which may be what failed."""
    before, served = release.plan.back_to, release.predictor.served
    told = server.told(release.model)
    serves = (told is not None and told.served == served) or server.answering(release.model) == served
    if serves and before != release.version.number:
        server.move_traffic(release.model, predictor_before(release))
    server.retire_candidates(release.model)
    _alias_back(release.model, "champion", release.facts.champion)
    _alias_back(release.model, "previous", release.facts.previous)


def predictor_before(release: Release) -> Predictor | None:
    """The predictor to go back to: as the server was told when the release began, or else as registered.

    If nothing answered then, what the server would have served after a restart is told to it again.
    """
    told, number = release.facts.told, release.plan.back_to
    if number is None:
        return None if told is None or told.served == release.predictor.served else told
    if told is not None and told.number == number:
        return told
    version = tracking.get_version(release.model, number)
    return Predictor(number, version.digest or "", version.uri)


def _alias_back(model: str, name: Alias, number: int | None) -> None:
    now = tracking.alias(model, name)
    if number is not None and (now is None or now.number != number):
        tracking.set_alias(model, name, number)
    elif number is None and now is not None:
        tracking.delete_alias(model, name)


def _still(release: Release) -> str:
    before = release.plan.back_to
    return "Nothing is live, as before." if before is None else f"Version {before} is live, as before."
