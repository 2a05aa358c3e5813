"""A user-facing service of the platform, at an address that a browser on this machine reaches.

Where the lock gives the service a host it is that; else a port is forwarded.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from tasks.errors import PlatformError, SpecError
from tasks.forwarding import forwarded
from tasks.serving import page_of
from tasks.settings import Settings, settings


@dataclass(frozen=True)
class Page:
    """`port` of `service`, forwarded to `here` if that is free. `secret` of the platform holds the password."""

    service: str
    port: int
    here: int
    secret: str
    key: str
    user: str = ""
    """Who logs in with it, as far as that has to be said."""
    part: Literal["platform", "notebooks"] = "platform"
    """Of which namespace the service is."""


PAGES = {
    "hub": Page(
        "proxy-public",
        80,
        8000,
        "slipway-hub",
        "password",
        "with Google where google.yaml is used; else any name",
        "notebooks",
    ),
    "prefect": Page("prefect", 4200, 4200, "slipway-prefect", "auth-string"),
    "mlflow": Page("mlflow", 5000, 5000, "slipway-mlflow", "admin-password", "user admin"),
}
"""The pages of a cluster's platform. A model's address is opened by the model's name."""


@dataclass(frozen=True)
class Opened:
    """`url` is what a person opens; `login` says how to get in, if somebody is asked."""

    name: str
    url: str
    login: str = ""
    forwarded: bool = False
    """Whether `url` answers only as long as the command runs."""


@contextmanager
def opened(name: str) -> Iterator[Opened]:
    """The page or the model `name`, for as long as the block runs. SpecError for a name that is neither."""
    found = settings()
    if found.platform == "embedded":
        yield _embedded(name)
        return
    page, outside = PAGES.get(name), outside_address(name)
    how = login(page, found.platform_namespace) if page else ""
    if page is None:
        _require_live(name, found.serving_namespace)
    if outside:
        yield Opened(name, outside, how)
        return
    with _page(page, found) if page else _model(name, found.serving_namespace) as url:
        yield Opened(name, url, how, forwarded=True)


def outside_address(name: str) -> str:
    """Where the page or model `name` is outside of the cluster; empty if the lock gives it no host."""
    found = settings()
    pages = {"hub": found.hub_page, "prefect": found.prefect_page, "mlflow": found.mlflow_page}
    if name in pages:
        return pages[name]
    base = page_of(name)
    return f"{base}/v2/models/{name}" if base else ""


def login(page: Page, namespace: str) -> str:
    """Pure: how a person reads the password. It is not printed: what a terminal shows is often kept."""
    template = f"'{{{{index .data \"{page.key}\" | base64decode}}}}'"
    read = f"kubectl -n {namespace} get secret {page.secret} -o go-template={template}"
    return f"{f'{page.user}, ' if page.user else ''}password: {read}"


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
def _page(page: Page, found: Settings) -> Iterator[str]:
    spaces = {"platform": found.platform_namespace, "notebooks": found.notebooks_namespace}
    with forwarded(spaces[page.part], f"service/{page.service}", page.port, free(page.here)) as url:
        yield url


def _require_live(name: str, namespace: str) -> None:
    from tasks.kubernetes import SERVICE, client
    from tasks.serving.seldon_manifest import live_name

    if client(namespace).get(SERVICE, live_name(name)) is None:
        raise SpecError(
            name,
            f"is neither a page ({', '.join(PAGES)}) nor a model that is live in {namespace}",
            "`slipway status` says what there is.",
        )


@contextmanager
def _model(name: str, namespace: str) -> Iterator[str]:
    from tasks.serving.seldon_manifest import HTTP, live_name

    with forwarded(namespace, f"service/{live_name(name)}", HTTP, free(HTTP)) as base:
        yield f"{base}/v2/models/{name}"
