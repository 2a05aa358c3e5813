"""From what the user's Secrets say to addresses of Apprise, which must mean the same."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.errors import PlatformError
from tasks.notify import EMAIL, WEBHOOK, email_address, own_addresses, wanted, webhook_address
from tasks.platform_lock import PlatformLock, parse_lock
from tasks.secrets import Place
from tasks.settings import Settings
from tests.tasks.test_platform_lock import content

HOOK, MAIL = Place("slipway", "hook"), Place("slipway", "mail")
LOGIN = {"user": "ops@example.com", "password": "p/@:#?&"}
POST = {"server": "smtp.example.com:465", "from": "slipway@example.com", "to": "team@example.com"}


def lock(**notify: Any) -> PlatformLock:
    return parse_lock(yaml.safe_dump(content(notify=notify)), Path("platform.yaml"))


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            paths.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "path",
    [
        "/services/T0/B0/abcDEF123",
        "/hooks/x1y2z3",
        "/v1/spaces/AAA/messages?key=AIza-x_y&token=a%2Bb%2Fc%3D",
        "/workflows/a1/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sig=x-Y_z",
        "/webhookb2/a@b/IncomingWebhook/c/d",
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_asked_is_the_very_address(asked: tuple[str, list[str]], path: str) -> None:
    from apprise import Apprise

    here, paths = asked
    told = Apprise()
    assert told.add(webhook_address("", here + path))
    assert told.notify(body="hello")
    assert paths == [path]


@pytest.mark.parametrize(
    ("url", "begins"),
    [
        ("https://example.com/x", "jsons://example.com/x?"),
        ("http://example.com:8080/x", "json://example.com:8080/x?"),
        ("discord://id/token", "discord://id/token"),
    ],
)
def test_an_address_of_apprise_stays_as_it_is(url: str, begins: str) -> None:
    assert webhook_address("", f" {url}\n").startswith(begins)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_of_mail_server_sender_and_login_arrive_unchanged() -> None:
    from apprise import Apprise

    found = Apprise.instantiate(email_address(MAIL, {**POST, **LOGIN, "mode": "ssl"}))
    assert (found.user, found.password) == ("ops@example.com", "p/@:#?&")
    assert (found.host, found.port, found.smtp_host) == ("smtp.example.com", 465, "smtp.example.com")
    assert (found.from_addr[1], found.targets) == ("slipway@example.com", [(False, "team@example.com")])
    assert (found.secure_mode, found.secure) == ("ssl", True)


def test_without_a_mode_mail_is_encrypted() -> None:
    assert "mode=starttls" in email_address(MAIL, POST)
    assert email_address(MAIL, {**POST, "mode": "insecure"}).startswith("mailto://smtp.example.com:465/")


@pytest.mark.parametrize(
    ("notify", "there", "words"),
    [
        ({"webhook": "hook"}, {}, "Secret hook in slipway: is not there, and notify in infra/platform.yaml"),
        ({"webhook": "hook"}, {HOOK: {"address": "x"}}, "Secret hook in slipway: url: is missing"),
        ({"webhook": "hook"}, {HOOK: {"url": "s3cret"}}, "Secret hook in slipway: url: is no address"),
        ({"email": "mail"}, {MAIL: {**POST, "to": " "}}, "Secret mail in slipway: to: is missing"),
        ({"email": "mail"}, {MAIL: {**POST, "mode": "tls"}}, "mode: is none of starttls, ssl, insecure"),
    ],
)
def test_what_the_user_must_give_is_named_and_never_shown(
    notify: dict[str, str], there: Any, words: str
) -> None:
    with pytest.raises(PlatformError) as caught:
        wanted(lock(**notify), there)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_both_are_told_or_one_or_nobody_and_no_address_prints() -> None:
    there = {HOOK: {"url": "https://example.com/s3cret"}, MAIL: {**POST, **LOGIN}}
    both = wanted(lock(webhook="hook", email="mail"), there)
    assert set(both) == {WEBHOOK, EMAIL}
    assert "s3cret" not in str(both)
    assert set(wanted(lock(email="mail"), there)) == {EMAIL}
    assert wanted(lock(), there) == {}


def test_prefect_reaches_nobody_where_nobody_is_told() -> None:
    assert lock().values()["global"]["notify"] == []
    assert lock(webhook="hook").values()["global"]["notify"] == [443, 465, 587]
    assert lock(email="mail", ports=[2525]).values()["global"]["notify"] == [2525]


def test_on_this_machine_they_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    assert own_addresses(Settings()) == {}
    monkeypatch.setenv("SLIPWAY_NOTIFY_WEBHOOK", "https://example.com/s3cret")
    monkeypatch.setenv("SLIPWAY_NOTIFY_EMAIL", "mailtos://example.com?to=a@example.com")
    found = own_addresses(Settings())
    assert found[WEBHOOK].get_secret_value().startswith("jsons://example.com/s3cret?")
    assert set(found) == {WEBHOOK, EMAIL}
