"""Prefect's database, ready made.

A new server spends 8 s on 120 migrations, and each start 3 s on importing every integration to register its
blocks. Both are done once per lock, into a file beside the environment; a new home gets a copy.
Run as a program, it fills the database that PREFECT_HOME names.
"""

import asyncio
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tasks.errors import PlatformError
from tasks.settings import ROOT, child_environment


def template() -> Path:
    """Where the ready database of this environment lies."""
    lock = hashlib.sha256((ROOT / "uv.lock").read_bytes()).hexdigest()[:16]
    return Path(sys.prefix) / "share" / "slipway" / f"prefect-{lock}.db"


def ensure_template() -> Path:
    """Make the ready database if this environment has none."""
    place = template()
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        done = subprocess.run(
            [sys.executable, "-m", "infra.local.prefect_database"],
            cwd=ROOT,
            env=child_environment({"PREFECT_HOME": folder, "DO_NOT_TRACK": "1"}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PlatformError(
                "Prefect's database",
                f"cannot be made:\n{done.stderr.strip()[-2000:]}",
                "Correct this, and try again.",
            )
        (Path(folder) / "prefect.db").replace(place)
    return place


def ensure_database(home: Path) -> None:
    """Give `home` a copy, unless it has a database; an older one is migrated by the server when it starts."""
    database = home / "prefect" / "prefect.db"
    if database.exists():
        return
    ready = ensure_template()
    database.parent.mkdir(parents=True, exist_ok=True)
    partial = database.with_suffix(".partial")
    shutil.copyfile(ready, partial)
    partial.replace(database)


async def fill() -> None:
    """Do what the server does when it starts: migrate, and register block types."""
    from prefect.plugins import load_prefect_collections
    from prefect.server.database import provide_database_interface
    from prefect.server.models.block_registration import run_block_auto_registration

    load_prefect_collections()
    database = provide_database_interface()
    await database.create_db()
    async with await database.session() as session:
        await run_block_auto_registration(session=session)
        await session.commit()
    # One file, without a write-ahead log beside it.
    engine = await database.engine()
    async with engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(fill())
