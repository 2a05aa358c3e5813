"""Does a component work? Each module here uses one, in a pod: `python -m tasks.checks.mlflow`.

The last line that it prints says what it did, or with a non-zero exit what did not work.
"""

import sys
import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds for which a check that failed is made again: a new pod's network, and a new server, need a moment."""
PAUSE = 1.0


def run(check: Callable[[], str]) -> None:
    """Run `check`, and print what it found out."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            sys.stdout.write(f"{check()}\n")
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said in one line
            if time.monotonic() > until:
                sys.stdout.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
                raise SystemExit(1) from None
        time.sleep(PAUSE)
