"""A release, step by step, on real servers."""

import json
import subprocess

import httpx
import pytest

from flows.release import release
from tasks import tracking
from tasks.errors import PlatformError, RegistryError, SpecError
from tasks.releasing import FORCED, ReleaseResult
from tasks.serving import serving
from tasks.settings import settings
from tests.release.load import Load
from tests.release.model import go_live, golden_of, name_of, publish, state_of


def test_the_first_version_becomes_live(model: str) -> None:
    version = publish(model)

    result = release(model)

    assert (result.outcome, result.version, result.previous) == ("released", 1, None)
    state = state_of(model)
    assert state.answering is not None
    assert (state.answering.number, state.answering.digest) == (1, version.digest)
    assert (state.champion, state.previous, state.predictors) == (1, None, (name_of(model),))
    assert result.smoke is not None
    assert result.smoke.rows == len(golden_of(version)) >= 20
    assert ReleaseResult.model_validate_json(result.model_dump_json()) == result


def test_the_curl_line_works_when_pasted(model: str) -> None:
    version = publish(model)
    result = release(model)

    printed = subprocess.run(["bash", "-c", result.curl], capture_output=True, text=True, check=True).stdout

    answer = json.loads(printed)
    assert answer["parameters"]["version"] == "1"
    prediction = next(output for output in answer["outputs"] if output["name"] == "prediction")
    assert prediction["data"][0] in golden_of(version).labels


def test_a_release_under_load_loses_no_request(model: str) -> None:
    """Old or new values, each from the version that says so, in this order, and nothing else."""
    first = publish(model)
    go_live(first)
    second = publish(model, 0.01)
    known = {1: golden_of(first), 2: golden_of(second)}
    assert known[1].probability != known[2].probability

    with Load(serving().stable(name_of(model)), known) as load:
        result = release(model)

    load.check([1, 2])
    assert (result.version, result.previous) == (2, 1)
    state = state_of(model)
    assert (state.champion, state.previous, state.predictors) == (2, 1, (name_of(model),))


def test_the_order_of_a_release(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidate beside the live one, proven there; then traffic, proven; then the aliases; then retired."""
    go_live(publish(model))
    publish(model, 0.01)
    seen: list[tuple[str, int | None, int | None, int]] = []

    def look(point: str) -> None:
        state = state_of(model)
        answering = state.answering.number if state.answering else None
        seen.append((point, answering, state.champion, len(state.predictors)))

    monkeypatch.setattr("tasks.releasing.kill_here", look)
    release(model)

    assert seen == [
        ("before candidate", 1, 1, 1),
        ("candidate started", 1, 1, 2),
        ("traffic moved", 2, 1, 2),
        ("previous set", 2, 1, 2),
        ("champion set", 2, 2, 2),
        ("before retire", 2, 2, 2),
    ]


def test_releasing_what_is_live_verifies_and_says_so(model: str) -> None:
    go_live(publish(model))
    before = state_of(model)

    again = release(model)

    assert again.outcome == "already live"
    assert again.smoke is not None
    assert state_of(model) == before


def test_the_default_is_the_newest_that_may_be_released(model: str) -> None:
    """Newest with a valid gate record, and not rolled back."""
    good = publish(model)
    left = publish(model, 0.1)
    tracking.tag_version(left, tracking.ROLLED_BACK, "slow")
    unjudged = publish(model, 0.01)
    tracking.untag_version(unjudged, tracking.RECORD)

    assert release(model).version == good.number


def test_nothing_to_release_is_an_error(model: str) -> None:
    with pytest.raises(RegistryError, match="none of its 0 registered versions"):
        release(model)


def test_a_version_without_a_gate_record_is_refused_unless_forced_with_a_reason(model: str) -> None:
    version = publish(model)
    tracking.untag_version(version, tracking.RECORD)

    with pytest.raises(RegistryError, match="has no gate record"):
        release(model, version=1)
    with pytest.raises(SpecError, match="needs a version and a reason"):
        release(model, version=1, force=True)
    assert state_of(model).answering is None

    release(model, version=1, force=True, reason="the fire brigade needs it")

    assert tracking.get_version(name_of(model), 1).tags[FORCED] == "the fire brigade needs it"
    assert state_of(model).champion == 1


def test_a_gate_record_of_other_artifacts_is_refused(model: str) -> None:
    publish(model)
    other = publish(model, 0.01)
    tracking.tag_version(tracking.get_version(name_of(model), 1), tracking.DIGEST, other.digest or "")

    with pytest.raises(RegistryError, match="its gate record is about"):
        release(model, version=1)


def test_an_altered_gate_record_is_refused(model: str) -> None:
    from tasks import store

    version = publish(model)
    place = version.tags[tracking.RECORD]
    store.write_bytes(place, store.read_bytes(place).replace(b"0.9", b"0.99"))

    with pytest.raises(RegistryError, match="was altered after registration"):
        release(model, version=1)


def test_an_unknown_version_is_refused(model: str) -> None:
    publish(model)

    with pytest.raises(RegistryError, match=r"version 7: is not registered .* registered: 1"):
        release(model, version=7)


def test_a_served_model_has_all_types_of_columns_and_missing_values(model: str) -> None:
    golden = golden_of(publish(model))

    for name in ("size", "seats", "colour", "seen"):
        assert None in golden.columns[name].values, name
    assert set(golden.columns["colour"].values) == {"rot", 'it\'s "blue"', "zielony ł", None}
    assert set(golden.columns["count"].values) == {0, 1, 2, 3, 4}
    assert set(golden.columns["wet"].values) == {True, False}


def test_columns_may_change_from_one_version_to_the_next(model: str) -> None:
    """What answers is known without a request that its columns would have to fit."""
    go_live(publish(model))
    publish(model, columns=["size", "count"])

    assert release(model).version == 2
    inputs = httpx.get(f"{settings().serving_rest_url}/v2/models/{name_of(model)}").json()["inputs"]
    assert [tensor["name"] for tensor in inputs] == ["size", "count"]


def test_a_model_server_that_is_down_is_named_and_nothing_is_changed(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(model)
    monkeypatch.setenv("SLIPWAY_SERVING_REST_URL", "http://127.0.0.1:9")
    settings.cache_clear()
    try:
        with pytest.raises(PlatformError, match=r"model server http://127.0.0.1:9: does not answer"):
            release(model)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert state_of(model).champion is None


def test_a_live_version_that_somebody_deleted_from_the_registry_can_be_replaced(model: str) -> None:
    first = publish(model)
    go_live(first)
    publish(model, 0.01)
    tracking.client().delete_model_version(first.model, "1")

    result = release(model)

    assert (result.version, result.previous) == (2, None)
    assert state_of(model).champion == 2
