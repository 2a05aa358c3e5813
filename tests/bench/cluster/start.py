"""From the creation of a run to Running: our pools against prefect-kubernetes as it is, with the same image.

Both workers look for runs equally often. Each run has its turn alone; the times are the Prefect server's own.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from tasks.checks.workers import SMALL
from tasks.kubernetes import client
from tasks.platform_lock import PlatformLock, load_lock
from tasks.prefect_api import ask
from tasks.reach import reached
from tests.bench.cluster import plain
from tests.bench.report import figure
from tests.bench.timing import turns
from tests.cluster.outside import Outside
from tests.cluster.runs import ENDED, until

TURNS = 3
LIMIT = 1.0
"""Seconds that our pools may add."""
IMAGES = {"pandas": "flow", "spark": "flow-spark", "release": "flow"}
"""Of each pool."""
PATIENCE = 180.0
PAUSE = 3.0
"""Seconds until the pod of a run that completed is gone from the node, too."""


def measure(cli: Outside) -> dict[str, Any]:
    lock = load_lock()
    with cli.here(), reached("Prefect") as found:
        api = found.prefect_url
        with plain.pool(client(lock.namespaces.platform), lock, api), deployments(api, lock) as made:
            ways = {name: lambda there=there: to_running(api, there) for name, there in made.items()}
            taken = turns(ways, TURNS)
    return compared({name: statistics.median(each) for name, each in taken.items()})


def compared(medians: dict[str, float]) -> dict[str, Any]:
    """Pure: each pool against the plain one with its image."""
    found = {}
    for pool, image in IMAGES.items():
        ours, theirs = medians[pool], medians[plain_name(image)]
        found[f"pool {pool} beyond plain"] = figure(
            ours - theirs, "s", LIMIT, ours_s=ours, plain_s=theirs, turns=TURNS
        )
    return found


def plain_name(image: str) -> str:
    return f"plain-{image}"


@contextmanager
def deployments(api: str, lock: PlatformLock) -> Iterator[dict[str, str]]:
    """Ids of deployments of the flow that does nothing, by name: one in each of our pools, one plain an image."""
    flow = ask("POST", f"{api}/flows/", {"name": "verification"}).raise_for_status().json()["id"]
    places: dict[str, tuple[str, dict[str, Any]]] = {pool: (pool, dict(SMALL)) for pool in IMAGES}
    for image in sorted(set(IMAGES.values())):
        variables = {"namespace": plain.NAMESPACE, "image": lock.image(image)}
        places[plain_name(image)] = (plain.POOL, variables)
    made = {}
    try:
        for name, (pool, variables) in places.items():
            body = deployment(flow, f"bench-{name}", pool, variables)
            made[name] = ask("POST", f"{api}/deployments/", body).raise_for_status().json()["id"]
        yield made
    finally:
        for found in made.values():
            ask("DELETE", f"{api}/deployments/{found}").raise_for_status()


def deployment(flow: str, name: str, pool: str, variables: dict[str, Any]) -> dict[str, Any]:
    return {
        "flow_id": flow,
        "name": name,
        "work_pool_name": pool,
        "entrypoint": "flows/verification.py:verification",
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": "/opt/slipway"}}],
        "job_variables": variables,
    }


def to_running(api: str, deployment: str) -> float:
    """Seconds that one run took from its creation to Running."""
    url = f"{api}/deployments/{deployment}/create_flow_run"
    run = ask("POST", url, {"state": {"type": "SCHEDULED"}}).raise_for_status().json()["id"]
    found = until(api, run, ENDED, PATIENCE)
    if found["state_type"] != "COMPLETED":
        raise RuntimeError(f"a run that does nothing ended as {found['state']}")
    time.sleep(PAUSE)
    return between(found["created"], found["start_time"])


def between(earlier: str, later: str) -> float:
    """Seconds between two of Prefect's times."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
