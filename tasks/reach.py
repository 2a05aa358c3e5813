"""Whether the servers that a command needs are there, asked before anything heavy is imported or started."""

from typing import Literal

import httpx

from tasks.errors import PlatformError
from tasks.settings import Settings, settings

Server = Literal["Prefect", "MLflow", "model"]
TIMEOUT = 2.0
"""Seconds that a server may take to say that it is well."""


def require(*servers: Server) -> None:
    """Raise PlatformError naming the first of `servers` that does not answer, and how to start it."""
    with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
        for server in servers:
            _require(client, server, settings())


def _require(client: httpx.Client, server: Server, found: Settings) -> None:
    base, path, variable = {
        "Prefect": (found.prefect_url, "/health", "SLIPWAY_PREFECT_URL"),
        "MLflow": (found.mlflow_url, "/health", "SLIPWAY_MLFLOW_URL"),
        "model": (found.serving_rest_url, "/v2/health/live", "SLIPWAY_SERVING_REST_URL"),
    }[server]
    if not base:
        if server == "model" and found.platform == "cluster":
            return  # models are served by predictors there, each with its own address
        raise PlatformError(
            f"{server} server",
            f"has no address: the platform was never started under {found.home}",
            f"Start it with `slipway up`, or set {variable}.",
        )
    try:
        answer = client.get(f"{base}{path}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        observed = f"does not answer ({error or type(error).__name__})"
    else:
        if answer.is_success:
            return
        observed = f"answers {answer.status_code} at {path}"
    raise PlatformError(f"{server} server {base}", observed, "Start it with `slipway up`.")
