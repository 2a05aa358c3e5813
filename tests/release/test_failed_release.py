"""A release that fails, wherever it does, leaves what was: clients notice nothing, people are told why."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from slipway_model_server.digest import artifact_digest

from flows.release import release
from tasks import tracking
from tasks.errors import RegistryError, ServingError
from tasks.golden import Golden
from tasks.serving import Predictor, serving
from tasks.serving.local import LocalServing
from tasks.settings import settings
from tasks.tracking import Version
from tests.release.load import Load
from tests.release.model import State, golden_of, name_of, publish, register_folder, state_of


@pytest.fixture
def live(model: str) -> str:
    """A model whose version 1 is live."""
    publish(model)
    release(model)
    return model


def fail(model: str, error: type[Exception], match: str, **how: object) -> str:
    """A release of `model` that fails under load: the state is as before, and so is every answer."""
    before = state_of(model)
    golden = golden_of(tracking.get_version(name_of(model), 1))
    with (
        Load(serving().stable(name_of(model)), {1: golden}) as load,
        pytest.raises(error, match=match) as caught,
    ):
        release(model, **how)  # type: ignore[arg-type]
    load.check([1])
    assert state_of(model) == before
    return str(caught.value)


def another_label(golden: Golden) -> Golden:
    other = next(label for label in golden.labels if label != golden.labels[3])
    labels = [*golden.labels]
    labels[3] = other
    return golden.model_copy(update={"labels": tuple(labels)})


def slightly_other_number(golden: Golden) -> Golden:
    rows = [list(row) for row in golden.probability or ()]
    rows[5][1] *= 1 + 1e-8
    return golden.model_copy(update={"probability": tuple(map(tuple, rows))})


@pytest.mark.parametrize(
    ("falsify", "said"),
    [
        (another_label, r"candidate-2 at http.*\(REST\).*row 3, prediction: expected '\w+', got '\w+'"),
        (slightly_other_number, r"row 5, probability of 'loud': expected 0\.\d+, got 0\.\d+"),
    ],
)
def test_a_candidate_that_answers_otherwise_gets_no_traffic(
    live: str, falsify: Callable[[Golden], Golden], said: str
) -> None:
    publish(live, 0.01, golden=falsify)

    message = fail(live, ServingError, said)

    assert "Version 1 is live, as before" in message
    assert "End of the server's log" in message
    assert "candidate-2" in message.split("End of the server's log", 1)[1]


def test_a_candidate_that_cannot_be_loaded(live: str) -> None:
    """The artifacts are as registered and of trusted types, but the server cannot make a model of them."""
    good = publish(live, 0.01)
    spoilt = register_folder(live, good, truncate_numbers)

    message = fail(live, ServingError, "the server answered", version=spoilt.number)

    assert f"{name_of(live)}-candidate-{spoilt.number}" in message


def truncate_numbers(folder: Path) -> None:
    """Cut the arrays inside the skops file short."""
    path = folder / "model.skops"
    out = BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            data = old.read(entry)
            new.writestr(entry, data[:-8] if entry.endswith(".npy") else data)
    path.write_bytes(out.getvalue())


def test_a_candidate_that_is_too_slow(model: str, specs: Callable[..., str]) -> None:
    slow = specs("slow", serving={"latency_ms": 0.001})
    publish(slow)

    with pytest.raises(ServingError, match=r"ms for one row .*; the budget is 0.001 ms"):
        release(slow)

    state = state_of(slow)
    assert (state.answering, state.champion, state.predictors) == (None, None, ())


@dataclass(frozen=True)
class Misdirected(LocalServing):
    """Says that traffic moved, but another version goes on answering."""

    def move_traffic(self, model: str, to: Predictor | None) -> None:
        if to is not None and to.number != 1:
            self._write(model, to)  # told, but never loaded
            return
        super().move_traffic(model, to)


def test_a_server_that_does_not_switch(live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After traffic was to have moved, real answers are counted: the old ones make it fail."""
    publish(live, 0.01)
    monkeypatch.setattr("flows.release.serving", lambda: Misdirected.of(settings()))
    monkeypatch.setenv("SLIPWAY_RELEASE_TIMEOUT", "3")
    settings.cache_clear()
    try:
        fail(
            live, ServingError, r"version 1 \(sha256:\w+\) still answers 3 s after traffic moved to version 2"
        )
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_a_failure_after_the_switch_switches_back_first(live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry refuses the alias: both versions answered, each correctly, and the old one stays."""
    first, second = tracking.get_version(name_of(live), 1), publish(live, 0.01)
    known = {1: golden_of(first), 2: golden_of(second)}
    before = state_of(live)

    def delete_version(point: str) -> None:
        if point == "previous set":
            tracking.client().delete_model_version(name_of(live), "2")

    monkeypatch.setattr("tasks.releasing.kill_here", delete_version)
    with (
        Load(serving().stable(name_of(live)), known) as load,
        pytest.raises(ServingError, match="Version 1 is live, as before"),
    ):
        release(live)

    load.check([1, 2, 1])
    assert state_of(live) == before


def test_a_failed_first_release_leaves_nothing_live(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(model)

    def stop(point: str) -> None:
        if point == "traffic moved":
            raise ServingError("server", "was hit by lightning", "Buy another.")

    monkeypatch.setattr("tasks.releasing.kill_here", stop)
    with pytest.raises(ServingError, match="Nothing is live, as before"):
        release(model)

    assert state_of(model) == State(None, None, None, None, None, (), ())


def test_stopped_by_a_person_after_the_switch(live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(live, 0.01)
    before = state_of(live)

    def interrupt(point: str) -> None:
        if point == "traffic moved":
            raise KeyboardInterrupt

    monkeypatch.setattr("tasks.releasing.kill_here", interrupt)
    with pytest.raises(BaseException, match="") as caught:
        release(live)

    assert not isinstance(caught.value, Exception) or "interrupt" in repr(caught.value).lower()
    assert state_of(live) == before


def test_artifacts_altered_after_registration_are_refused_before_loading(live: str) -> None:
    version = publish(live, 0.01)
    path = tracking.download(version) / "model.skops"
    path.write_bytes(path.read_bytes() + b"x")

    message = fail(live, RegistryError, "the files have changed")

    assert f"{name_of(live)} version 2" in message


def test_golden_rows_altered_after_registration_are_refused(live: str) -> None:
    version = publish(live, 0.01)
    path = tracking.download(version) / "extra_files" / "golden.json"
    golden = json.loads(path.read_text())
    golden["labels"] = golden["labels"][::-1]
    path.write_text(json.dumps(golden))

    fail(live, RegistryError, "the files have changed")


def test_the_server_checks_the_digest_again(live: str) -> None:
    """Whatever the release was told: a server never loads what is not what it was given the digest of."""
    version = publish(live, 0.01)
    path = tracking.download(version) / "model.skops"
    path.write_bytes(path.read_bytes() + b"x")

    with pytest.raises(ServingError, match="the server answered 422 .*the files have changed"):
        serving().start_candidate(name_of(live), Predictor(2, version.digest or "", version.uri))

    serving().retire_candidates(name_of(live))


def pickle_model(folder: Path) -> None:
    """A pickle that leaves a mark when loaded, declared as MLflow declares pickles."""
    mark = folder.parent / "loaded"
    code = f"cos\nsystem\n(S'touch {mark}'\ntR."
    (folder / "model.pkl").write_bytes(code.encode())
    (folder / "model.skops").unlink()
    described = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(
        described.replace("model.skops", "model.pkl").replace(
            "serialization_format: skops", "serialization_format: cloudpickle"
        )
    )


def self_trusting(folder: Path) -> None:
    described = (folder / "MLmodel").read_text()
    assert "skops_trusted_types" in described or "serialization_format: skops" in described
    (folder / "MLmodel").write_text(
        described.replace(
            "    serialization_format: skops\n",
            "    serialization_format: skops\n    skops_trusted_types:\n    - os.system\n",
            1,
        )
    )


def foreign_loader(folder: Path) -> None:
    described = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(described.replace("loader_module: mlflow.sklearn", "loader_module: evil"))


@pytest.mark.parametrize("spoil", [pickle_model, self_trusting, foreign_loader])
def test_a_hostile_model_is_refused_unloaded_even_with_a_gate_record(
    live: str, spoil: Callable[[Path], None]
) -> None:
    """Registered with its own true digest and a gate record: only what it is can give it away."""
    hostile = register_folder(live, publish(live, 0.01), spoil)

    message = fail(live, RegistryError, "is refused", version=hostile.number)

    assert f"version {hostile.number}" in message
    folder = tracking.download(hostile)
    assert hostile.digest == artifact_digest(folder)
    assert not (folder.parent / "loaded").exists()


def test_a_model_without_golden_rows_is_refused(live: str) -> None:
    def strip(folder: Path) -> None:
        (folder / "extra_files" / "golden.json").unlink()

    bare: Version = register_folder(live, publish(live, 0.01), strip)

    fail(live, RegistryError, "has no golden rows", version=bare.number)
