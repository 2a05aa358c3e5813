"""A release that fails, wherever it does, leaves what was: clients notice nothing, people are told why."""

import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc.service_pb2_grpc import (
    GRPCInferenceServiceServicer,
    GRPCInferenceServiceStub,
    add_GRPCInferenceServiceServicer_to_server,
)

from flows.release import release
from tasks import tracking
from tasks.errors import ServingError
from tasks.golden import Golden
from tasks.serving import Predictor, serving
from tasks.serving.local import LocalServing
from tasks.settings import settings
from tasks.tracking import Version
from tests.release.load import Load
from tests.release.model import State, go_live, golden_of, name_of, publish, state_of


@pytest.fixture(scope="module")
def live(home: Path, specs: Callable[..., str]) -> str:
    """A model whose version 1 is live, and stays so whatever these tests do."""
    model = specs("live")
    go_live(publish(model))
    return model


def fail(model: str, version: Version, error: type[Exception], match: str) -> str:
    """A release of `version` that fails under load: the state is as before, and so is every answer."""
    before = state_of(model)
    golden = golden_of(tracking.get_version(name_of(model), 1))
    with (
        Load(serving().stable(version.model), {1: golden}) as load,
        pytest.raises(error, match=match) as caught,
    ):
        release(model, version=version.number)
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
        (
            another_label,
            r"at http.*\(REST\).*row 3, prediction: expected '\w+', got '\w+'.*input of row 3: {",
        ),
        (slightly_other_number, r"row 5, probability of 'loud': expected 0\.\d+, got 0\.\d+"),
    ],
)
def test_a_candidate_that_answers_otherwise_gets_no_traffic(
    live: str, falsify: Callable[[Golden], Golden], said: str
) -> None:
    version = publish(live, 0.01, golden=falsify)

    message = fail(live, version, ServingError, said)

    assert "Version 1 is live, as before" in message
    assert f"{version.model}-candidate-{version.number}" in message.split("End of the server's log", 1)[1]


def test_a_candidate_that_cannot_be_loaded(live: str) -> None:
    """The artifacts are as registered and of trusted types, but the server cannot make a model of them."""
    version = publish(live, 0.01, plant=truncate_arrays)

    message = fail(live, version, ServingError, r"the server answered \d+")

    assert f"{version.model}-candidate-{version.number}" in message


def truncate_arrays(folder: Path) -> None:
    """Cut the arrays inside the skops file short."""
    path = folder / "model.skops"
    out = BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            data = old.read(entry)
            new.writestr(entry, data[:-8] if entry.endswith(".npy") else data)
    path.write_bytes(out.getvalue())


def test_a_candidate_that_is_too_slow(home: Path, specs: Callable[..., str]) -> None:
    model = specs("slow", serving={"latency_ms": 0.001})
    publish(model)

    with pytest.raises(ServingError, match=r"ms for one row .*; the budget is 0.001 ms"):
        release(model)

    assert state_of(model) == State(None, None, None, None, None, (), ())


class LyingGrpc(GRPCInferenceServiceServicer):
    """A gRPC server in front of the real one that swaps the first two labels of every answer."""

    def __init__(self, address: str) -> None:
        self._real = GRPCInferenceServiceStub(grpc.insecure_channel(address))

    def ModelReady(self, request: Any, context: Any) -> Any:
        return self._real.ModelReady(request)

    def ModelInfer(self, request: Any, context: Any) -> Any:
        response = self._real.ModelInfer(request)
        labels = response.outputs[0].contents.bytes_contents
        labels[:] = [b"calm" if label == b"loud" else b"loud" for label in labels]
        return response


