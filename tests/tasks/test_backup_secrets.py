"""The Secrets in a backup: all that bootstrap generates, and none that the user brings."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tasks import backup_secrets, hub_secrets, secrets
from tasks.backup_secrets import generated, places, seal, unseal
from tasks.errors import PlatformError, SpecError
from tasks.platform_lock import PlatformLock
from tasks.secrets import Place
from tests.tasks.test_platform_lock import parsed

PHRASE = "correct horse battery"
HELD = {Place("slipway", "slipway-s3"): {"key": "planted"}, Place("serving", "slipway-mlflow"): {"a": "b"}}
KNOWN = tuple(HELD)


def test_sealed_secrets_are_read_with_the_passphrase_only() -> None:
    sealed = seal(HELD, PHRASE)
    assert b"planted" not in sealed
    assert b"slipway" not in sealed
    assert unseal(sealed, PHRASE, KNOWN) == HELD
    assert seal(HELD, PHRASE) != sealed
    with pytest.raises(PlatformError, match="cannot be read with this passphrase"):
        unseal(sealed, PHRASE + ".", KNOWN)
    document = json.loads(sealed)
    altered = json.dumps({**document, "sealed": document["sealed"][:-4] + "AAAA"}).encode()
    with pytest.raises(PlatformError, match="cannot be read"):
        unseal(altered, PHRASE, KNOWN)


@pytest.mark.parametrize(
    "sealed", [b"", b"{}", b"[]", b'{"salt": 1, "sealed": "x"}', b'{"salt": "", "sealed": 1}']
)
def test_what_is_no_sealed_file_is_refused(sealed: bytes) -> None:
    with pytest.raises(PlatformError, match=r"secrets\.json of the backup: cannot be read"):
        unseal(sealed, PHRASE, KNOWN)


def test_a_secret_of_elsewhere_is_refused() -> None:
    with pytest.raises(PlatformError, match="holds Secret slipway-mlflow in serving, which is none of this"):
        unseal(seal(HELD, PHRASE), PHRASE, KNOWN[:1])


@pytest.mark.parametrize("phrase", ["", "short"])
def test_no_backup_without_a_passphrase_worth_the_name(phrase: str) -> None:
    with pytest.raises(SpecError, match="SLIPWAY_BACKUP_PASSPHRASE"):
        backup_secrets.check_passphrase(phrase)


def made(lock: PlatformLock, there: dict[Place, dict[str, str]]) -> dict[Place, dict[str, str]]:
    """What bootstrap makes of what is there, with a hub."""
    numbers = count(1)
    make: Callable[[], str] = lambda: f"{next(numbers):064x}"  # noqa: E731
    ours = {**there, **secrets.wanted(lock, there, make)}
    return {**ours, **{place: dict(data) for place, data in hub_secrets.wanted(lock, ours, make).items()}}


def test_every_secret_that_bootstrap_generates_is_in_a_backup() -> None:
    lock = parsed()
    found = made(lock, {})
    assert set(found) == set(places(lock))
    assert generated(lock, found) == found
    names = {str(place) for place in found}
    assert {"Secret slipway-hub in slipway", "Secret slipway-notebook in slipway-notebooks"} <= names
    assert {
        "Secret slipway-s3 in slipway-executors",
        "Secret slipway-model-store in slipway-serving",
    } <= names


def test_what_the_user_brings_stays_theirs() -> None:
    brought: dict[str, Any] = {
        "postgres": {"host": "db.example.com", "external": True},
        "store": {"bucket": "data", "endpoint": "https://s3.example.com", "external": True},
    }
    lock = parsed(**brought)
    given = {
        Place("slipway", "slipway-postgres"): {"mlflow-uri": "a", "prefect-uri": "b"},
        Place("slipway", "slipway-s3-admin"): {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
    }
    kept = generated(lock, made(lock, given))
    assert {place.name for place in kept} == {
        "slipway-hub",
        "slipway-mlflow",
        "slipway-notebook",
        "slipway-prefect",
    }
    assert not [key for data in kept.values() for key in data if backup_secrets.of_the_store(key)]
    assert kept[Place("slipway", "slipway-mlflow")]["admin-password"]
