"""A scheduled run that went wrong is told once, to a webhook and by e-mail; others are not. By a real Prefect."""

import base64
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from infra.local import state as states
from infra.local.deployments import register
from infra.local.services import settings_at
from tasks import notify
from tasks.automations import NOTICE, differing, ensure_automations
from tasks.notify import EMAIL, WEBHOOK, email_address, webhook_address
from tasks.prefect_api import ask
from tasks.secrets import Place
from tasks.settings import Settings

pytestmark = [pytest.mark.platform, pytest.mark.timeout(300)]
SECRET = "t0k3n-that-nobody-else-may-see"
PLACE = Place("slipway", "mail")
QUIET = 5.0
"""Seconds after which a notice that has not come does not come: one takes about a second."""


@dataclass
class Heard:
    """What came: of requests the path and the body, of mail the login and the text."""

    requests: list[tuple[str, Any]] = field(default_factory=list)
    mails: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1]  # type: ignore[index]
    finally:
        server.shutdown()
        server.server_close()


def webhook(heard: Heard) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.requests.append((self.path, json.loads(body)))
            self.send_response(heard.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def post_office(heard: Heard) -> socketserver.ThreadingTCPServer:
    """Stands in for a mail server: as much of SMTP as one login and one mail take."""

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            login = ""
            self.say("220 here")
            for raw in self.rfile:
                line = raw.decode().rstrip()
                verb = line.upper()
                if verb.startswith("EHLO"):
                    self.say("250-here\r\n250 AUTH PLAIN")
                elif verb.startswith("AUTH PLAIN"):
                    login = base64.b64decode(line.split()[2]).decode()
                    self.say("235 in")
                elif verb == "DATA":
                    self.say("354 go on")
                    text = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                    heard.mails.append((login, text))
                    self.say("250 taken")
                else:
                    self.say("221 bye" if verb == "QUIT" else "250 fine")

    return socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)


@pytest.fixture(scope="module")
def heard(platform: Settings) -> Iterator[Heard]:
    """Both are told of what happens on the platform's server."""
    found = Heard()
    with served(webhook(found)) as http, served(post_office(found)) as smtp:
        mail = {
            "server": f"127.0.0.1:{smtp}", "from": "slipway@example.com", "to": "team@example.com",
            "user": "slip@way", "password": f"{SECRET}/#", "mode": "insecure",
        }  # fmt: skip
        told = {
            WEBHOOK: SecretStr(
                webhook_address("", f"http://127.0.0.1:{http}/services/{SECRET}?key=a%2Fb%3D")
            ),
            EMAIL: SecretStr(email_address(PLACE, mail)),
        }
        tell(platform.prefect_url, told)
        yield found
        tell(platform.prefect_url, {})
        remove_deployments(platform.prefect_url)
        assert notify.differing(platform.prefect_url, {}) == {}
        assert differing(platform.prefect_url) == []


