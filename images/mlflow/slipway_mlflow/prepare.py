"""Before the server starts: both schemas brought up to date, the identities made, and its configuration written.

`python -m slipway_mlflow.prepare`. What is secret comes from the environment and goes into the database and one
file that only the server reads: a program's arguments can be read by anyone who lists processes.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from slipway_mlflow import policy

ADMIN = "admin"
PASSWORDS = {ADMIN: "ADMIN_PASSWORD", **{user: f"{user.upper()}_PASSWORD" for user in policy.IDENTITIES}}
"""The variable that holds each one's password."""
CACHED_SECONDS = 60
"""For as long a worker remembers that a password was right: checking one takes half of a small request."""


def main() -> None:
    uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
    from mlflow.db import upgrade

    upgrade.main([uri], standalone_mode=False)
    # First the file: MLflow's own modules read it when they are imported.
    write_configuration(Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"]), uri)
    make_identities(uri, {user: os.environ[variable] for user, variable in PASSWORDS.items()})


def make_identities(uri: str, passwords: Mapping[str, str]) -> None:
    """Every identity with its password and what it may do. Done again, it changes nothing."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(uri)  # type: ignore[no-untyped-call]
    for user, password in passwords.items():
        admin = user == ADMIN
        if not store.has_user(user):
            store.create_user(user, password, is_admin=admin)
        elif not store.authenticate_user(user, password) or store.get_user(user).is_admin != admin:
            store.update_user(user, password=password, is_admin=admin)
        for resource, which, permission in policy.GRANTS.get(user, ()):
            store.grant_user_permission(user, resource, which, permission)


def configuration(uri: str) -> str:
    """Pure: the server's configuration; `%` means something else to who reads it."""
    lines = {
        "default_permission": "READ",
        "database_uri": uri.replace("%", "%%"),
        "admin_username": ADMIN,
        "authorization_function": "slipway_mlflow.authorization:authenticate",
        "auth_cache_ttl_seconds": str(CACHED_SECONDS),
    }
    return "\n".join(["[mlflow]", *(f"{key} = {value}" for key, value in lines.items()), ""])


def write_configuration(path: Path, uri: str) -> None:
    beside = path.with_name(f"{path.name}.new")
    beside.touch(mode=0o600)
    beside.write_text(configuration(uri))
    beside.replace(path)


if __name__ == "__main__":
    main()
