"""One line for each step of a flow that runs in this process, in place of Prefect's log on the console."""

import logging
import re
import time
from collections.abc import Callable

from tasks.errors import SlipwayError


class Steps(logging.Handler):
    """Turns Prefect's records into lines: a step that ended, what a flow says, warnings and errors.

    The records still reach the Prefect server, with tracebacks; here an error that the user can act on is left
    to the command's last line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say
        self._began = time.monotonic()
        self.replaced: list[logging.Handler] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = line_of(record)
        if line is not None:
            self._say(f"{time.monotonic() - self._began:6.1f} s  {line}")


def line_of(record: logging.LogRecord) -> str | None:
    """Pure: what to show of a record, or None."""
    message = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, SlipwayError) or "Encountered exception during execution" in message:
        return None
    step = step_name(getattr(record, "task_run_name", None))
    if record.levelno >= logging.WARNING:
        return f"{record.levelname.lower()}: {step + ': ' if step else ''}{message.splitlines()[0]}"
    if step is not None:
        return step if message.startswith("Finished in state Completed") else f"{step}: {message}"
    return (
        None
        if message.startswith(("Beginning", "View at", "Finished in state", "Created task run"))
        else message
    )


def step_name(task_run: str | None) -> str | None:
    """Prefect ends the names of task runs that have none of their own in three hexadecimal digits."""
    return None if task_run is None else re.sub(r"-[0-9a-f]{3}$", "", task_run)


def install(say: Callable[[str], None]) -> None:
    """Replace the console handlers of Prefect's loggers."""
    from prefect.logging.configuration import ensure_logging_setup
    from prefect.logging.handlers import PrefectConsoleHandler

    ensure_logging_setup()
    handler = Steps(say)
    for logger in [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]:
        replaced = [there for there in logger.handlers if isinstance(there, PrefectConsoleHandler)]
        if replaced:
            # Prefect looks its handlers up by name again: they must not be collected.
            handler.replaced += replaced
            logger.handlers = [*(there for there in logger.handlers if there not in replaced), handler]
