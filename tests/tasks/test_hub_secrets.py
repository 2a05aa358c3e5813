from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tasks.errors import PlatformError
from tasks.hub_secrets import OWN, Place, database, markers, wanted
from tasks.platform_lock import PlatformLock
from tests.tasks.test_platform_lock import content, parsed

HUB = Place("slipway", "slipway-hub")
POSTGRES = Place("slipway", "slipway-postgres")
IDENTITY = Place("slipway", "slipway-notebook")
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
LOGIN = {"MLFLOW_TRACKING_USERNAME": "notebook", "MLFLOW_TRACKING_PASSWORD": "word"}


def numbered() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{next(numbers):064x}{0:016x}"


def no_more() -> str:
    raise AssertionError("something was made that was there already")


@pytest.fixture
def lock() -> PlatformLock:
    return parsed()


def test_the_hubs_own_are_all_different_and_as_long_as_it_asks_for(lock: PlatformLock) -> None:
    made = wanted(lock, {}, numbered())[HUB]
    assert set(made) == set(OWN)
    assert len(set(made.values())) == len(made)
    assert all(len(bytes.fromhex(value)) == 32 for value in made.values())


def test_what_is_there_stays(lock: PlatformLock) -> None:
    there = wanted(lock, {}, numbered())
    assert wanted(lock, there, no_more) == there


def test_notebooks_get_the_identity_and_executors_its_keys_alone(lock: PlatformLock) -> None:
    made = wanted(lock, {IDENTITY: {**KEYS, **LOGIN}}, numbered())
    assert made[Place("slipway-notebooks", "slipway-notebook")] == {**KEYS, **LOGIN}
    assert made[Place("slipway-executors", "slipway-s3")] == KEYS
    assert HUB.name not in {place.name for place in made if place.namespace != "slipway"}


def test_markers_name_every_secret_and_the_database_without_its_password(lock: PlatformLock) -> None:
    there = {
        **wanted(lock, {}, numbered()),
        POSTGRES: {"hub-uri": "postgresql+psycopg2://hub:pa%2Fss@db:5432/hub"},
    }
    found = markers(there, lock)
    assert found["secret:hub.database-url"] == "postgresql+psycopg2://hub@db:5432/hub"
    assert found["secret:hub.database-password"] == "pa/ss"
    assert found["secret:hub.cookie-secret"] == there[HUB]["cookie-secret"]


def test_a_database_without_password_is_one() -> None:
    found = database("postgresql+psycopg2://hub@db/hub")
    assert found["secret:hub.database-password"] == ""


def test_a_database_of_your_own_must_say_where_it_is() -> None:
    lock = parsed(postgres={"host": "db.example.com", "external": True})
    with pytest.raises(PlatformError, match=r"Secret slipway-postgres in slipway: hub-uri: is missing"):
        markers({POSTGRES: {}}, lock)


def hub(**changes: Any) -> dict[str, Any]:
    return {"name": "jupyterhub", "version": "4.4.0", **changes}


@pytest.mark.parametrize(("enabled", "external"), [(True, False), (False, True)])
def test_a_component_that_is_not_enabled_is_not_installed(enabled: bool, external: bool) -> None:
    components = [*content()["components"], {"name": "notebooks", "enabled": enabled}]
    lock = parsed(components=components)
    assert lock.enabled("notebooks") is enabled
    assert lock.external(lock.component("notebooks")) is external


def test_a_hub_asks_for_what_is_around_it() -> None:
    components = [*content()["components"], {"name": "notebooks", "enabled": False}, hub()]
    with pytest.raises(
        PlatformError, match=r"components\.4\.enabled: asks for notebooks, which are not enabled"
    ):
        parsed(components=components)
