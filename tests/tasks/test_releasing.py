"""What a release and a rollback decide, as tables."""

from dataclasses import replace

import pytest

from tasks.errors import RegistryError
from tasks.live import disagreements
from tasks.releasing import Facts, Plan, choose, plan
from tasks.rolling_back import Rollback, plan_rollback
from tasks.serving import Predictor, Served
from tasks.tracking import ROLLED_BACK, Version


def served(number: int) -> Served:
    return Served(number, f"sha256:{number}")


def facts(answering: int | None, told: int | None, champion: int | None, previous: int | None) -> Facts:
    return Facts(
        answering=None if answering is None else served(answering),
        told=None if told is None else Predictor(told, f"sha256:{told}", f"/models/{told}"),
        champion=champion,
        previous=previous,
        registered=frozenset({1, 2, 3, 4}),
    )


@pytest.mark.parametrize(
    ("what", "before", "expected"),
    [
        ("first release", (None, None, None, None), Plan(True, True, None, None)),
        ("first release, killed after traffic moved", (3, 3, None, None), Plan(False, True, None, None)),
        ("the ordinary one", (2, 2, 2, 1), Plan(True, True, 2, 2)),
        ("killed between telling and loading", (2, 3, 2, 1), Plan(True, True, 2, 2)),
        ("killed after traffic moved", (3, 3, 2, 1), Plan(False, True, 2, 2)),
        ("killed after previous was set", (3, 3, 2, 2), Plan(False, True, 2, 2)),
        ("killed after champion was set", (3, 3, 3, 2), Plan(False, False, 3, 2)),
        ("already live", (3, 3, 3, 1), Plan(False, False, 3, 1)),
        ("already live, but not after a restart", (3, 2, 3, 1), Plan(True, False, 3, 1)),
        ("the alias lies: another one answers", (2, 2, 3, 1), Plan(True, True, 2, 2)),
        ("over another interrupted release", (4, 4, 2, 1), Plan(True, True, 4, 4)),
        ("the server lost the champion", (None, None, 3, 2), Plan(True, False, None, 2)),
        ("the server lost what was before", (None, 2, 2, 1), Plan(True, True, None, 2)),
    ],
)
def test_the_plan_of_releasing_version_3(
    what: str, before: tuple[int | None, int | None, int | None, int | None], expected: Plan
) -> None:
    assert plan(served(3), facts(*before)) == expected, what


def test_the_same_number_with_other_artifacts_is_not_the_same() -> None:
    other = replace(
        facts(3, 3, 3, 2),
        answering=Served(3, "sha256:other"),
        told=Predictor(3, "sha256:other", "/m"),
    )

    found = plan(served(3), other)

    assert (found.moves_traffic, found.previous) == (True, 2)


def test_a_version_that_somebody_deleted_is_not_made_previous() -> None:
    """It answers, and goes out; but no alias can point at it."""
    gone = replace(facts(2, 2, None, 1), registered=frozenset({1, 3}))

    assert plan(served(3), gone) == Plan(True, True, 2, 1)


def version(number: int, left: str | None = None) -> Version:
    tags = {"slipway.digest": f"sha256:{number}"} | ({ROLLED_BACK: left} if left else {})
    return Version(model="m", number=number, run_id="r", source="s", tags=tags)


def test_the_default_version() -> None:
    newest_first = [version(4, "slow"), version(3), version(2), version(1)]

    assert choose("m", newest_first, lambda version: version.number != 3).number == 2
    with pytest.raises(RegistryError, match="none of its 4 registered versions"):
        choose("m", newest_first, lambda version: version.number == 4)


@pytest.mark.parametrize(
    ("what", "champion", "previous", "answering", "expected"),
    [
        ("the ordinary one", version(2), version(1), 2, Rollback(2, 1)),
        ("nothing answers", version(2), version(1), None, Rollback(2, 1)),
        ("a release died after moving traffic", version(2), version(1), 3, Rollback(3, 2)),
        ("killed when marked", version(2, "slow"), version(1), 2, Rollback(2, 1)),
        ("killed after traffic moved", version(2, "slow"), version(1), 1, Rollback(2, 1)),
        ("killed after previous was set", version(2, "slow"), version(2, "slow"), 1, Rollback(2, 1)),
    ],
)
def test_where_a_rollback_goes(
    what: str, champion: Version, previous: Version, answering: int | None, expected: Rollback
) -> None:
    assert plan_rollback("m", champion, previous, answering) == expected, what


@pytest.mark.parametrize(
    ("champion", "previous", "answering", "said"),
    [
        (None, None, None, "has no champion"),
        (version(1), None, 1, "no version was before it"),
        (version(1), version(1), 1, "no version was before it"),
        (version(1), version(2, "slow"), 1, r"rolled back already \(slow\)"),
    ],
)
def test_a_rollback_that_is_refused(
    champion: Version | None, previous: Version | None, answering: int | None, said: str
) -> None:
    with pytest.raises(RegistryError, match=said):
        plan_rollback("m", champion, previous, answering)


@pytest.mark.parametrize(
    ("before", "registered", "stored", "gate", "said"),
    [
        ((3, 3, 3, 2), version(3), "sha256:3", "promote", []),
        ((3, 3, 3, 2), version(3), "sha256:3", "forced: fire", []),
        ((3, 3, 3, 2), None, None, "none", ["which is not registered"]),
        ((3, 3, 3, 2), version(3), "sha256:9", "promote", ["stored artifacts"]),
        ((3, 3, 3, 2), version(3), None, "promote", ["are gone"]),
        ((3, 3, 3, 2), version(3), "sha256:3", "has no gate record", ["has no gate record"]),
        ((3, 3, 2, 1), version(3), "sha256:3", "promote", ["the champion is version 2"]),
        ((3, 3, None, None), version(3), "sha256:3", "promote", ["there is no champion"]),
        ((3, 2, 3, 2), version(3), "sha256:3", "promote", ["after a restart version 2"]),
        ((None, None, 3, 2), None, None, "", ["nothing answers"]),
        ((None, None, None, None), None, None, "", []),
    ],
)
def test_what_disagrees(
    before: tuple[int | None, int | None, int | None, int | None],
    registered: Version | None,
    stored: str | None,
    gate: str,
    said: list[str],
) -> None:
    found = disagreements("m", facts(*before), registered, stored, gate, set())

    assert len(found) == len(said)
    assert all(words in text for words, text in zip(said, found, strict=True))