def tell(api: str, told: notify.Addresses) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What bootstrap and `slipway up` do; what was written."""
    blocks = notify.ensure(api, told)
    made = ensure_automations(api, blocks.ids)
    notify.remove(api, told)
    return blocks.written, made


@pytest.fixture
def fresh(heard: Heard) -> Heard:
    heard.requests.clear()
    heard.mails.clear()
    heard.status = 200
    return heard


def deployment(api: str, flow: str, model: str) -> str:
    """One of a schedule and without a work pool: nobody runs its runs."""
    flow_id = ask("POST", f"{api}/flows/", {"name": flow}).raise_for_status().json()["id"]
    schedule = {"schedule": {"interval": 3600.0}, "active": True, "slug": "often"}
    wanted = {
        "name": f"notify-{uuid4().hex[:6]}", "flow_id": flow_id, "parameters": {"model": model},
        "schedules": [schedule], "enforce_parameter_schema": False,
    }  # fmt: skip
    return str(ask("POST", f"{api}/deployments/", wanted).raise_for_status().json()["id"])


def remove_deployments(api: str) -> None:
    query = {"deployments": {"name": {"like_": "notify-"}}}
    for each in ask("POST", f"{api}/deployments/filter", query).raise_for_status().json():
        ask("DELETE", f"{api}/deployments/{each['id']}").raise_for_status()


def scheduled(api: str, made: str) -> str:
    """A run that the server's own scheduler made, as if long before it starts.

    The state of one that is younger than 5 minutes follows an event that the server never sends, and is looked at
    15 minutes later. Here that event is sent.
    """
    runs = {"tags": {"all_": ["auto-scheduled"]}}
    query = {"deployments": {"id": {"any_": [made]}}, "flow_runs": runs, "limit": 1}
    until = time.monotonic() + 60
    while not (found := ask("POST", f"{api}/flow_runs/filter", query).raise_for_status().json()):
        assert time.monotonic() < until
        time.sleep(0.3)
    (run,) = found
    assert run["auto_scheduled"]
    before = {
        "id": run["state_id"], "occurred": run["state"]["timestamp"], "event": "prefect.flow-run.Scheduled",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run['id']}"},
    }  # fmt: skip
    ask("POST", f"{api}/events", [before]).raise_for_status()
    return str(run["id"])


def by_hand(api: str, made: str) -> str:
    return str(ask("POST", f"{api}/deployments/{made}/create_flow_run", {}).raise_for_status().json()["id"])


def ends(api: str, run: str, name: str, kind: str, message: str) -> None:
    state = {"state": {"type": kind, "name": name, "message": message}, "force": True}
    ask("POST", f"{api}/flow_runs/{run}/set_state", state).raise_for_status()


def wait(found: list[Any], count: int) -> None:
    until = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < until, found
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("flow", "name", "kind"),
    [
        ("retrain", "Failed", "FAILED"),
        ("retrain", "Held", "COMPLETED"),
        ("score", "Crashed", "CRASHED"),
        ("housekeeping", "TimedOut", "FAILED"),
    ],
)
def test_a_scheduled_run_that_went_wrong_is_told_once(
    platform: Settings, fresh: Heard, flow: str, name: str, kind: str
) -> None:
    api = platform.prefect_url
    run = scheduled(api, deployment(api, flow, "iris"))
    ends(api, run, name, kind, "SourceError: flights.parquet: is empty. Give rows.")
    wait(fresh.requests, 1)
    wait(fresh.mails, 1)
    time.sleep(QUIET if name == "Failed" else 0)
    ((path, body),), ((login, mail),) = fresh.requests, fresh.mails
    assert path == f"/services/{SECRET}?key=a%2Fb%3D"
    link = f"{api.removesuffix('/api')}/runs/flow-run/{run}"
    assert body == {
        "text": f"Slipway: {flow} iris: {name}\nSourceError: flights.parquet: is empty. Give rows.\n{link}"
    }
    assert login == f"\0slip@way\0{SECRET}/#"
    assert f"Subject: Slipway: {flow} iris: {name}" in mail
    assert "To: team@example.com" in mail
    assert link in mail


def test_nobody_hears_of_runs_that_are_well_asked_for_by_hand_or_of_other_flows(
    platform: Settings, fresh: Heard
) -> None:
    api = platform.prefect_url
    made, release = deployment(api, "retrain", "iris"), deployment(api, "release", "iris")
    ends(api, by_hand(api, made), "Failed", "FAILED", "asked for by hand")
    ends(api, by_hand(api, made), "Held", "COMPLETED", "asked for by hand")
    ends(api, scheduled(api, release), "Failed", "FAILED", "the retrain that asked for it says so")
    ends(api, scheduled(api, made), "Released", "COMPLETED", "well")
    time.sleep(QUIET)
    assert (fresh.requests, fresh.mails) == ([], [])


def test_a_webhook_that_refuses_is_asked_once_and_its_address_stays_out_of_the_log(
    platform: Settings, fresh: Heard
) -> None:
    fresh.status = 500
    api = platform.prefect_url
    ends(api, scheduled(api, deployment(api, "retrain", "iris")), "Failed", "FAILED", "refused")
    wait(fresh.requests, 1)
    time.sleep(QUIET)
    assert len(fresh.requests) == 1
    logs = [path for path in platform.home.rglob("*.log") if path.is_file()]
    assert logs
    assert [path.name for path in logs if SECRET in path.read_text(errors="replace")] == []


def test_what_is_as_it_should_be_is_not_written_and_addresses_are_only_in_blocks(
    platform: Settings, heard: Heard
) -> None:
    api = platform.prefect_url
    there = {block: notify.differing(api, {block: SecretStr("x")})[block] for block in (WEBHOOK, EMAIL)}
    assert there == dict.fromkeys((WEBHOOK, EMAIL), "has another address")
    found = ask("POST", f"{api}/automations/filter", {}).json()
    (automation,) = [each for each in found if each["name"] == NOTICE]
    assert len(automation["actions"]) == 2
    assert SECRET not in json.dumps(found)
    shown = ask("POST", f"{api}/block_documents/filter", {}).json()
    assert {WEBHOOK, EMAIL} <= {each["name"] for each in shown}
    assert SECRET not in json.dumps(shown), "only who asks for secrets is told them"


def test_an_address_that_changed_is_written_and_the_second_time_nothing_is(
    platform: Settings, heard: Heard
) -> None:
    api = platform.prefect_url
    before = {block: SecretStr(_address(api, block)) for block in (WEBHOOK, EMAIL)}
    assert tell(api, before) == ((), ())
    other = {WEBHOOK: SecretStr("json://127.0.0.1:1/other")}
    assert tell(api, other) == ((WEBHOOK, EMAIL), (NOTICE,))
    assert tell(api, other) == ((), ())
    assert tell(api, before) == ((WEBHOOK, EMAIL), (NOTICE,))
    assert notify.differing(api, before) == {}


def test_a_start_killed_before_it_made_the_notice_is_made_good_by_the_next(
    platform: Settings, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, state = platform.prefect_url, states.read(platform.home)
    before = {block: SecretStr(_address(api, block)) for block in (WEBHOOK, EMAIL)}
    tell(api, {})
    monkeypatch.setenv("SLIPWAY_NOTIFY_WEBHOOK", "http://127.0.0.1:1/")
    blocks = notify.ensure(api, notify.own_addresses(settings_at(platform.home, state.addresses)))
    assert [each.name for each in differing(api, blocks.ids)] == [NOTICE]
    said = list[str]()
    register(platform.home, state, said.append)
    assert (said, differing(api, blocks.ids)) == ([], [])
    tell(api, before)


def _address(api: str, block: str) -> str:
    found = ask(
        "GET", f"{api}/block_types/slug/{notify.TYPE}/block_documents/name/{block}?include_secrets=true"
    )
    return str(found.json()["data"]["url"])
