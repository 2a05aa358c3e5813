"""A user-facing service of the platform, at an address that a browser on this machine reaches."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.errors import PlatformError, SpecError
from tasks.forwarding import forwarded
from tasks.settings import settings


@dataclass(frozen=True)
class Page:
    """`port` of `service`, forwarded to `here` if that is free. `secret` holds the password under `key`."""

    service: str
    port: int
    here: int
    secret: str
    key: str
    user: str = ""


PAGES = {
    "prefect": Page("prefect", 4200, 4200, "slipway-prefect", "auth-string"),
    "mlflow": Page("mlflow", 5000, 5000, "slipway-mlflow", "admin-password", "admin"),
}
"""The pages of a cluster's platform. A model's address is opened by the model's name."""


@dataclass(frozen=True)
class Opened:
    """`url` answers until the command ends; `login` says how to get in, if somebody is asked."""

    name: str
    url: str
    login: str = ""


@contextmanager
def opened(name: str) -> Iterator[Opened]:
    """The page or the model `name`, for as long as the block runs. SpecError for a name that is neither."""
    if settings().platform == "embedded":
        yield _embedded(name)
        return
    if name in PAGES:
        page, namespace = PAGES[name], settings().platform_namespace
        with forwarded(namespace, f"service/{page.service}", page.port, free(page.here)) as url:
            yield Opened(name, url, login(page, namespace))
        return
    with _model(name) as url:
        yield Opened(name, url)


def login(page: Page, namespace: str) -> str:
    """Pure: how a person reads the password. It is not printed: what a terminal shows is often kept."""
    template = f"'{{{{index .data \"{page.key}\" | base64decode}}}}'"
    read = f"kubectl -n {namespace} get secret {page.secret} -o go-template={template}"
    return f"{f'user {page.user}, ' if page.user else ''}password: {read}"


def free(port: int) -> int:
    """The local port, or 0 (any) if somebody listens on it: links that name it then lead elsewhere."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _embedded(name: str) -> Opened:
    found = settings()
    known = {"prefect": found.prefect_url.removesuffix("/api"), "mlflow": found.mlflow_url}
    if name not in known:
        raise SpecError(
            name, f"has no page on this machine's platform; known: {', '.join(known)}", "Name one of these."
        )
    if not known[name]:
        raise PlatformError(
            f"{name} server", "has no address: the platform was never started", "Run `slipway up`."
        )
    return Opened(name, known[name])


@contextmanager
def _model(name: str) -> Iterator[str]:
    from tasks.kubernetes import SERVICE, client
    from tasks.serving.seldon_manifest import HTTP, live_name

    namespace = settings().serving_namespace
    if client(namespace).get(SERVICE, live_name(name)) is None:
        raise SpecError(
            name,
            f"is neither a page ({', '.join(PAGES)}) nor a model that is live in {namespace}",
            "`slipway status` says what there is.",
        )
    with forwarded(namespace, f"service/{live_name(name)}", HTTP, free(HTTP)) as base:
        yield f"{base}/v2/models/{name}"
