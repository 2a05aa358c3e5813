"""Running a flow where there is no Prefect server: bootstrap and teardown bring their own for its time.

It starts beside this process's imports, ends with this process however that ends, and keeps the history of these
runs in a database under `<home>/alone`.
"""

import atexit
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tasks.errors import PlatformError
from tasks.settings import set_variables

START_SECONDS = 120.0
"""How long the server may take to start, on a busy machine."""
PAUSE = 0.1
FOREIGN = ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE")
"""Variables that belong to another server."""


def own_server(home: Path) -> Callable[[], None]:
    """From now on this process's Prefect means a server of its own. Call what is given before the first flow.

    The server is ended when this process exits: only then has Prefect told it all that it has to tell.
    """
    folder, port = home / "alone", free_port()
    url = f"http://127.0.0.1:{port}/api"
    set_variables({**dict.fromkeys(FOREIGN), **environment(folder, url)})
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command(port), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    atexit.register(stop, process)
    if "prefect" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
    return lambda: wait(process, url, folder / "server.log")


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def environment(folder: Path, url: str) -> dict[str, str]:
    """Pure: what the server and its client are told. It runs no services: nothing is scheduled here."""
    return {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_UI_ENABLED": "0",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
        "NO_PROXY": "127.0.0.1,localhost",
        "DO_NOT_TRACK": "1",
    }


def command(port: int) -> list[str]:
    """Prefect's application, without the start of its command line; the kernel ends it with this process."""
    setpriv = shutil.which("setpriv")
    bound = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
    server = "prefect.server.api.server:create_app"
    return [
        *bound, sys.executable, "-m", "uvicorn", "--factory", server, "--host", "127.0.0.1", "--port", str(port),
        "--log-level", "error", "--lifespan", "on",
    ]  # fmt: skip


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Return when the server answers."""
    until = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False, timeout=5) as client:
        while process.poll() is None and time.monotonic() < until:
            try:
                if client.get(f"{url}/health").is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(PAUSE)
    ended = f"ended with code {process.returncode}" if process.returncode is not None else "does not answer"
    raise PlatformError(
        "the Prefect server that runs this flow",
        f"{ended}:\n{log.read_text(errors='replace')[-1500:]}",
        f"Correct this; removing {log.parent} makes it start anew.",
    )
