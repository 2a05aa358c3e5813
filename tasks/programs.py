"""The programs that Slipway calls on a cluster's behalf, kubectl and helm: where they are."""

import shutil

from tasks.errors import PlatformError
from tasks.settings import settings


def find_program(name: str) -> str:
    """Path of `name` on PATH, or in `<home>/bin`. Raises PlatformError if it is in neither."""
    own = settings().home / "bin"
    found = shutil.which(name) or shutil.which(name, path=str(own))
    if found is None:
        raise PlatformError(
            name, f"is neither on PATH nor in {own}", "Install it; the README says which version."
        )
    return found
