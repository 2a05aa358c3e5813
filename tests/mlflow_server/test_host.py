"""The server behind an Ingress, which hands on what a browser asked for: host and origin."""

import httpx
import pytest

from tests.mlflow_server.conftest import HOST, PASSWORDS, Server

SEARCH = "/ajax-api/2.0/mlflow/experiments/search"


def ask(server: Server, path: str, host: str, origin: str | None = None) -> httpx.Response:
    """As a browser does from a page: what it reads it gets, what it writes names the page's origin."""
    headers = {"host": host, **({"origin": origin} if origin else {})}
    login = ("admin", PASSWORDS["admin"])
    with httpx.Client(base_url=server.url, headers=headers, auth=login, trust_env=False) as browser:
        return browser.post(path, json={"max_results": 1}) if origin else browser.get(path)


def test_the_page_is_answered_under_its_host_and_no_other(server: Server) -> None:
    assert ask(server, "/", HOST).status_code == 200
    for host in ("evil.example.com", f"{HOST}.evil.example.com", f"{HOST}:8080"):
        refused = ask(server, "/", host)
        assert refused.status_code == 403, host
        assert "Invalid Host header" in refused.text


@pytest.mark.parametrize(
    ("origin", "status"),
    [(f"https://{HOST}", 200), (f"http://{HOST}", 403), ("https://evil.example.com", 403)],
)
def test_its_own_page_may_ask_and_that_of_others_may_not(server: Server, origin: str, status: int) -> None:
    assert ask(server, SEARCH, HOST, origin).status_code == status
