"""`live` says what really answers, and what does not fit."""

import json

from flows.release import release
from tasks import artifacts, tracking
from tasks.live import live
from tasks.serving import Predictor, serving
from tests.release.model import go_live, name_of, publish, state_of


def test_all_is_well_after_a_release(model: str) -> None:
    version = publish(model)
    release(model)

    (found,) = live(name_of(model))

    assert (found.version, found.champion, found.gate, found.disagreements) == (1, 1, "promote", ())
    assert found.digest == found.stored_digest == version.digest
    assert json.loads(found.model_dump_json())["version"] == 1
    assert name_of(model) in [each.model for each in live()]


def test_a_model_that_is_not_live(model: str) -> None:
    (found,) = live(name_of(model))

    assert (found.version, found.champion, found.disagreements) == (None, None, ())


def test_each_disagreement_is_found(model: str) -> None:
    name, server = name_of(model), serving()
    first = publish(model)
    go_live(first)
    second = publish(model, 0.01, own=True)

    server.move_traffic(name, Predictor(2, second.digest or "", second.uri))
    (found,) = live(name)
    assert found.version == 2
    assert "version 2 answers, but the champion is version 1" in found.disagreements[0]

    server._write(name, Predictor(1, first.digest or "", first.uri))  # type: ignore[attr-defined]
    assert "after a restart version 1" in live(name)[0].disagreements[1]

    release(model, version=2)
    assert live(name)[0].well

    tracking.untag_version(second, tracking.RECORD)
    path = artifacts.download(second) / "model.skops"
    path.write_bytes(path.read_bytes() + b"x")
    tracking.tag_version(second, tracking.ROLLED_BACK, "why not")
    altered, gate, left = live(name)[0].disagreements
    assert "the stored artifacts of version 2 are sha256:" in altered
    assert "has no gate record" in gate
    assert "is marked as rolled back" in left

    server.move_traffic(name, None)
    (gone,) = live(name)
    assert gone.disagreements == (
        f"nothing answers, and the champion is version 2: run `slipway release {name} --version 2`",
    )
    assert state_of(model).answering is None
