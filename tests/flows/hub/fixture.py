"""A JupyterHub and the trigger beside it, as processes of this machine, and people who have a notebook there."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from infra.local import ports
from tasks.markers import CALLBACK, filled
from tasks.settings import ROOT, Settings, child_environment

HERE = Path(__file__).parent
HOST = "hub.example.com"
"""Of the hub, in the lock."""
PASSWORD = "only-for-this-test"
PATIENCE = 60.0


@dataclass(frozen=True)
class Hub:
    url: str
    trigger: str
    test_token: str
    trigger_token: str
    homes: Path

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """The hub's API, as the test's own service."""
        headers = {"Authorization": f"token {self.test_token}"}
        return httpx.request(
            method, f"{self.url}/hub/api{path}", headers=headers, trust_env=False, timeout=30, **given
        )

    def log_in(self, name: str) -> httpx.Client:
        """As a browser does it."""
        browser = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        browser.get("/hub/login").raise_for_status()
        form = {"username": name, "password": PASSWORD, "_xsrf": browser.cookies["_xsrf"]}
        answer = browser.post("/hub/login", data=form)
        assert answer.status_code == 302, answer.text
        return browser

    def notebook(self, name: str) -> str:
        """Log in and start the server of `name`; the token that it is given."""
        self.log_in(name).close()
        self.ask("POST", f"/users/{name}/server").raise_for_status()
        file = self.homes / f"token-{name}"
        wait(lambda: file.exists() and file.read_text(), f"the server of {name}")
        return file.read_text()


def wait(look: Any, what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < until, f"{what} did not come up"
        time.sleep(0.2)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


@contextmanager
def process(command: list[str], environment: dict[str, str], folder: Path, log: Path) -> Iterator[None]:
    with log.open("wb") as written:
        started = subprocess.Popen(
            command, env=child_environment(environment), cwd=folder, stdout=written, stderr=subprocess.STDOUT
        )
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text()[-3000:]}") from error
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def login(file: str, **changed: Any) -> dict[str, Any]:
    """What the chart tells the hub of a file of infra/jupyterhub; `changed`: settings by authenticator."""
    content = yaml.safe_load((ROOT / "infra" / "jupyterhub" / file).read_text())["hub"]["config"]
    found = filled(content, {"secret:hub.password": "", CALLBACK: f"https://{HOST}/hub/oauth_callback"}, file)
    return {section: {**settings, **changed.get(section, {})} for section, settings in found.items()}


def free_ports(count: int) -> list[int]:
    taken: list[int] = []
    for _ in range(count):
        taken.append(ports.choose((), taken))
    return taken


@contextmanager
def running(platform: Settings, folder: Path, groups: dict[str, Any]) -> Iterator[Hub]:
    """The hub of password.yaml, and the trigger."""
    (port,) = free_ports(1)
    password = login("password.yaml", DummyAuthenticator={"password": PASSWORD})
    with running_hub(folder, groups, password, f"http://127.0.0.1:{port}", {}) as found:
        serve = f"from tasks.trigger_service import main; main('127.0.0.1', {port})"
        environment = {
            "JUPYTERHUB_API_URL": f"{found.url}/hub/api",
            "JUPYTERHUB_API_TOKEN": found.trigger_token,
            "SLIPWAY_HOME": str(platform.home),
        }
        with process([sys.executable, "-c", serve], environment, ROOT, folder / "trigger.log"):
            wait(lambda: answers(f"{found.trigger}/health"), "the trigger")
            yield found


@contextmanager
def running_hub(
    folder: Path, groups: dict[str, Any], how: dict[str, Any], trigger: str, environment: dict[str, str]
) -> Iterator[Hub]:
    public, hub = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    homes = folder / "homes"
    homes.mkdir()
    found = Hub(hub, trigger, "t" * 40, "s" * 40, homes)
    given = {
        "values": str(ROOT / "infra/jupyterhub/values.yaml"), "hub_file": str(ROOT / "infra/jupyterhub/hub.py"),
        "groups": groups, "login": how, "public": public, "hub": hub, "homes": str(homes),
        "cookie_secret": str(folder / "cookie"), "trigger_token": found.trigger_token,
        "test_token": found.test_token, "server": [sys.executable, str(HERE / "single_user.py")],
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterhub", "--config", str(HERE / "jupyterhub_config.py")]
    told = {**environment, "HUB_TEST": json.dumps(given)}
    with process(command, told, folder, folder / "hub.log"):
        wait(lambda: answers(f"{hub}/hub/health"), "the hub")
        yield found


def as_notebook(hub: Hub, token: str, code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run `code` as a cell of a notebook in `folder` would: all that it knows is in its environment."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    environment = {
        **kept,
        "JUPYTERHUB_API_TOKEN": token,
        "SLIPWAY_TRIGGER_URL": hub.trigger,
        "SLIPWAY_HOME": str(folder / "home"),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