def test_rest_right_and_grpc_wrong_is_a_failure(live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    version = publish(live, 0.01)
    before = state_of(live)
    server = grpc.server(ThreadPoolExecutor(2))
    add_GRPCInferenceServiceServicer_to_server(LyingGrpc(settings().serving_grpc), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with (
            changed(monkeypatch, SLIPWAY_SERVING_GRPC=f"127.0.0.1:{port}"),
            pytest.raises(ServingError, match=rf"127.0.0.1:{port} \(gRPC\): does not answer as the"),
        ):
            release(live, version=version.number)
    finally:
        server.stop(None).wait()
    assert state_of(live) == before


@contextmanager
def changed(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Iterator[None]:
    """Other settings for a while."""
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield
    settings.cache_clear()


@dataclass(frozen=True)
class Misdirected(LocalServing):
    """Says that traffic moved, but version 1 goes on answering."""

    def move_traffic(self, model: str, to: Predictor | None) -> None:
        if to is not None and to.number != 1:
            self._write(model, to)  # told, but never loaded
            return
        super().move_traffic(model, to)


def test_a_server_that_does_not_switch(live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After traffic was to have moved, real answers are counted: the old ones make it fail."""
    version = publish(live, 0.01)
    with changed(monkeypatch, SLIPWAY_RELEASE_TIMEOUT="2"):
        monkeypatch.setattr("flows.release.serving", lambda: Misdirected.of(settings()))
        fail(
            live, version, ServingError, r"version 1 \(sha256:\w+\) still answers 2 s after traffic moved to"
        )


def test_a_failure_after_the_switch_switches_back_first(live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry refuses the alias: both versions answered, each correctly, and the old one stays."""
    first, second = tracking.get_version(name_of(live), 1), publish(live, 0.01)
    known = {1: golden_of(first), second.number: golden_of(second)}
    before = state_of(live)

    def delete_version(point: str) -> None:
        if point == "previous set":
            tracking.client().delete_model_version(second.model, str(second.number))

    monkeypatch.setattr("tasks.releasing.kill_here", delete_version)
    with (
        Load(serving().stable(first.model), known) as load,
        pytest.raises(ServingError, match="Version 1 is live, as before"),
    ):
        release(live, version=second.number)

    load.check([1, second.number, 1])
    assert state_of(live) == before


def test_a_failed_first_release_leaves_nothing_live(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(model)

    def fail_now(point: str) -> None:
        if point == "traffic moved":
            raise ServingError("server", "was hit by lightning", "Buy another.")

    monkeypatch.setattr("tasks.releasing.kill_here", fail_now)
    with pytest.raises(ServingError, match="Nothing is live, as before"):
        release(model)

    assert state_of(model) == State(None, None, None, None, None, (), ())


def test_a_release_stopped_by_a_person_puts_back_what_was(live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    version = publish(live, 0.01)
    before = state_of(live)

    def interrupt(point: str) -> None:
        if point == "traffic moved":
            raise KeyboardInterrupt

    monkeypatch.setattr("tasks.releasing.kill_here", interrupt)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - Prefect may wrap it
        release(live, version=version.number)

    assert not isinstance(caught.value, ServingError)
    assert state_of(live) == before


def test_a_server_that_died_is_told_the_old_version_for_its_next_start(
    live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be loaded back, which is said; but what the server will serve when it starts is the old."""
    version = publish(live, 0.01)
    before = serving().told(name_of(live))

    def die(point: str) -> None:
        if point == "traffic moved":
            raise ServingError("server", "died", "Start it.")

    dead = Dying.of(settings())
    monkeypatch.setattr("flows.release.serving", lambda: dead)
    monkeypatch.setattr("tasks.releasing.kill_here", die)
    with pytest.raises(ServingError, match="could not be put back"):
        release(live, version=version.number)

    assert serving().told(name_of(live)) == before
    monkeypatch.undo()
    assert release(live, version=1).version == 1
    assert state_of(live).predictors == (name_of(live),)


@dataclass(frozen=True)
class Dying(LocalServing):
    """Goes silent at the second load of the live name: the one that puts the old version back."""

    def _load(self, name: str, predictor: Predictor) -> None:
        if predictor.number == 1:
            replace(self, rest="http://127.0.0.1:9")._ask("POST", f"/v2/repository/models/{name}/load")
        super()._load(name, predictor)
