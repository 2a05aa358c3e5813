"""SIGKILL at every point of a release and of a rollback; running it again ends in the same state."""

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.release import release
from flows.rollback import rollback
from tasks.errors import RegistryError
from tasks.locks import limit_name
from tests.release import child
from tests.release.model import State, go_live, name_of, publish, state_of

RELEASE = (
    "before candidate",
    "candidate started",
    "traffic moved",
    "previous set",
    "before retire",
)
ROLLBACK = ("rollback marked", "candidate started", "traffic moved", "previous set", "before retire")
REASON = "it is slow"
PRELOAD = [
    "flows.rollback",
    "mlflow.tracking",
    "pandas",
    "skops.io",
    "sklearn.pipeline",
    "slipway_model_server.trust",
    "tritonclient.grpc",
]
"""What the processes that die would each import otherwise."""


def free_lock(path: str) -> None:
    """What an operator does who will not wait for the lease of a dead holder: delete the limit."""
    with get_client(sync_client=True) as client:
        client.delete_global_concurrency_limit_by_name(limit_name("release", name_of(path)))


def kill_each(flow: str, points: dict[str, str]) -> dict[str, State]:
    """Run `flow` for each model at its point of death, all at once; the states that the dead leave."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    dying = [context.Process(target=child.run, args=(flow, path, point)) for point, path in points.items()]
    for process in dying:
        process.start()
    for process, point in zip(dying, points, strict=True):
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, point
    for path in points.values():
        free_lock(path)
    return {point: state_of(path) for point, path in points.items()}


def models(specs: Callable[..., str], points: tuple[str, ...]) -> dict[str, str]:
    """For each point a model with version 1 live."""
    found = {point: specs(point.replace(" ", "-")) for point in points}
    for path in found.values():
        go_live(publish(path))
    return found


def relative(state: State, path: str) -> State:
    """The state without what is a model's own: its name, its artifacts' folder and digest."""
    name = name_of(path)
    return replace(
        state,
        answering=replace(state.answering, digest="") if state.answering else None,
        told=replace(state.told, digest="", uri="") if state.told else None,
        predictors=tuple(each.replace(name, "NAME") for each in state.predictors),
    )


def test_a_release_killed_at_any_point_and_run_again(home: Path, specs: Callable[..., str]) -> None:
    points = models(specs, RELEASE)
    for path in points.values():
        publish(path, 0.01)

    dead = kill_each("release", points)

    assert {point: state.answering.number for point, state in dead.items() if state.answering} == {
        "before candidate": 1,
        "candidate started": 1,
        "traffic moved": 2,
        "previous set": 2,
        "before retire": 2,
    }
    assert [dead[point].champion for point in RELEASE] == [1, 1, 1, 1, 2]
    assert "candidate-2" in dead["candidate started"].predictors[-1]
    with ThreadPoolExecutor(3) as several:
        again = list(several.map(release, points.values()))
    assert [result.version for result in again] == [2] * len(RELEASE)
    ends = {point: relative(state_of(path), path) for point, path in points.items()}
    untouched = specs("untouched")
    go_live(publish(untouched))
    publish(untouched, 0.01)
    release(untouched)
    expected = relative(state_of(untouched), untouched)
    assert (expected.champion, expected.previous, expected.predictors) == (2, 1, ("NAME",))
    assert ends == dict.fromkeys(RELEASE, expected)


def test_a_rollback_killed_at_any_point_and_run_again(home: Path, specs: Callable[..., str]) -> None:
    points = {point: specs(point.replace(" ", "-")) for point in ROLLBACK}
    for path in points.values():
        go_live(publish(path), publish(path, 0.01))

    dead = kill_each("rollback", points)

    assert [dead[point].hold is not None for point in ROLLBACK] == [True] * len(ROLLBACK)
    all_done = points["before retire"]  # but for the candidate: there is nothing left to roll back
    with ThreadPoolExecutor(3) as several:
        unfinished = [path for path in points.values() if path != all_done]
        again = list(several.map(lambda path: rollback(path, REASON), unfinished))
    assert [result.version for result in again] == [1] * len(unfinished)
    with pytest.raises(RegistryError, match="was rolled back already"):
        rollback(all_done, REASON)
    for point, path in points.items():
        state = relative(state_of(path), path)
        assert state.answering is not None
        assert state.told is not None
        assert (state.answering.number, state.told.number, state.champion) == (1, 1, 1), point
        assert (state.previous, state.rolled_back, state.predictors) == (2, (2,), ("NAME",)), point
        assert state.hold == f"version 2 was rolled back: {REASON}", point


def test_another_version_may_be_released_over_an_interrupted_one(
    home: Path, specs: Callable[..., str]
) -> None:
    """What answers is the outgoing version, whatever the alias says."""
    path = next(iter(models(specs, ("traffic moved",)).values()))
    publish(path, 0.01)
    kill_each("release", {"traffic moved": path})
    publish(path, 0.1)

    result = release(path)

    assert (result.version, result.previous) == (3, 2)
    state = state_of(path)
    assert (state.champion, state.previous, state.predictors) == (3, 2, (name_of(path),))
