"""The platform's passwords and keys: made once, kept in Kubernetes Secrets, copied to where they are needed.

They travel only in the bodies of requests to the Kubernetes API; charts, pods and Jobs name the Secrets. What the
user put there beforehand (an external Postgres or S3, keys of their own) stays as it is.
"""

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import PlatformError
from tasks.identities import rights
from tasks.kubernetes import SECRET, Cluster, Manifest
from tasks.platform_lock import PlatformLock

POSTGRES, S3, S3_ADMIN, PREFECT, MODELS, MLFLOW, NOTEBOOK = (
    "slipway-postgres", "slipway-s3", "slipway-s3-admin", "slipway-prefect", "slipway-model-store",
    "slipway-mlflow", "slipway-notebook",
)  # fmt: skip
AUTH = "auth-string"
MLFLOW_USER, MLFLOW_PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
"""What MLflow's clients read."""
KEY, KEY_SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
MADE_BY = {"app.kubernetes.io/managed-by": "slipway", "app.kubernetes.io/part-of": "slipway"}

Data = Mapping[str, str]


def is_ours(there: Manifest | None) -> bool:
    """Pure: whether bootstrap made the object, which `MADE_BY` says."""
    return MADE_BY.items() <= dict((there or {}).get("metadata", {}).get("labels") or {}).items()


@dataclass(frozen=True, order=True)
class Place:
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"Secret {self.name} in {self.namespace}"


Found = Mapping[Place, Data]


def make_secrets(cluster: Cluster, lock: PlatformLock) -> tuple[Place, ...]:
    """Bring every Secret to what it must hold; the places of those that were written."""
    there = read(cluster, places(lock))
    written: list[Place] = []
    for place, data in wanted(lock, there, token).items():
        if any(there.get(place, {}).get(key) != value for key, value in data.items()):
            cluster.apply(manifest(place, {**there.get(place, {}), **data}))
            written.append(place)
    return tuple(written)


def token() -> str:
    return secrets.token_hex(20)


def places(lock: PlatformLock) -> tuple[Place, ...]:
    """Every Secret of the platform."""
    names = lock.namespaces
    return (
        *(Place(names.platform, name) for name in (POSTGRES, S3, S3_ADMIN, PREFECT, MLFLOW, NOTEBOOK)),
        *(Place(names.training, name) for name in (S3, PREFECT, MLFLOW)),
        *(Place(names.serving, name) for name in (S3, PREFECT, MLFLOW, MODELS)),
    )


def read(cluster: Cluster, wanted: tuple[Place, ...]) -> dict[Place, dict[str, str]]:
    """What each Secret holds; those that are not there are left out."""
    found = {}
    for place in wanted:
        secret = cluster.get(SECRET, place.name, place.namespace)
        if secret is not None:
            found[place] = {
                key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()
            }
    return found


def auth_string(cluster: Cluster, lock: PlatformLock) -> str:
    """What Prefect's server asks of its clients. Never logged, nor given to a flow."""
    place = Place(lock.namespaces.platform, PREFECT)
    return _held(read(cluster, (place,)), place, AUTH)


def administrator(cluster: Cluster, lock: PlatformLock) -> tuple[str, str]:
    """Access key and secret key of who may do everything in the object store."""
    place = Place(lock.namespaces.platform, S3_ADMIN)
    there = read(cluster, (place,))
    return _held(there, place, KEY), _held(there, place, KEY_SECRET)


def manifest(place: Place, data: Data) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": place.name, "namespace": place.namespace, "labels": MADE_BY},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in sorted(data.items())},
    }


def wanted(lock: PlatformLock, there: Found, make: Callable[[], str]) -> dict[Place, dict[str, str]]:
    """Pure but for `make`: what each Secret that is ours must hold, given what is there.

    Raises PlatformError naming the Secret and the key that the user must give, or gave wrongly.
    """
    names = lock.namespaces
    auth = _kept(there, Place(names.platform, PREFECT), AUTH, lambda: f"slipway:{make()}")
    mlflow, store = _mlflow(lock, there, make), _store(lock, there, make)
    notebook = Place(names.platform, NOTEBOOK)
    return {
        **_postgres(lock, there, make),
        **mlflow,
        **store,
        notebook: {**mlflow[notebook], **store.get(notebook, {})},
        **{Place(space, PREFECT): {AUTH: auth} for space in (names.platform, names.training, names.serving)},
    }


