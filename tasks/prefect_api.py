"""Prefect's REST API, for what must be quick: importing Prefect costs seconds."""

from functools import lru_cache
from typing import Any

import httpx

from tasks.errors import PlatformError
from tasks.settings import settings

TIMEOUT = 10.0
"""Seconds that one answer may take."""
PAGE = 200
"""As much as Prefect gives at once."""
BUSY = 20.0
"""Seconds for which a request is made again while the server says that it is busy."""


def ask(method: str, url: str, body: Any = None) -> httpx.Response:
    """One request to Prefect, again while it answers 503, as it does while its database is locked.

    One that only reads is made again also when no answer came. PlatformError if there is none in the end.
    """
    from tenacity import Retrying, retry_if_exception, retry_if_result, stop_after_delay, wait_fixed

    reads = method == "GET" or url.endswith("/filter")
    attempts = Retrying(
        retry=retry_if_result(lambda answer: answer.status_code == httpx.codes.SERVICE_UNAVAILABLE)
        | retry_if_exception(lambda error: reads and isinstance(error, httpx.TransportError)),
        stop=stop_after_delay(BUSY),
        wait=wait_fixed(0.3),
        retry_error_callback=lambda last: last.outcome.result() if last.outcome else None,
    )
    try:
        answer: httpx.Response = attempts(_client().request, method, url, json=body, auth=_auth())
    except httpx.TransportError as error:
        raise PlatformError(
            f"Prefect server {url.partition('/api')[0]}",
            f"does not answer {method} {url.partition('/api')[2]} ({error or type(error).__name__})",
            "`slipway status` says what runs.",
        ) from error
    return answer


def every(url: str) -> list[dict[str, Any]]:
    """All that a `/filter` of Prefect finds, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        page = ask("POST", url, {"limit": PAGE, "offset": len(found)}).raise_for_status().json()
        found += page
        if len(page) < PAGE:
            return found


@lru_cache(maxsize=1)
def _client() -> httpx.Client:
    """Without any proxy: every address is this machine's, or the cluster's."""
    return httpx.Client(trust_env=False, timeout=TIMEOUT)


def _auth() -> tuple[str, str] | None:
    """Name and password of a server that asks for them."""
    name, _, password = settings().prefect_auth.get_secret_value().partition(":")
    return (name, password) if password else None
