"""One process worker of one work pool.

`prefect worker start` imports every installed Prefect integration (Kubernetes' client among them) to learn
which types of worker there are: 6 s of processor time. Ours is known, and needs 3 s. It imports while the server
starts, and waits for its pool.
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
    arguments.add_argument("--pool", required=True)
    arguments.add_argument("--name", required=True)
    given = arguments.parse_args()

    from prefect.settings import get_current_settings
    from prefect.utilities.processutils import setup_signal_handlers_worker
    from prefect.workers.process import ProcessWorker

    setup_signal_handlers_worker(os.getpid(), f"the worker of pool {given.pool}", print)
    now = get_current_settings()
    wait_for_pool(str(now.api.url), given.pool)
    worker = ProcessWorker(
        name=given.name,
        work_pool_name=given.pool,
        prefetch_seconds=now.worker.prefetch_seconds,
        heartbeat_interval_seconds=int(now.worker.heartbeat_seconds),
        create_pool_if_not_found=False,
    )
    asyncio.run(worker.start())


if __name__ == "__main__":
    main()
