"""What a rollback decides, and the marks that it leaves: a tag on the version, a hold on the model.

The marks are set first and taken away again if the rollback fails. So a champion that is marked as rolled
back means a rollback that was killed, and the next one finishes it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tasks import tracking
from tasks.errors import RegistryError
from tasks.faults import kill_here
from tasks.releasing import FORCED
from tasks.serving import Serving
from tasks.tracking import ROLLED_BACK, Version


@dataclass(frozen=True)
class Rollback:
    """From the version that is left to the one that is released instead."""

    leaves: int
    to: int


def plan_rollback(
    model: str, champion: Version | None, previous: Version | None, answering: int | None
) -> Rollback:
    """Pure: where a rollback goes.

    RegistryError if nothing is live, there is no previous version, or it was itself rolled back already.
    """
    if champion is None:
        raise RegistryError(
            f"model {model}", "has no champion", "There is nothing to roll back; release one."
        )
    unfinished = champion.rolled_back is not None
    if unfinished and answering is not None and answering != champion.number:
        return Rollback(leaves=champion.number, to=answering)
    if not unfinished and answering is not None and answering != champion.number:
        # A release moved traffic and died before the aliases: the champion is the version before it.
        return Rollback(leaves=answering, to=champion.number)
    if previous is None or previous.number == champion.number:
        raise RegistryError(
            f"model {model}",
            f"version {champion.number} is live, and no version was before it",
            "Release another version: `slipway release MODEL --version N`.",
        )
    if previous.rolled_back is not None:
        raise RegistryError(
            f"model {model}",
            f"version {champion.number} is live, and version {previous.number} before it was rolled back "
            f"already ({previous.rolled_back})",
            "A second rollback needs a release in between: `slipway release MODEL --version N`.",
        )
    return Rollback(leaves=champion.number, to=previous.number)


def decide_rollback(model: str, server: Serving) -> Rollback:
    answering = server.answering(model)
    return plan_rollback(
        model,
        tracking.alias(model, "champion"),
        tracking.alias(model, "previous"),
        answering.number if answering else None,
    )


def version_before(model: str, number: int) -> Version:
    """The registered version to go back to, with the gate record (or the force) that once released it."""
    version = tracking.get_version(model, number)
    if FORCED not in version.tags:
        tracking.read_record(version)
    return version


@contextmanager
def marked(model: str, move: Rollback, reason: str) -> Iterator[str]:
    """Mark the version that is left and hold the model, or, if the body fails, leave both as they were.

    Gives the hold's text.
    """
    left = tracking.get_version(model, move.leaves)
    held = tracking.hold(model)
    hold = f"version {left.number} was rolled back: {reason}"
    tracking.set_hold(model, hold)
    tracking.tag_version(left, ROLLED_BACK, reason)
    kill_here("rollback marked")
    try:
        yield hold
    except BaseException:
        if left.rolled_back is None:
            tracking.untag_version(left, ROLLED_BACK)
        if held is None:
            tracking.clear_hold(model)
        else:
            tracking.set_hold(model, held)
        raise
