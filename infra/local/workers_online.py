"""Whether a work pool has a worker that lives."""

from datetime import datetime

import httpx

from infra.local.services import client


def worker_online(api: str, pool: str, since: float) -> bool:
    """Whether a worker of `pool` gave a sign of life after `since` (seconds since the epoch)."""
    try:
        answer = client().post(f"{api}/work_pools/{pool}/workers/filter", json={})
    except httpx.TransportError:
        return False
    if answer.status_code != 200:
        return False
    return any(
        worker["status"] == "ONLINE"
        and datetime.fromisoformat(worker["last_heartbeat_time"]).timestamp() >= since
        for worker in answer.json()
    )
