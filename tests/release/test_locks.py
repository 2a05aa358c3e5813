"""One release per model at a time, whoever dies."""

import json
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.release import release
from tasks.errors import PlatformError
from tasks.locks import one_at_a_time
from tasks.settings import settings
from tests.release.model import go_live, name_of, publish, state_of


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Settings of a process that does not wait for a lock."""

    @contextmanager
    def changed():  # type: ignore[no-untyped-def]
        with monkeypatch.context() as patch:
            patch.setenv("SLIPWAY_LOCK_TIMEOUT", "0")
            settings.cache_clear()
            yield
        settings.cache_clear()

    return changed


def test_a_second_holder_is_refused_while_the_first_holds(home: Path, impatient, specs) -> None:  # type: ignore[no-untyped-def]
    name = name_of(specs("lock"))
    with one_at_a_time("release", name), impatient():
        with (
            pytest.raises(PlatformError, match=rf"another one has been running .* release-{name}"),
            one_at_a_time("release", name),
        ):
            pytest.fail("two holders")
        with one_at_a_time("retrain", name), one_at_a_time("release", f"{name}-other"):
            pass  # another kind, and another model, are other locks
    with impatient(), one_at_a_time("release", name):
        pass  # free again, at once


def test_a_failure_inside_frees_the_lock_and_is_not_retried(home: Path, impatient, specs) -> None:  # type: ignore[no-untyped-def]
    name = name_of(specs("lock"))
    turns = []

    def break_down() -> None:
        turns.append(1)
        raise PlatformError("it", "is broken", "Mend it.")

    with pytest.raises(PlatformError, match="broken"), one_at_a_time("release", name):
        break_down()
    with impatient(), one_at_a_time("release", name):
        turns.append(2)
    assert turns == [1, 2]


def test_two_releases_at_once_run_one_after_the_other(model: str) -> None:
    """Two people, two versions: both are released, one of them over the other, and one champion is left."""
    go_live(publish(model))
    publish(model, 0.01)
    publish(model, 0.1)
    results = []
    threads = [
        threading.Thread(target=lambda number=number: results.append(release(model, version=number)))
        for number in (2, 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # The one that released first may be the last to return.
    first, second = sorted(results, key=lambda result: result.previous != 1)
    assert {first.version, second.version} == {2, 3}
    assert (first.previous, second.previous) == (1, first.version)
    state = state_of(model)
    assert state.answering is not None
    assert (state.answering.number, state.champion, state.previous) == (
        second.version,
        second.version,
        first.version,
    )


def test_a_body_whose_lease_cannot_be_renewed_is_stopped_and_says_so(
    home: Path,
    specs,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody else may hold the lock by then; what runs on must not be taken for the only one."""
    from prefect.concurrency import _leases

    monkeypatch.setattr(_leases, "_RENEWAL_FRACTION", 0.005)  # each 0.3 s
    monkeypatch.setattr(_leases, "_RENEWAL_MAX_ATTEMPTS", 1)
    name = name_of(specs("lock"))
    reached = []

    def go_on() -> None:
        revoke_leases(home)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            time.sleep(0.05)
        reached.append("the end")

    with pytest.raises(PlatformError, match="could not keep its lock"), one_at_a_time("release", name):
        go_on()
    assert reached == []


def revoke_leases(home: Path) -> None:
    """What the server does with a lease that has ended."""
    leases = [
        json.loads(path.read_text()) for path in (home / "prefect" / "concurrency_leases").glob("*-*.json")
    ]
    with get_client(sync_client=True) as client:
        for lease in leases:
            client.request(
                "POST", "/v2/concurrency_limits/decrement-with-lease", json={"lease_id": lease["id"]}
            )
