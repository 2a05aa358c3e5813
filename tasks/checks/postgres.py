"""Both users of Postgres log in, and write and read a row in a database of their own."""

import asyncio

from tasks.checks import run
from tasks.settings import variable


async def use(uri: str) -> str:
    """Name of the database that answered."""
    import asyncpg  # type: ignore[import-untyped]

    connection = await asyncpg.connect(uri.replace("+asyncpg", ""), timeout=10)
    try:
        await connection.execute("CREATE TEMPORARY TABLE slipway_check (number int)")
        await connection.execute("INSERT INTO slipway_check VALUES (42)")
        found = await connection.fetchval("SELECT number FROM slipway_check")
        if found != 42:
            raise RuntimeError(f"the row came back as {found!r}")
        return str(await connection.fetchval("SELECT current_database()"))
    finally:
        await connection.close()


def check() -> str:
    names = [asyncio.run(use(variable(name))) for name in ("MLFLOW_URI", "PREFECT_URI")]
    return f"wrote and read a row in {' and '.join(names)}"


if __name__ == "__main__":
    run(check)
