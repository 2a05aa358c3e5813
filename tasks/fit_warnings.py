"""Warnings of one fit, kept apart from those of fits in other threads.

`warnings.catch_warnings` swaps state of the whole process, so fits that run at once would take each other's
warnings and leave the wrong filters behind. Here one hook serves all threads for as long as any fit runs, and
hands each warning to the list of the context that it was raised in.
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

_seen: ContextVar[list[str] | None] = ContextVar("seen", default=None)
_lock = threading.Lock()
_state: dict[str, Any] = {"running": 0, "restore": None}


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """A list that fills with "Category: message" of what is warned about in this context."""
    seen: list[str] = []
    _enter()
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)
        _leave()


def _enter() -> None:
    with _lock:
        _state["running"] += 1
        if _state["running"] == 1:
            catching = warnings.catch_warnings()
            catching.__enter__()
            shown = warnings.showwarning

            def show(message: Any, category: Any, *args: Any, **kwargs: Any) -> None:
                here = _seen.get()
                if here is None:
                    shown(message, category, *args, **kwargs)
                else:
                    here.append(f"{category.__name__}: {' '.join(str(message).split())}")

            warnings.showwarning = show
            warnings.simplefilter("always", UserWarning)  # "default" would tell only the first fit
            _state["restore"] = catching


def _leave() -> None:
    with _lock:
        _state["running"] -= 1
        if _state["running"] == 0:
            _state["restore"].__exit__(None, None, None)
            _state["restore"] = None
