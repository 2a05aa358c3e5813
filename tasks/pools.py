"""Work pools, through Prefect's API: the same names on both platforms, each platform with templates of its own.

`deployments/work-pools/NAME.process.json` and `NAME.kubernetes.json` are the base job templates. A string
`@image:NAME` or `@namespace:NAME` in one stands for what the platform's lock says.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

import httpx

from tasks.errors import PlatformError
from tasks.markers import filled
from tasks.prefect_api import ask
from tasks.settings import ROOT

Kind = Literal["process", "kubernetes"]
POOLS = ("pandas", "spark", "release")
TEMPLATES = ROOT / "deployments" / "work-pools"


def template(pool: str, kind: Kind, known: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The base job template of a pool. `known`: what each marker, such as `image:flow`, stands for."""
    file = TEMPLATES / f"{pool}.{kind}.json"
    document: dict[str, Any] = filled(json.loads(file.read_text()), known or {}, str(file))
    if kind == "process":  # flow runs work in this checkout
        document["variables"]["properties"]["working_dir"]["default"] = str(ROOT)
    return document


def make_pools(api: str, kind: Kind, known: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Create each work pool, or bring its template to what the files say; gives the names of those written.

    Before the workers start: a worker would make its pool with Prefect's default template.
    """
    wrong = differing(api, kind, known)
    for pool, there in wrong.items():
        wanted = template(pool, kind, known)
        if there is None:
            body = {"name": pool, "type": kind, "base_job_template": wanted}
            _expect(ask("POST", f"{api}/work_pools/", body), pool)
        else:
            _expect(ask("PATCH", f"{api}/work_pools/{pool}", {"base_job_template": wanted}), pool)
    return tuple(wrong)


def differing(
    api: str, kind: Kind, known: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any] | None]:
    """Each work pool that is not as the files say, with the template that it has; None: it is not there."""
    there = {pool: _template(api, pool, kind) for pool in POOLS}
    return {pool: found for pool, found in there.items() if found != template(pool, kind, known)}


def _template(api: str, pool: str, kind: Kind) -> dict[str, Any] | None:
    answer = ask("GET", f"{api}/work_pools/{pool}")
    if answer.status_code == 404:
        return None
    found = _expect(answer, pool)
    if found["type"] != kind:
        raise PlatformError(
            f"work pool {pool!r}",
            f"is of type {found['type']}, made by somebody else",
            f"Delete it (`prefect work-pool delete {pool}`), and run this again.",
        )
    made: dict[str, Any] = found["base_job_template"]
    return made


def _expect(answer: httpx.Response, pool: str) -> dict[str, Any]:
    if not answer.is_success:
        raise PlatformError(
            f"work pool {pool!r}",
            f"Prefect answered {answer.status_code}: {answer.text[:500]}",
            "Read the Prefect server's log.",
        )
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found
