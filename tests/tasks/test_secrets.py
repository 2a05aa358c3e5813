import json
from collections.abc import Callable
from itertools import count

import pytest

from tasks.errors import PlatformError
from tasks.platform_lock import PlatformLock
from tasks.secrets import Place, manifest, places, wanted
from tests.tasks.test_platform_lock import parsed

ADMIN = Place("slipway", "slipway-s3-admin")
STORE = Place("slipway", "slipway-s3")
POSTGRES = Place("slipway", "slipway-postgres")
PREFECT = Place("slipway", "slipway-prefect")
TRAINING = Place("slipway-training", "slipway-s3")
MODELS = Place("slipway-serving", "slipway-model-store")
MLFLOW = Place("slipway", "slipway-mlflow")
NOTEBOOK = Place("slipway", "slipway-notebook")


def numbered() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"made{next(numbers)}"


def no_more() -> str:
    raise AssertionError("something was made that was there already")


@pytest.fixture
def lock() -> PlatformLock:
    return parsed()


def test_a_fresh_cluster_gets_every_secret(lock: PlatformLock) -> None:
    assert set(wanted(lock, {}, numbered())) == set(places(lock))


def test_what_is_there_is_kept(lock: PlatformLock) -> None:
    first = wanted(lock, {}, numbered())
    assert wanted(lock, first, no_more) == first


def test_every_password_and_key_is_another(lock: PlatformLock) -> None:
    made = wanted(lock, {}, numbered())
    keys = json.loads(made[STORE]["config.json"])["identities"]
    secrets = [each["credentials"][0]["secretKey"] for each in keys]
    passwords = [made[POSTGRES][f"{user}-password"] for user in ("postgres", "mlflow", "prefect")]
    assert len(set(secrets + passwords)) == len(secrets) + len(passwords)


def test_each_namespace_gets_the_keys_of_its_own_identity(lock: PlatformLock) -> None:
    made = wanted(lock, {}, numbered())
    keys = {
        each["name"]: each["credentials"][0] for each in json.loads(made[STORE]["config.json"])["identities"]
    }
    for place, user in ((STORE, "mlflow"), (TRAINING, "training"), (ADMIN, "admin"), (NOTEBOOK, "notebook")):
        assert made[place]["AWS_ACCESS_KEY_ID"] == keys[user]["accessKey"]
        assert made[place]["AWS_SECRET_ACCESS_KEY"] == keys[user]["secretKey"]
    assert made[MODELS]["RCLONE_CONFIG_S3_SECRET_ACCESS_KEY"] == keys["serving"]["secretKey"]
    assert made[MODELS]["RCLONE_CONFIG_S3_ENDPOINT"] == lock.store.endpoint


def test_each_namespace_logs_in_to_mlflow_as_its_own_identity(lock: PlatformLock) -> None:
    made = wanted(lock, {}, numbered())
    given = {
        "training": Place("slipway-training", "slipway-mlflow"),
        "release": Place("slipway-serving", "slipway-mlflow"),
        "notebook": NOTEBOOK,
    }
    for user, place in given.items():
        assert made[place]["MLFLOW_TRACKING_USERNAME"] == user
        assert made[place]["MLFLOW_TRACKING_PASSWORD"] == made[MLFLOW][f"{user}-password"]
    assert len(set(made[MLFLOW].values())) == 5
    assert set(made[given["training"]]) == {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}


def test_databases_are_named_by_their_whole_uri(lock: PlatformLock) -> None:
    made = wanted(lock, {}, numbered())[POSTGRES]
    at = f"{made['mlflow-password']}@postgres.slipway.svc:5432"
    assert made["mlflow-uri"] == f"postgresql://mlflow:{at}/mlflow"
    assert made["prefect-uri"].startswith("postgresql+asyncpg://prefect:")


def test_one_missing_key_is_made_and_the_others_stay(lock: PlatformLock) -> None:
    first = wanted(lock, {}, numbered())
    postgres = {key: value for key, value in first[POSTGRES].items() if key != "prefect-password"}
    again = wanted(lock, {**first, POSTGRES: postgres}, lambda: "new")
    assert again[POSTGRES]["prefect-password"] == "new"
    assert again[POSTGRES]["mlflow-uri"] == first[POSTGRES]["mlflow-uri"]
    assert {**again, POSTGRES: {}} == {**first, POSTGRES: {}}


def test_a_copy_that_went_astray_follows_its_original(lock: PlatformLock) -> None:
    first = wanted(lock, {}, numbered())
    there = {**first, Place("slipway-serving", "slipway-prefect"): {"auth-string": "old"}, NOTEBOOK: {}}
    assert wanted(lock, there, no_more) == first


def test_the_keys_of_ones_own_store_go_where_they_are_needed() -> None:
    lock = parsed(store={"bucket": "mine", "endpoint": "https://s3.example.com", "external": True})
    given = {ADMIN: {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}}
    made = wanted(lock, given, numbered())
    assert ADMIN not in made
    assert made[TRAINING] == {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    assert "AWS_ACCESS_KEY_ID" not in made[NOTEBOOK], "a notebook gets no keys that may do everything"
    narrow = {**given, TRAINING: {"AWS_ACCESS_KEY_ID": "n", "AWS_SECRET_ACCESS_KEY": "n"}}
    assert TRAINING not in wanted(lock, narrow, numbered()), "narrower keys of the user stay"


@pytest.mark.parametrize(
    ("changes", "there", "words"),
    [
        (
            {"store": {"bucket": "mine", "endpoint": "https://s3.example.com", "external": True}},
            {},
            "Secret slipway-s3-admin in slipway: AWS_ACCESS_KEY_ID: the Secret is not there",
        ),
        (
            {"postgres": {"host": "db", "external": True}},
            {POSTGRES: {"mlflow-uri": "postgresql://"}},
            "Secret slipway-postgres in slipway: prefect-uri: is missing",
        ),
        ({}, {STORE: {"config.json": "hunter2"}}, "Secret slipway-s3 in slipway: config.json: is not a list"),
    ],
)
def test_a_secret_that_the_user_owes_is_named(
    changes: dict[str, object], there: dict[Place, dict[str, str]], words: str
) -> None:
    with pytest.raises(PlatformError, match=words) as refused:
        wanted(parsed(**changes), there, numbered())
    assert "hunter2" not in str(refused.value)


def test_a_manifest_says_whose_it_is() -> None:
    made = manifest(PREFECT, {"auth-string": "a:b"})
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "slipway"
    assert made["data"] == {"auth-string": "YTpi"}
