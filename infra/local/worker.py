"""One process that works for several work pools.

`prefect worker start` imports every installed Prefect integration (Kubernetes' client among them) to learn
which types of worker there are: 6 s of processor time. Ours is known, and needs 3 s. It imports while the server
starts, and waits for its pools.
"""

import argparse
import asyncio
import os
import time

POLL = 0.2
PATIENCE = 170.0
"""Seconds to wait for the server and the pool."""


def wait_for_pool(api: str, pool: str) -> None:
    """Return when the server knows `pool`."""
    import httpx

    until = time.monotonic() + PATIENCE
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        while time.monotonic() < until:
            try:
                if client.get(f"{api}/work_pools/{pool}").is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(POLL)
    raise SystemExit(f"no work pool {pool!r} at {api} within {PATIENCE:.0f} s")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--name", required=True)
    arguments.add_argument("pools", nargs="+")
    given = arguments.parse_args()

    from prefect.settings import get_current_settings
    from prefect.utilities.processutils import setup_signal_handlers_worker
    from prefect.workers.process import ProcessWorker

    setup_signal_handlers_worker(os.getpid(), f"the worker of {', '.join(given.pools)}", print)
    now = get_current_settings()
    for pool in given.pools:
        wait_for_pool(str(now.api.url), pool)
    workers = [
        ProcessWorker(
            name=f"{pool}@{given.name}",
            work_pool_name=pool,
            prefetch_seconds=now.worker.prefetch_seconds,
            heartbeat_interval_seconds=int(now.worker.heartbeat_seconds),
            create_pool_if_not_found=False,
        )
        for pool in given.pools
    ]

    async def work() -> None:
        await asyncio.gather(*(worker.start() for worker in workers))

    asyncio.run(work())


if __name__ == "__main__":
    main()
