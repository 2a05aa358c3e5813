"""What the Jobs of a backup do beside PostgreSQL's own programs: `python -m tasks.dumps services|keep|fetch`.

The programs find a database by the name of a service, so that no password stands in their arguments. What is
kept and fetched lies in the store meanwhile, where the command line reaches it: closed with the administrator's
key, for training and release read the whole bucket.
"""

import base64
import hashlib
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import store
from tasks.errors import PlatformError
from tasks.kubernetes import poll
from tasks.secrets import POSTGRES
from tasks.settings import variable

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

FOLDER = Path("/data")
"""Of the pod: what its containers share."""
SERVICES = "pg_service.conf"
ON_THE_WAY = "backup"
"""Top folder of the store for dumps on their way."""
CHUNK = 8 * 2**20
PATIENCE = 60.0
"""Seconds that a new pod's network may take until it lets the pod through."""
LIBPQ = ("sslmode", "sslrootcert", "sslcert", "sslkey", "channel_binding", "target_session_attrs")
"""What of a URI's query PostgreSQL's programs take too; drivers have more of their own."""
DUMP = f"""set -eu
for name in $DATABASES; do
    pg_dump --format=custom --no-owner --no-privileges --file={FOLDER}/$name.dump --dbname=service=$name
done
"""
EMPTY = """
DO $empty$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('DROP %s IF EXISTS %s CASCADE', CASE relkind
            WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'c' THEN 'TYPE'
            ELSE 'TABLE' END, format('%I.%I', nspname, relname))
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'c') AND pg_get_userbyid(relowner) = current_user
            AND nspname NOT LIKE 'pg\\_%' AND NOT EXISTS (
                SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
                    AND (deptype = 'e' OR relkind = 'S' AND deptype IN ('a', 'i')))
        UNION ALL
        SELECT format('DROP TYPE IF EXISTS %I.%I CASCADE', nspname, typname)
        FROM pg_type JOIN pg_namespace ON pg_namespace.oid = typnamespace
        WHERE typtype IN ('e', 'd') AND pg_get_userbyid(typowner) = current_user AND nspname NOT LIKE 'pg\\_%'
            AND NOT EXISTS (
                SELECT FROM pg_depend
                WHERE classid = 'pg_type'::regclass AND objid = pg_type.oid AND deptype = 'e')
        UNION ALL
        SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', pg_proc.oid::regprocedure)
        FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
        WHERE pg_get_userbyid(proowner) = current_user AND nspname NOT LIKE 'pg\\_%'
            AND NOT EXISTS (
                SELECT FROM pg_depend
                WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')
    LOOP
        EXECUTE command;
    END LOOP;
END $empty$;
"""
"""Takes away all that the user has in the database: also what a newer server made, which no dump names.

What belongs to an extension stays; the sequence of a column goes with its table, and not without it.
No `$$` here: Kubernetes makes one `$` of it."""
RESTORE = f"""set -eu
cat > {FOLDER}/empty.sql <<'SQL'
{EMPTY}SQL
# Every dump is read whole before a database is touched. Extensions are the administrator's, and there already.
for name in $DATABASES; do
    pg_restore --list {FOLDER}/$name.dump | grep -v ' EXTENSION ' > {FOLDER}/$name.list
    pg_restore --no-owner --no-privileges --use-list={FOLDER}/$name.list \\
        --file={FOLDER}/$name.sql {FOLDER}/$name.dump
done
for name in $DATABASES; do
    psql --no-psqlrc --quiet --output=/dev/null --set=ON_ERROR_STOP=1 --single-transaction \\
        --file={FOLDER}/empty.sql --file={FOLDER}/$name.sql service=$name
done
"""


def parsed(name: str, uri: str) -> "URL":
    """Pure: the address of the database `name`. PlatformError without a word of it: a password is in it."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(uri)
    except (ArgumentError, ValueError):
        raise PlatformError(
            f"database {name}",
            "has a URI that cannot be read",
            f"Correct {name}-uri in the Secret {POSTGRES}: in a password, %40 stands for @ and %2F for /.",
        ) from None


def services(databases: Mapping[str, "URL"]) -> str:
    """Pure: PostgreSQL's service file for the databases, by name."""
    return "\n".join(f"[{name}]\n{_service(url)}" for name, url in databases.items())


def _service(url: "URL") -> str:
    query = {key: value for key, value in url.query.items() if isinstance(value, str)}
    if "ssl" in query:  # asyncpg's name for it
        query.setdefault("sslmode", query["ssl"])
    said = {
        "host": url.host or "",
        "port": str(url.port or 5432),
        "dbname": url.database or "",
        "user": url.username or "",
        "password": url.password or "",
        **{key: value for key, value in query.items() if key in LIBPQ},
    }
    return "".join(f"{key}={value}\n" for key, value in said.items())


def addresses(databases: Iterable["URL"], endpoint: str) -> set[tuple[str, int]]:
    """Pure: host and port of all that the Job talks to: the databases, and the store at `endpoint`."""
    return {(url.host or "", url.port or 5432) for url in databases} | {store.host_and_port(endpoint)}


def wait_for(host: str, port: int) -> None:
    """Return when `host` lets this pod connect; PostgreSQL's programs try only once."""

    def connected() -> bool | None:
        try:
            socket.create_connection((host, port), timeout=3).close()
        except OSError:
            return None
        return True

    if poll(connected, PATIENCE, 1.0) is None:
        raise PlatformError(
            f"{host}:{port}",
            f"lets nobody connect from this pod for {PATIENCE:.0f} s",
            "See whether it runs, and which network policies keep pods of slipway.io/role=verification from it.",
        )


def close(source: Path, target: Path, key: str) -> None:
    """Write `source` to `target` so that only who knows `key` reads it."""
    from cryptography.fernet import Fernet

    with source.open("rb") as plain, target.open("wb") as closed:
        cipher = Fernet(_key(key))
        while chunk := plain.read(CHUNK):
            closed.write(cipher.encrypt(chunk) + b"\n")


def open_(source: Path, target: Path, key: str) -> None:
    """The reverse. Raises PlatformError if it was closed with another key."""
    from cryptography.fernet import Fernet, InvalidToken

    with source.open("rb") as closed, target.open("wb") as plain:
        cipher = Fernet(_key(key))
        for line in closed:
            try:
                plain.write(cipher.decrypt(line.rstrip(b"\n")))
            except InvalidToken:
                raise PlatformError(
                    f"dump {source.name} on its way",
                    "was closed with another key",
                    "See whether another backup or restore is at work, and run the command again.",
                ) from None


def _key(secret: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(f"slipway dump {secret}".encode()).digest())


def main(what: str) -> None:
    names, bucket = variable("DATABASES").split(), variable("BUCKET")
    if what == "services":
        file = FOLDER / SERVICES
        file.touch(mode=0o600)
        databases = {name: parsed(name, variable(f"{name.upper()}_URI")) for name in names}
        file.write_text(services(databases))
        for host, port in addresses(databases.values(), variable("SLIPWAY_S3_ENDPOINT")):
            wait_for(host, port)
        return
    key = variable("AWS_SECRET_ACCESS_KEY")
    for name in names:
        uri = f"s3://{bucket}/{ON_THE_WAY}/{name}.dump"
        dump, closed = FOLDER / f"{name}.dump", FOLDER / "closed"
        if what == "keep":
            close(dump, closed, key)
            store.copy_to_s3(str(closed), uri)
        else:
            with store.reading(uri):
                store.client().download_file(*store.split_s3(uri), str(closed))
            open_(closed, dump, key)
        closed.unlink()


if __name__ == "__main__":
    main(sys.argv[1])
