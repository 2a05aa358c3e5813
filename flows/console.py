"""What `slipway` prints: one JSON document, or text for people; progress and logs always go to stderr."""

import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.errors import SlipwayError

if TYPE_CHECKING:
    from tasks.live import Live
    from tasks.results import RetrainResult

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


@dataclass(frozen=True)
class Stopped:
    """What `down` stopped, by name."""

    stopped: tuple[str, ...]


@dataclass(frozen=True)
class Retrained:
    """What a retrain came to, and a command that asks what is live now (empty if nothing is)."""

    result: "RetrainResult"
    curl: str

    def to_dict(self) -> dict[str, Any]:
        return {**plain(self.result), "curl": self.curl}


@dataclass(frozen=True)
class Models:
    """What `live` found, one entry a model."""

    models: tuple["Live", ...]


def say(message: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def follow_flows() -> None:
    """Show flows as one line a step instead of Prefect's log."""
    from flows.progress import install

    install(say)


def bad_usage(message: str, as_json: bool) -> int:
    """A command line that cannot be understood: exit code 2."""
    if as_json:
        sys.stdout.write(json.dumps({"error": {"type": "Usage", "message": message}}) + "\n")
    else:
        say(f"{message.strip()}\nSee `slipway --help`.")
    return 2


class Answer:
    """Where the result of one command goes: `stream` is the real standard output."""

    def __init__(self, stream: Any, as_json: bool) -> None:
        self._stream, self._json = stream, as_json

    def result(self, result: Any) -> None:
        if self._json:
            self._write(plain(result))
        else:
            from flows.show import show

            show(result, self._stream)

    def failure(self, error: SlipwayError) -> int:
        """An error that the user can act on: said, without a traceback."""
        if self._json:
            said = {"object": error.obj, "observed": error.observed, "next_step": error.next_step}
            self._write({"error": {"type": type(error).__name__, "message": str(error), **said}})
        else:
            say(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            say(note)
        return error.exit_code

    def stopped(self) -> int:
        if self._json:
            self._write({"error": {"type": "KeyboardInterrupt", "message": "stopped"}})
        say("stopped")
        return INTERRUPTED

    def defect(self, error: Exception) -> int:
        """An error of Slipway's own, or of a library: with its traceback, on stderr."""
        traceback.print_exception(error)
        if self._json:
            self._write({"error": {"type": type(error).__name__, "message": str(error)}})
        return 1

    def _write(self, document: Any) -> None:
        self._stream.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


@contextmanager
def answer(as_json: bool) -> Iterator[Answer]:
    """Keep standard output for the answer: with --json whatever else is printed there goes to stderr.

    Also what child processes and Java print: the descriptor itself is turned, not Python's `sys.stdout` alone.
    """
    if not as_json:
        yield Answer(sys.stdout, as_json)
        return
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(real), "w", encoding="utf-8") as stream:
            yield Answer(stream, as_json)
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


def plain(result: Any) -> Any:
    """`result` as what JSON can hold."""
    if hasattr(result, "model_dump"):
        return result.model_dump(mode="json")
    if hasattr(result, "to_dict"):
        return result.to_dict()
    if hasattr(result, "__dataclass_fields__"):
        return {name: plain(getattr(result, name)) for name in result.__dataclass_fields__}
    if isinstance(result, Mapping):
        return {str(key): plain(value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [plain(value) for value in result]
    return result
