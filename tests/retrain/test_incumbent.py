"""What a retrain compares with, and what it may replace: never more than the gate saw."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.release import release
from tasks import tracking
from tasks.errors import RegistryError
from tasks.serving import serving
from tasks.settings import ROOT
from tests.retrain.model import Model, fish, free_locks
from tests.retrain.test_retrain import live_version, page_in_prefect, run

pytestmark = pytest.mark.platform


def test_going_back_to_earlier_data_is_judged_anew(model: Model) -> None:
    """The version that an earlier run registered is not released over a champion it never met."""
    run(model)
    model.rows = fish(seed=1)
    model.write()
    assert run(model).version == 2
    model.rows = fish(seed=0)
    model.write()

    back = run(model)

    assert (back.outcome, back.version, live_version(model)) == ("released", 3, 3)
    champion = tracking.alias(model.name, "champion")
    assert champion is not None
    assert tracking.read_record(champion).champion == 2


def test_a_retrain_judges_against_what_answers_when_the_aliases_say_otherwise(model: Model) -> None:
    run(model)
    tracking.delete_alias(model.name, "champion")

    again = run(model, force=True)

    assert again.version == 2
    assert tracking.read_record(tracking.get_version(model.name, 2)).champion == 1


def test_a_version_judged_against_another_champion_is_only_released_by_a_person(model: Model) -> None:
    run(model)
    run(model, force=True)
    run(model, force=True)
    release(model.path, 1)

    with pytest.raises(RegistryError, match="judged against version 2, but version 1 is live now"):
        release(model.path, 3, by_person=False)

    assert live_version(model) == 1
    assert release(model.path, 3).version == 3


def test_unchanged_is_only_said_while_something_is_live(model: Model) -> None:
    run(model)
    serving().move_traffic(model.name, None)

    result = run(model)

    assert (result.outcome, live_version(model)) == ("released", 1)


def test_a_resumed_retrain_says_what_was_decided(model: Model) -> None:
    slipway = Path(sys.executable).with_name("slipway")
    killed = subprocess.run(
        [slipway, "retrain", model.path],
        cwd=ROOT,
        env={**os.environ, "SLIPWAY_FAULT": "traffic moved"},
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr
    assert (live_version(model), tracking.alias(model.name, "champion")) == (1, None)
    free_locks(model.name)

    result = run(model)

    assert (result.outcome, result.version) == ("released", 1)
    assert "reaches the minimum" in " ".join(result.reasons)
    assert result.table
    assert "promote" in page_in_prefect(model)
    assert len(tracking.versions(model.name)) == 1