def _postgres(lock: PlatformLock, there: Found, make: Callable[[], str]) -> dict[Place, dict[str, str]]:
    place = Place(lock.namespaces.platform, POSTGRES)
    if lock.postgres.external:
        for key in ("mlflow-uri", "prefect-uri"):
            _held(there, place, key)
        return {}
    data = {key: _kept(there, place, key, make) for key in (f"{user}-password" for user in USERS)}
    at = f"{lock.postgres.host}:{lock.postgres.port}"
    data["mlflow-uri"] = f"postgresql://mlflow:{data['mlflow-password']}@{at}/mlflow"
    data["hub-uri"] = f"postgresql+psycopg2://hub:{data['hub-password']}@{at}/hub"
    data["prefect-uri"] = f"postgresql+asyncpg://prefect:{data['prefect-password']}@{at}/prefect"
    return {place: data}


USERS = ("postgres", "mlflow", "prefect", "hub")
LOGINS = ("admin", "training", "release", "notebook")
"""Who logs in to MLflow; what each may do there stands in images/mlflow/slipway_mlflow/policy.py."""


def _mlflow(lock: PlatformLock, there: Found, make: Callable[[], str]) -> dict[Place, dict[str, str]]:
    names = lock.namespaces
    place = Place(names.platform, MLFLOW)
    data = {
        key: _kept(there, place, key, make)
        for key in (*(f"{user}-password" for user in LOGINS), "secret-key")
    }
    given = {
        Place(names.training, MLFLOW): "training", Place(names.serving, MLFLOW): "release",
        Place(names.platform, NOTEBOOK): "notebook",
    }  # fmt: skip
    logins = {
        at: {MLFLOW_USER: user, MLFLOW_PASSWORD: data[f"{user}-password"]} for at, user in given.items()
    }
    return {place: data, **logins}


def _store(lock: PlatformLock, there: Found, make: Callable[[], str]) -> dict[Place, dict[str, str]]:
    names = lock.namespaces
    admin, main = Place(names.platform, S3_ADMIN), Place(names.platform, S3)
    users = {
        main: "mlflow", Place(names.training, S3): "training", Place(names.serving, S3): "release",
    }  # fmt: skip
    notebook = Place(names.platform, NOTEBOOK)
    models = Place(names.serving, MODELS)
    if lock.store.external:  # notebooks get no keys that may do more than theirs: the user brings those
        pair = (_held(there, admin, KEY), _held(there, admin, KEY_SECRET))
        ours = {place: _pair(*pair) for place in users if place not in there}
        return ours if models in there else {**ours, models: _rclone(lock, *pair)}
    keys = _identities(lock, there, make)
    made: dict[Place, dict[str, str]] = {place: _pair(*keys[user]) for place, user in users.items()}
    made[main]["config.json"] = _config(lock, keys)
    made[admin], made[notebook] = _pair(*keys["admin"]), _pair(*keys["notebook"])
    made[models] = _rclone(lock, *keys["serving"])
    return made


def _identities(lock: PlatformLock, there: Found, make: Callable[[], str]) -> dict[str, tuple[str, str]]:
    """Access key and secret key of each identity: those of config.json, and new ones."""
    place = Place(lock.namespaces.platform, S3)
    text = there.get(place, {}).get("config.json", '{"identities": []}')
    try:
        found = {
            each["name"]: (each["credentials"][0]["accessKey"], each["credentials"][0]["secretKey"])
            for each in json.loads(text)["identities"]
        }
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise PlatformError(
            f"{place}: config.json",
            f"is not a list of SeaweedFS identities ({type(error).__name__})",
            "Restore it, or delete the Secret: then every key is made anew.",
        ) from None
    return {user: found.get(user) or (make()[:20], make()) for user in rights(lock.store.bucket)}


def _config(lock: PlatformLock, keys: Mapping[str, tuple[str, str]]) -> str:
    identities = [
        {
            "name": user,
            "credentials": [{"accessKey": keys[user][0], "secretKey": keys[user][1]}],
            "actions": list(actions),
        }
        for user, actions in rights(lock.store.bucket).items()
    ]
    return json.dumps({"identities": identities}, indent=1)


def _pair(key: str, secret: str) -> dict[str, str]:
    return {KEY: key, KEY_SECRET: secret}


def _rclone(lock: PlatformLock, key: str, secret: str) -> dict[str, str]:
    """What the init container that fetches a model reads from its environment."""
    said: dict[str, Any] = {
        "TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "false", "ACCESS_KEY_ID": key,
        "SECRET_ACCESS_KEY": secret, "ENDPOINT": lock.store.endpoint,
    }  # fmt: skip
    return {f"RCLONE_CONFIG_S3_{name}": value for name, value in said.items()}


def _kept(there: Found, place: Place, key: str, make: Callable[[], str]) -> str:
    return there.get(place, {}).get(key) or make()


def _held(there: Found, place: Place, key: str) -> str:
    value = there.get(place, {}).get(key)
    if not value:
        raise PlatformError(
            f"{place}: {key}",
            "is missing" if place in there else "the Secret is not there",
            "Create it with this key: the lock says that you bring it (`external`).",
        )
    return value
