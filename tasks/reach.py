"""How a command reaches the servers that it needs, asked before anything heavy is imported or started."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Literal

import httpx

from tasks.errors import PlatformError
from tasks.settings import Settings, connect, inherited, set_variables, settings

Server = Literal["Prefect", "MLflow", "model", "store"]
TIMEOUT = 2.0
"""Seconds that a server may take to say that it is well."""
PATIENCE = 20.0
"""Seconds for which one in a cluster is asked again: its pod may just be replaced by another."""


@contextmanager
def reached(*servers: Server) -> Iterator[Settings]:
    """In the block, the settings and this process's clients have addresses at which `servers` answer.

    Outside a cluster, those that no setting names are forwarded through the Kubernetes API, and keys come from
    the cluster's Secrets, if no variable names others; both are gone after the block. Raises PlatformError
    naming the first that does not answer.
    """
    with ExitStack() as opened:
        if settings().platform == "cluster" and not settings().inside:
            if "store" in servers and not settings().store:
                opened.enter_context(variables(_recorded(settings())))
            for server in servers:
                opened.enter_context(variables(_ways(server, settings(), opened)))
        require(*servers)
        yield connect()


def _recorded(found: Settings) -> dict[str, str]:
    """The settings that `slipway bootstrap` left in the cluster, for a command line elsewhere."""
    from tasks.kubernetes import CONFIG_MAP, client

    record = client(found.platform_namespace).get(CONFIG_MAP, "slipway-platform")
    if record is None:
        raise _no_platform(f"ConfigMap slipway-platform in namespace {found.platform_namespace}")
    written: dict[str, str] = json.loads(record["data"]["settings.json"])
    if not written:
        raise PlatformError(
            f"platform in namespace {found.platform_namespace}",
            "its bootstrap has not come to its end",
            "Run `slipway bootstrap` again: it goes on from there.",
        )
    return {f"SLIPWAY_{name.upper()}": value for name, value in written.items() if value}


def _ways(server: Server, found: Settings, opened: ExitStack) -> dict[str, str]:
    """The variables that name `server` of a cluster, forwarded as long as `opened` is."""
    from tasks.forwarding import forwarded

    def open_(service: str, port: int) -> str:
        return opened.enter_context(forwarded(found.platform_namespace, f"service/{service}", port))

    if server == "Prefect" and not found.prefect_url:
        auth = {} if found.prefect_auth.get_secret_value() else _prefect_auth(found)
        return {"SLIPWAY_PREFECT_URL": f"{open_('prefect', 4200)}/api", "SLIPWAY_FORWARDED": "1", **auth}
    if server == "MLflow" and not found.mlflow_url:
        login = {} if found.mlflow_user else _mlflow_login(found)
        return {"SLIPWAY_MLFLOW_URL": open_("mlflow", 5000), **login}
    if server == "store":
        address = {} if found.s3_endpoint else {"SLIPWAY_S3_ENDPOINT": open_("s3", 8333)}
        return {**address, **_store_keys(found)}
    return {}


def _prefect_auth(found: Settings) -> dict[str, str]:
    return {"PREFECT_API_AUTH_STRING": _secret("slipway-prefect", found.platform_namespace)["auth-string"]}


def _mlflow_login(found: Settings) -> dict[str, str]:
    held = _secret("slipway-mlflow", found.serving_namespace)
    return {name: held[name] for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")}


def _store_keys(found: Settings) -> dict[str, str]:
    if not {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}.isdisjoint(inherited({})):
        return {}
    held = _secret("slipway-s3", found.serving_namespace)
    return {name: held[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


def _secret(name: str, namespace: str) -> dict[str, str]:
    """What a Secret of the cluster holds. Never logged, only put into the environment of this process."""
    from tasks.kubernetes import SECRET, client

    secret = client(namespace).get(SECRET, name)
    if secret is None:
        raise _no_platform(f"Secret {name} in namespace {namespace}")
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


def _no_platform(missing: str) -> PlatformError:
    return PlatformError(
        missing, "does not exist", "Run `slipway bootstrap`; KUBECONFIG and its context name the cluster."
    )


@contextmanager
def variables(given: Mapping[str, str]) -> Iterator[None]:
    """These environment variables, and settings that are read from them, for as long as the block lasts."""
    before = set_variables(given)
    try:
        yield
    finally:
        set_variables(before)


def require(*servers: Server) -> None:
    """Raise PlatformError naming the first of `servers` that does not answer, and how to start it."""
    with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
        for server in servers:
            _require(client, server, settings())


def _require(client: httpx.Client, server: Server, found: Settings) -> None:
    if server == "store" or (server == "model" and found.platform == "cluster"):
        return  # a store is asked by who uses it; a cluster's predictors have each an address of its own
    base, path, variable = {
        "Prefect": (found.prefect_url, "/health", "SLIPWAY_PREFECT_URL"),
        "MLflow": (found.mlflow_url, "/health", "SLIPWAY_MLFLOW_URL"),
        "model": (found.serving_rest_url, "/v2/health/live", "SLIPWAY_SERVING_REST_URL"),
    }[server]
    how = (
        "Start it with `slipway up`." if found.platform == "embedded" else "`slipway status` says what runs."
    )
    if not base:
        raise PlatformError(
            f"{server} server",
            f"has no address: the platform was never started under {found.home}",
            f"Start it with `slipway up`, or set {variable}.",
        )
    until = time.monotonic() + (0.0 if found.platform == "embedded" or found.inside else PATIENCE)
    while (observed := _looked_at(client, base, path)) is not None:
        if time.monotonic() > until:
            raise PlatformError(f"{server} server {base}", observed, how)
        time.sleep(0.5)


def _looked_at(client: httpx.Client, base: str, path: str) -> str | None:
    """What is wrong with a server; None if it is well."""
    try:
        answer = client.get(f"{base}{path}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"does not answer ({error or type(error).__name__})"
    return None if answer.is_success else f"answers {answer.status_code} at {path}"
