"""What a release decides and does, step by step. The order of the steps is in `flows/release.py`.

`plan` decides from what the server really answers; the aliases only say what was meant. So a release that was
killed anywhere is simply run again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks import artifacts, tracking
from tasks.errors import RegistryError, SlipwayError, SpecError
from tasks.faults import kill_here
from tasks.golden import Golden, read_golden
from tasks.serving import Predictor, Served, Serving
from tasks.settings import settings
from tasks.smoke import SmokeTest, curl_line, smoke_test, wait_for_only
from tasks.spec_schema import ServingSpec
from tasks.tracking import Version

FORCED = "slipway.forced"
"""Tag of a version that was released without a valid gate record: the reason that a person gave."""

Outcome = Literal["released", "already live", "rolled back", "on hold"]


class ReleaseResult(BaseModel):
    """What a release or a rollback left behind. `version` is live; `previous` was, before it."""

    model_config = ConfigDict(frozen=True)

    model: str
    outcome: Outcome
    version: int | None
    previous: int | None
    rest_url: str
    grpc_url: str
    curl: str = ""
    smoke: SmokeTest | None = None
    note: str = ""
    """What a person should know: a hold, a forced version, a leftover."""

    def __str__(self) -> str:
        version = "no version" if self.version is None else f"version {self.version}"
        before = "" if self.previous is None else f" (before it: version {self.previous})"
        return f"{self.model}: {self.outcome}: {version}{before}. {self.note}".rstrip()


@dataclass(frozen=True)
class Facts:
    """What is so when a release starts."""

    answering: Served | None
    """What really answers at the stable address."""
    told: Predictor | None
    """What the server would serve after a restart."""
    champion: int | None
    previous: int | None
    registered: frozenset[int]
    """Numbers of the versions that the registry still has: an alias can only point at one of these."""


@dataclass(frozen=True)
class Plan:
    """What a release does. `back_to` is the version that must answer again if it fails (None: none did)."""

    moves_traffic: bool
    moves_aliases: bool
    back_to: int | None
    previous: int | None


def plan(target: Served, facts: Facts) -> Plan:
    """Pure: what is left to do so that `target` is live.

    The outgoing version is what really answers; only if that is `target` already (an earlier run moved
    traffic and died) the alias `champion` says what answered before.
    """
    answers = facts.answering == target
    told = facts.told is not None and facts.told.served == target
    outgoing = facts.champion
    if not answers and facts.answering is not None:
        outgoing = facts.answering.number
    replaces = outgoing is not None and outgoing != target.number
    return Plan(
        moves_traffic=not (answers and told),
        moves_aliases=facts.champion != target.number or (not answers and replaces),
        back_to=outgoing if facts.answering is not None else None,
        previous=outgoing if replaces and outgoing in facts.registered else facts.previous,
    )


def choose(model: str, candidates: list[Version], valid: Callable[[Version], bool]) -> Version:
    """The newest of `candidates` (newest first) that no rollback left and whose gate record is `valid`."""
    for version in candidates:
        if version.rolled_back is None and valid(version):
            return version
    raise RegistryError(
        f"model {model}",
        f"none of its {len(candidates)} registered versions has a valid gate record and is not rolled back",
        "Run `slipway retrain` first, or name a version with --version.",
    )


def has_record(version: Version) -> bool:
    try:
        tracking.read_record(version)
    except RegistryError:
        return False
    return True


def check_force(number: int | None, force: bool, reason: str) -> None:
    """SpecError if a person forces a release without saying which and why."""
    if force and (number is None or not reason.strip()):
        raise SpecError("--force", "needs a version and a reason", "Give --version N and --reason TEXT.")


def select_version(model: str, number: int | None, force: bool, reason: str) -> Version:
    """The version to release: `number`, or else the newest that may be.

    RegistryError if its gate record is missing or does not match, unless `force` with a `reason`.
    """
    check_force(number, force, reason)
    if number is None:
        return choose(model, tracking.versions(model), has_record)
    version = tracking.get_version(model, number)
    if not force:
        tracking.read_record(version)
        return version
    if has_record(version):
        return version
    tracking.tag_version(version, FORCED, reason)
    return tracking.get_version(model, number)


def check_incumbent(version: Version, server: Serving) -> None:
    """RegistryError if a release would replace another version than the one that the gate compared."""
    facts, judged_against = look(version.model, server), tracking.read_record(version).champion
    now = facts.champion if facts.answering is None else facts.answering.number
    if now not in (judged_against, version.number):
        raise RegistryError(
            version.name,
            f"was judged against {_version(judged_against)}, but {_version(now)} is live now",
            f"Retrain, or have a person decide: `slipway release {version.model} --version {version.number}`.",
        )


def _version(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"


@dataclass(frozen=True)
class Release:
    """One release in progress: what it makes live, and what it found."""

    version: Version
    predictor: Predictor
    golden: Golden
    needs: ServingSpec
    plan: Plan
    facts: Facts

    @property
    def model(self) -> str:
        return self.version.model


def prepare_release(version: Version, needs: ServingSpec, server: Serving) -> Release:
    """Check the artifacts of `version` before anything loads them, and plan.

    RegistryError if they are not what was registered, not a model we would load, or have no golden rows.
    """
    from slipway_model_server.digest import artifact_digest
    from slipway_model_server.trust import ModelRefused, check_model

    folder = artifacts.download(version)
    try:
        # Only a person's force replaces the missing word of a gate record by what lies there now.
        digest = version.digest or (artifact_digest(folder) if FORCED in version.tags else "")
        checked = check_model(folder, digest)
    except ModelRefused as error:
        raise RegistryError(
            version.name, f"is refused ({error})", "Do not release it; retrain the model."
        ) from error
    predictor = Predictor(version.number, checked.digest, version.uri)
    facts = look(version.model, server)
    return Release(
        version=version,
        predictor=predictor,
        golden=read_golden(folder, version.name),
        needs=needs,
        plan=plan(predictor.served, facts),
        facts=facts,
    )


def look(model: str, server: Serving) -> Facts:
    champion, previous = tracking.alias(model, "champion"), tracking.alias(model, "previous")
    return Facts(
        answering=server.answering(model),
        told=server.told(model),
        champion=champion.number if champion else None,
        previous=previous.number if previous else None,
        registered=frozenset(version.number for version in tracking.versions(model)),
    )


def prove_candidate(release: Release, server: Serving) -> SmokeTest:
    """Start the version beside what is live and smoke-test it at its own address. Touches no traffic."""
    kill_here("before candidate")
    server.start_candidate(release.model, release.predictor, release.needs)
    kill_here("candidate started")
    endpoint = server.candidate(release.model, release.version.number)
    return smoke_test(endpoint, release.golden, release.predictor.served, release.needs.latency_ms)


def move_traffic(release: Release, server: Serving) -> None:
    server.move_traffic(release.model, release.predictor)
    kill_here("traffic moved")


def prove_live(release: Release, server: Serving) -> SmokeTest:
    """Smoke-test the stable address, once only the released version answers there."""
    endpoint, served = server.stable(release.model), release.predictor.served
    wait_for_only(endpoint, release.golden, served, settings().release_timeout)
    return smoke_test(endpoint, release.golden, served, release.needs.latency_ms)


def move_aliases(release: Release) -> None:
    """`previous` first: killed in between, `champion` still names what a rerun must make `previous`."""
    if release.plan.previous is not None and release.plan.previous != release.facts.previous:
        tracking.set_alias(release.model, "previous", release.plan.previous)
    kill_here("previous set")
    tracking.set_alias(release.model, "champion", release.version.number)
    kill_here("champion set")


def retire(release: Release, server: Serving) -> str:
    """Remove the candidate, and look once more. The release is done by now: what is wrong is a note."""
    kill_here("before retire")
    try:
        server.retire_candidates(release.model)
        return " ".join(f"Note: {each}." for each in server.findings(release.model))
    except SlipwayError as error:
        return f"The candidate's predictor is still there ({error}); the next release removes it."


def end_hold(version: Version) -> None:
    """A person released `version`: scheduled retrains may release again, and it counts as good."""
    tracking.clear_hold(version.model)
    if version.rolled_back is not None:
        tracking.untag_version(version, tracking.ROLLED_BACK)


def on_hold(model: str, server: Serving, reason: str) -> ReleaseResult:
    """What a release that is not a person's says of a model on hold: nothing was touched."""
    facts, endpoint = look(model, server), server.stable(model)
    return ReleaseResult(
        model=model,
        outcome="on hold",
        version=facts.answering.number if facts.answering else None,
        previous=facts.previous,
        rest_url=endpoint.infer_url,
        grpc_url=endpoint.grpc,
        note=f"Not released ({reason}); `slipway release {model}` ends the hold.",
    )


def result(release: Release, server: Serving, figures: SmokeTest, note: str) -> ReleaseResult:
    endpoint = server.stable(release.model)
    nothing = not release.plan.moves_traffic and not release.plan.moves_aliases
    return ReleaseResult(
        model=release.model,
        outcome="already live" if nothing else "released",
        version=release.version.number,
        previous=release.plan.previous,
        rest_url=endpoint.infer_url,
        grpc_url=endpoint.grpc,
        curl=curl_line(endpoint.outside, release.golden),
        smoke=figures,
        note=note,
    )
