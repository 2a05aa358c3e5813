"""Following a run to its end, whoever tells of it: Prefect itself, or on a hub the trigger."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from tasks.errors import PlatformError

POLL = 0.5
"""Seconds between two looks at the run."""
WAITING = 30.0
"""Seconds after which a run that no worker took is worth a word."""
LAST_LOGS = 3.0
"""Seconds that the end of the log may come after the end of the run."""
OUTAGE = 60.0
"""Seconds for which the server may not answer while a run is followed."""
UNTAKEN = "no worker has taken this run yet; `slipway status` says whether one works"
PENDING = "its process or pod has not begun yet: it may wait for a node with room, or for its image"

Phase = Literal["scheduled", "pending", "running", "ended"]


@dataclass(frozen=True)
class Look:
    """What a run is at a moment, and what it said since the last look. `told`: its last word has been heard."""

    state: str
    phase: Phase
    news: tuple[str, ...] = ()
    told: bool = False


class Watched(Protocol):
    server: str
    """Who is asked, for messages."""

    def look(self) -> Look:
        """Raises httpx.TransportError while the server does not answer."""


def lines(name: str, watched: Watched, timeout: float | None) -> Iterator[str]:
    """Each change of state and each piece of news, until the run has ended.

    PlatformError after `timeout` seconds (None: never), and the run goes on.
    """
    began, warned, state = time.monotonic(), False, ""
    while True:
        now = _looked(name, watched)
        waited = time.monotonic() - began
        if now.state and now.state != state:
            state = now.state
            yield f"{waited:6.1f} s  {state}"
        yield from _indented(now.news)
        if now.phase == "ended":
            yield from _last_news(name, watched, now)
            return
        if waited > WAITING and not warned and now.phase in ("scheduled", "pending"):
            warned = True
            yield from _indented((PENDING if now.phase == "pending" else UNTAKEN,))
        if timeout is not None and waited > timeout:
            raise PlatformError(
                name, f"is still {state} after {timeout:g} s", "It goes on; see it in the Prefect UI."
            )
        time.sleep(POLL)


def _looked(name: str, watched: Watched) -> Look:
    """A look, again while the server, or the way to it, starts anew."""
    import httpx

    heard = time.monotonic()
    while True:
        try:
            return watched.look()
        except httpx.TransportError as error:
            if time.monotonic() - heard > OUTAGE:
                raise PlatformError(
                    watched.server,
                    f"has not answered for {OUTAGE:g} s ({error or type(error).__name__})",
                    f"The run of {name} goes on without being followed.",
                ) from error
        time.sleep(POLL)


def _last_news(name: str, watched: Watched, now: Look) -> Iterator[str]:
    """What the run's process still sends after it reported its last state."""
    until = time.monotonic() + LAST_LOGS
    while not now.told and time.monotonic() < until:
        time.sleep(POLL)
        now = _looked(name, watched)
        yield from _indented(now.news)


def _indented(news: tuple[str, ...]) -> Iterator[str]:
    return (f"          {line}" for line in news)
