"""What the Jobs of a backup do beside PostgreSQL's own programs: `python -m tasks.dumps services|keep|fetch`.

The programs find a database by the name of a service, so that no password stands in their arguments. What is kept
and fetched lies in the store meanwhile, where the command line reaches it.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from tasks import store
from tasks.settings import variable

FOLDER = Path("/data")
"""Of the pod: what its containers share."""
SERVICES = "pg_service.conf"
ON_THE_WAY = "backup"
"""Top folder of the store for dumps on their way; only the administrator reads and writes there."""
DUMP = f"""set -eu
for name in mlflow prefect; do
    pg_dump --format=custom --no-owner --no-privileges --file={FOLDER}/$name.dump --dbname=service=$name
done
"""
RESTORE = f"""set -eu
for name in mlflow prefect; do
    # Extensions are the administrator's, and there already.
    pg_restore --list {FOLDER}/$name.dump | grep -v ' EXTENSION ' > {FOLDER}/$name.list
    pg_restore --clean --if-exists --no-owner --no-privileges --single-transaction \\
        --use-list={FOLDER}/$name.list --dbname=service=$name {FOLDER}/$name.dump
done
"""


def services(uris: Mapping[str, str]) -> str:
    """Pure: PostgreSQL's service file for the databases at `uris`, by name."""
    return "\n".join(f"[{name}]\n{_service(uri)}" for name, uri in uris.items())


def _service(uri: str) -> str:
    parts = urlsplit(uri.replace("+asyncpg", ""))
    said = {
        "host": parts.hostname or "",
        "port": str(parts.port or 5432),
        "dbname": unquote(parts.path.lstrip("/")),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        **dict(parse_qsl(parts.query)),
    }
    return "".join(f"{key}={value}\n" for key, value in said.items())


def main(what: str) -> None:
    if what == "services":
        FOLDER.joinpath(SERVICES).write_text(
            services({"mlflow": variable("MLFLOW_URI"), "prefect": variable("PREFECT_URI")})
        )
        return
    place = f"s3://{variable('BUCKET')}/{ON_THE_WAY}"
    for name in ("mlflow", "prefect"):
        bucket, key = store.split_s3(f"{place}/{name}.dump")
        file = str(FOLDER / f"{name}.dump")
        if what == "keep":
            store.copy_to_s3(file, f"{place}/{name}.dump")
        else:
            with store.reading(f"{place}/{name}.dump"):
                store.client().download_file(bucket, key, file)


if __name__ == "__main__":
    main(sys.argv[1])
