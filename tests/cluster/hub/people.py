"""People at the hub of the cluster under test: they log in through its proxy, and run cells in a server."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

PATIENCE = 300.0


@dataclass
class Person:
    """Somebody with a browser at `url`, where the proxy answers."""

    name: str
    url: str
    browser: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.browser = httpx.Client(base_url=self.url, trust_env=False, timeout=60)

    def log_in(self, password: str) -> httpx.Response:
        """Gives the answer to the form: a redirect if the password was right."""
        self.browser.get("/hub/login").raise_for_status()
        form = {
            "username": self.name,
            "password": password,
            "_xsrf": self.browser.cookies.get("_xsrf", path="/hub/"),
        }
        return self.browser.post("/hub/login", data=form)

    def come_by_google(self, google: str, account: str) -> httpx.Response:
        """Be sent to Google, whose stand-in is at `google`, and come back; the hub's answer to that."""
        self.browser.get("/hub/login").raise_for_status()
        sent = urlsplit(self.browser.get("/hub/oauth_login").headers["location"])
        page = f"{google}{sent.path}?{sent.query}&login_hint={account}"
        back = urlsplit(httpx.get(page, trust_env=False, timeout=30).headers["location"])
        return self.browser.get(f"{back.path}?{back.query}")

    def api(self, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {
            "X-XSRFToken": self.browser.cookies.get("_xsrf", path="/hub/") or "",
            "Referer": f"{self.url}/hub/",
        }
        return self.browser.request(method, f"/hub/api{path}", headers=headers, **given)

    def start(self, profile: str = "minimal", size: str = "small") -> None:
        """Start the server, as the form of the profiles does, and wait until it answers."""
        options = {"profile": profile, f"profile-option-{profile}--size": size}
        asked = self.api(
            "POST", f"/users/{self.name}/server", json={"profile": profile, "size": size, **options}
        )
        assert asked.status_code in (201, 202), asked.text
        until = time.monotonic() + PATIENCE
        while not self.server().get("ready"):
            assert time.monotonic() < until, f"the server of {self.name} did not start: {self.server()}"
            time.sleep(1)

    def server(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api("GET", f"/users/{self.name}").raise_for_status().json()
        return dict(found["servers"].get("", {}))

    def stop(self) -> None:
        self.api("DELETE", f"/users/{self.name}/server")
        until = time.monotonic() + PATIENCE
        while self.server():
            assert time.monotonic() < until, f"the server of {self.name} did not stop"
            time.sleep(1)

    def token(self) -> str:
        """For the API of the server itself."""
        answer = self.api("POST", f"/users/{self.name}/tokens", json={"note": "test", "expires_in": 3600})
        return str(answer.raise_for_status().json()["token"])

    @contextmanager
    def kernel(self) -> Iterator["Kernel"]:
        """A kernel of the server, as the notebook's page starts it."""
        headers = {"Authorization": f"token {self.token()}"}
        base = f"{self.url}/user/{self.name}/api/kernels"
        with httpx.Client(headers=headers, trust_env=False, timeout=120) as client:
            made = client.post(base, json={"name": "python3"})
            made.raise_for_status()
            kernel = made.json()["id"]
            try:
                yield Kernel(f"{base}/{kernel}/channels".replace("http://", "ws://"), headers)
            finally:
                with suppress(httpx.HTTPError):
                    client.delete(f"{base}/{kernel}")


@dataclass(frozen=True)
class Kernel:
    url: str
    headers: dict[str, str]

    def run(self, code: str, timeout: float = 300) -> str:
        """Run a cell; what it printed. AssertionError with the error that it ended with."""
        from websockets.sync.client import connect

        said, message = "", uuid.uuid4().hex
        with connect(self.url, additional_headers=self.headers, max_size=None, proxy=None) as socket:
            header = {
                "msg_id": message, "msg_type": "execute_request", "session": uuid.uuid4().hex, "username": "test",
                "version": "5.3",
            }  # fmt: skip
            content = {
                "code": code, "silent": False, "store_history": False, "user_expressions": {},
                "allow_stdin": False,
            }  # fmt: skip
            asked = {
                "header": header,
                "parent_header": {},
                "metadata": {},
                "content": content,
                "channel": "shell",
            }
            socket.send(json.dumps(asked))
            until = time.monotonic() + timeout
            while True:
                found = json.loads(socket.recv(timeout=until - time.monotonic()))
                if found["parent_header"].get("msg_id") != message:
                    continue
                kind, told = found["msg_type"], found["content"]
                if kind == "stream":
                    said += told["text"]
                elif kind == "error":
                    raise AssertionError(f"{told['ename']}: {told['evalue']}\n{said}")
                elif kind == "status" and told["execution_state"] == "idle":
                    return said
