"""The login of google.yaml: a real JupyterHub, and a stand-in for Google that the whole code flow goes through."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.flows.hub import identity_provider
from tests.flows.hub.fixture import HOST, Hub, login, running_hub


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    with identity_provider.running() as address:
        yield address


@pytest.fixture(scope="module")
def hub(google: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    environment = {
        "OAUTH_CLIENT_ID": identity_provider.CLIENT,
        "OAUTH_CLIENT_SECRET": identity_provider.SECRET,
        "GOOGLE_API_URL": google,
    }
    groups = {"data-scientists": "everyone", "few": ["anna.kowalska"]}
    folder = tmp_path_factory.mktemp("google")
    with running_hub(folder, groups, login("google.yaml"), "", environment) as found:
        yield found


def enter(hub: Hub, google: str, name: str) -> httpx.Response:
    """Be sent to Google, say there who one is, and come back, as a browser does; the answer of the hub to that."""
    browser = httpx.Client(base_url=hub.url, trust_env=False, timeout=30)
    page = browser.get("/hub/login")
    assert "Google" in page.text
    sent = browser.get("/hub/oauth_login")
    assert sent.status_code == 302
    place = urlsplit(sent.headers["location"])
    assert (place.hostname, place.path) == ("accounts.google.com", identity_provider.PAGE)
    seen = httpx.get(f"{google}{place.path}?{place.query}&login_hint={name}", trust_env=False)
    if seen.status_code != 302:
        state = parse_qs(place.query)["state"][0]
        return browser.get("/hub/oauth_callback", params={"code": "made up", "state": state})
    back = urlsplit(seen.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"https://{HOST}/hub/oauth_callback"
    return browser.get(f"/hub/oauth_callback?{back.query}")


def test_an_account_of_the_domain_enters_under_its_name_and_gets_its_groups(hub: Hub, google: str) -> None:
    assert enter(hub, google, "anna").status_code == 302
    found = hub.ask("GET", "/users/anna.kowalska").json()
    assert sorted(found["groups"]) == ["data-scientists", "few"]
    assert not found["admin"]


@pytest.mark.parametrize("name", ["mallory", "impostor", "nobody"])
def test_nobody_else_does(hub: Hub, google: str, name: str) -> None:
    """Of another domain; with an address of the domain, but none of its accounts; unknown to Google."""
    before = names(hub)
    assert enter(hub, google, name).status_code in (400, 401, 403, 500)
    assert names(hub) == before


def names(hub: Hub) -> set[str]:
    return {each["name"] for each in hub.ask("GET", "/users").json()}


def test_coming_back_without_having_been_sent_is_refused(hub: Hub) -> None:
    answer = httpx.get(
        f"{hub.url}/hub/oauth_callback", params={"code": "anna", "state": "x"}, trust_env=False
    )
    assert answer.status_code in (400, 403)


def test_there_is_no_password_to_try(hub: Hub) -> None:
    browser = httpx.Client(base_url=hub.url, trust_env=False, timeout=30)
    browser.get("/hub/login")
    form = {"username": "anna", "password": "x", "_xsrf": browser.cookies["_xsrf"]}
    assert browser.post("/hub/login", data=form).status_code in (400, 403, 405)
    assert "anna" not in names(hub)
