"""Does a component work? Each module here uses one, in a pod: `python -m tasks.checks.mlflow`.

The last line that it prints says what it did; a non-zero exit and the lines before it say what did not work.
"""

import sys
from collections.abc import Callable


def run(check: Callable[[], str]) -> None:
    """Run `check` and print what it found out."""
    sys.stdout.write(f"{check()}\n")
