"""The model server's own environment: made with uv when it is missing, or when its lock changed."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable

from infra.local.services import MODEL_SERVER
from tasks.errors import PlatformError
from tasks.settings import child_environment

STAMP = MODEL_SERVER / ".venv" / ".slipway-lock"


def locked() -> str:
    digest = hashlib.sha256()
    for name in ("uv.lock", "pyproject.toml"):
        digest.update((MODEL_SERVER / name).read_bytes())
    return digest.hexdigest()


def ensure_model_server(say: Callable[[str], None]) -> None:
    """Install the served environment if what stands there is not what the lock says."""
    wanted = locked()
    mlserver = MODEL_SERVER / ".venv" / "bin" / "mlserver"
    if mlserver.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        return
    uv = shutil.which("uv")
    if uv is None:
        raise PlatformError(
            "uv",
            "is not on PATH, and the model server's environment must be installed",
            "Install it (https://docs.astral.sh/uv/getting-started/installation/), then run `slipway up` again.",
        )
    say("installing the model server's environment (images/model-server)")
    environment = {
        name: value
        for name, value in child_environment({}).items()
        if name not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    }
    done = subprocess.run(
        [uv, "sync", "--locked", "--extra", "server", "--compile-bytecode"],
        cwd=MODEL_SERVER, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise PlatformError(
            "images/model-server",
            f"uv sync failed:\n{done.stderr.strip()[-2000:]}",
            "Correct this, then run `slipway up` again.",
        )
    STAMP.write_text(wanted)
