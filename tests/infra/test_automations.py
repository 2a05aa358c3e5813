"""What Prefect does by itself is what the code says, also after either of them changed."""

from copy import deepcopy
from typing import Any

import httpx
import pytest

from tasks import automations
from tasks.automations import NAME, ZOMBIES, ensure_automations, marked, says
from tasks.prefect_api import ask
from tasks.settings import Settings

pytestmark = pytest.mark.platform


def ours(api: str) -> list[dict[str, Any]]:
    found = httpx.post(f"{api}/automations/filter", json={}).json()
    return [each for each in found if each["name"] == NAME]


def test_an_automation_that_is_as_the_code_says_is_not_written(platform: Settings) -> None:
    ensure_automations(platform.prefect_url)
    (before,) = ours(platform.prefect_url)
    assert ensure_automations(platform.prefect_url) == ()
    assert ours(platform.prefect_url) == [before]


@pytest.mark.parametrize("change", [{"enabled": False}, {"description": "somebody's own"}])
def test_an_automation_changed_by_hand_is_brought_back(platform: Settings, change: dict[str, Any]) -> None:
    api = platform.prefect_url
    ensure_automations(api)
    (before,) = ours(api)
    ask("PUT", f"{api}/automations/{before['id']}", {**marked(ZOMBIES), **change}).raise_for_status()
    assert ensure_automations(api) == (NAME,)
    (after,) = ours(api)
    assert after["id"] == before["id"]
    assert says(after, marked(ZOMBIES))


def test_an_automation_whose_definition_changed_is_updated(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a key that it no longer has: the server would keep that one."""
    api = platform.prefect_url
    ensure_automations(api)
    (before,) = ours(api)
    other = deepcopy(ZOMBIES)
    other["trigger"]["within"] = 120
    del other["trigger"]["for_each"]
    monkeypatch.setattr(automations, "ZOMBIES", other)
    assert ensure_automations(api) == (NAME,)
    (after,) = ours(api)
    assert (after["id"], after["trigger"]["within"]) == (before["id"], 120)
    assert after["trigger"]["for_each"] == []
    assert ensure_automations(api) == ()
    monkeypatch.undo()
    assert ensure_automations(api) == (NAME,)
    assert ours(api)[0]["trigger"] == {**before["trigger"], "id": ours(api)[0]["trigger"]["id"]}


@pytest.mark.parametrize(
    ("there", "wanted", "holds"),
    [
        ({"a": 1, "filled in": None}, {"a": 1}, True),
        ({"a": 1.0}, {"a": 1}, True),
        ({"a": ["y", "x"]}, {"a": ["x", "y"]}, True),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}, True),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}]}, False),
        ({"a": ["x"]}, {"a": ["x", "y"]}, False),
        ({}, {"a": 1}, False),
        ({"a": 2}, {"a": 1}, False),
    ],
)
def test_what_the_server_fills_in_is_no_change(there: Any, wanted: Any, holds: bool) -> None:
    assert says(there, wanted) is holds
