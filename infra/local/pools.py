"""Work pools of the embedded platform, through Prefect's API (importing Prefect would cost seconds)."""

import json
from datetime import datetime
from typing import Any

import httpx

from infra.local.services import POOLS, ask, client
from tasks.errors import PlatformError
from tasks.settings import ROOT

TEMPLATES = ROOT / "deployments" / "work-pools"


def template(pool: str) -> dict[str, Any]:
    """The base job template of an embedded process pool; flow runs work in this checkout."""
    document: dict[str, Any] = json.loads((TEMPLATES / f"{pool}.process.json").read_text())
    document["variables"]["properties"]["working_dir"]["default"] = str(ROOT)
    return document


def make_pools(api: str) -> None:
    """Create each work pool, or bring its template to what the files say.

    Before the workers start: a worker would make its pool with Prefect's default template.
    """
    for pool in POOLS:
        wanted = template(pool)
        answer = ask("GET", f"{api}/work_pools/{pool}")
        if answer.status_code == 404:
            body = {"name": pool, "type": "process", "base_job_template": wanted}
            _expect(ask("POST", f"{api}/work_pools/", body), pool)
        elif _expect(answer, pool)["base_job_template"] != wanted:
            _expect(ask("PATCH", f"{api}/work_pools/{pool}", {"base_job_template": wanted}), pool)


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


def _expect(answer: httpx.Response, pool: str) -> dict[str, Any]:
    if not answer.is_success:
        raise PlatformError(
            f"work pool {pool!r}",
            f"Prefect answered {answer.status_code}: {answer.text[:500]}",
            "See <home>/logs/prefect.log.",
        )
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found
