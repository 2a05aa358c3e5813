"""Rollback: the same smoke test, no request lost, and a hold until a person releases."""

import pytest

from flows.release import release
from flows.rollback import rollback
from tasks import artifacts, tracking
from tasks.errors import RegistryError, ServingError, SpecError
from tasks.serving import serving
from tests.release.load import Load
from tests.release.model import go_live, golden_of, name_of, publish, state_of


@pytest.fixture
def two(model: str) -> str:
    """A model whose version 2 is live after version 1."""
    go_live(publish(model), publish(model, 0.01))
    return model


def test_a_rollback_under_load(two: str) -> None:
    name = name_of(two)
    known = {number: golden_of(tracking.get_version(name, number)) for number in (1, 2)}

    with Load(serving().stable(name), known) as load:
        result = rollback(two, "too slow at night")

    load.check([2, 1])
    assert (result.outcome, result.version, result.previous) == ("rolled back", 1, 2)
    assert "too slow at night" in result.note
    state = state_of(two)
    assert (state.champion, state.previous, state.rolled_back, state.predictors) == (1, 2, (2,), (name,))
    assert tracking.get_version(name, 2).rolled_back == "too slow at night"
    assert state.hold == "version 2 was rolled back: too slow at night"


def test_a_second_rollback_needs_a_release_in_between(two: str) -> None:
    rollback(two, "slow")
    before = state_of(two)

    with pytest.raises(RegistryError, match=r"version 2 before it was rolled back already \(slow\)"):
        rollback(two, "again")
    assert state_of(two) == before

    publish(two, 0.1)
    assert release(two).version == 3
    assert rollback(two, "this one too").version == 1


def test_a_hold_binds_retrains_and_ends_with_a_persons_release(two: str) -> None:
    rollback(two, "slow")
    publish(two, 0.1)
    before = state_of(two)

    scheduled = release(two, by_person=False)

    assert (scheduled.outcome, scheduled.version) == ("on hold", 1)
    assert "slow" in scheduled.note
    assert state_of(two) == before

    assert release(two).outcome == "released"
    assert state_of(two).hold is None
    publish(two, 0.2)
    assert release(two, by_person=False).version == 4


def test_a_person_may_release_the_version_that_was_rolled_back(two: str) -> None:
    rollback(two, "slow")

    assert release(two).version == 1  # the default passes it over
    assert release(two, version=2).version == 2
    assert state_of(two).rolled_back == ()


def test_a_rollback_that_fails_changes_nothing(two: str) -> None:
    """Not the marks either: no tag, no hold."""
    name = name_of(two)
    go_live(publish(two, own=True), publish(two, 0.01))
    stored = artifacts.download(tracking.get_version(name, 3)) / "model.skops"
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1])
    before = state_of(two)

    with pytest.raises(RegistryError, match="the files have changed"):
        rollback(two, "slow")

    assert state_of(two) == before
    stored.write_bytes(whole)
    assert rollback(two, "slow").version == 3


def test_a_rollback_that_fails_after_the_switch_switches_back(
    two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, before = name_of(two), state_of(two)
    known = {number: golden_of(tracking.get_version(name, number)) for number in (1, 2)}

    def fail(point: str) -> None:
        if point == "champion set":
            raise ServingError("server", "was hit by lightning", "Buy another.")

    monkeypatch.setattr("tasks.releasing.kill_here", fail)
    with Load(serving().stable(name), known) as load, pytest.raises(ServingError, match="Version 2 is live"):
        rollback(two, "slow")

    load.check([2, 1, 2])
    assert state_of(two) == before


def test_there_must_be_something_to_roll_back(model: str) -> None:
    with pytest.raises(SpecError, match="--reason"):
        rollback(model, " ")
    with pytest.raises(RegistryError, match="has no champion"):
        rollback(model, "slow")
    go_live(publish(model))
    with pytest.raises(RegistryError, match="no version was before it"):
        rollback(model, "slow")
    assert state_of(model).hold is None
