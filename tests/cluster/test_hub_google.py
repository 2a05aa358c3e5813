"""JupyterHub as google.yaml has it: people come by Google, or its stand-in here; idle servers go, files stay.

Needs the chart (`--charts DIR`), and the images that it names.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.platform_lock import load_lock
from tests.cluster.hub.google import SECRET, client_known, google_up
from tests.cluster.hub.installed import Place, place
from tests.cluster.hub.people import Person
from tests.cluster.outside import Done, Outside

VALUES = ("infra/jupyterhub/google.yaml", "tests/cluster/hub/google.yaml")
SPACES = load_lock().namespaces
pytestmark = [pytest.mark.charts, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def hub_place(
    platform_up: Outside, charts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    with place(platform_up, charts, tmp_path_factory.mktemp("lock"), *VALUES) as made:
        yield made


@pytest.fixture(scope="module")
def refused(hub_place: Place) -> Done:
    """What bootstrap says before anybody told it who the hub is to Google."""
    return hub_place.run()


@dataclass(frozen=True)
class Hub:
    place: Place
    url: str
    google: str

    def person(self, name: str, account: str) -> Person:
        found = Person(name, self.url)
        assert found.come_by_google(self.google, account).status_code == 302
        return found


@pytest.fixture(scope="module")
def hub(hub_place: Place, refused: Done) -> Iterator[Hub]:
    with client_known(hub_place.cli, SPACES.notebooks), google_up(hub_place.cli) as google:
        hub_place.bootstrap()
        with hub_place.reached() as url:
            yield Hub(hub_place, url, google)


def test_without_the_client_of_google_nothing_of_the_hub_is_installed_and_it_is_named(refused: Done) -> None:
    assert refused.returncode == 1
    said = refused.stderr + refused.stdout
    assert f"Secret {SECRET} in {SPACES.notebooks}: is not there" in said
    assert "installed jupyterhub" not in said


def test_an_account_of_the_domain_enters_under_its_name_and_gets_its_groups(hub: Hub) -> None:
    who = hub.person("anna.kowalska", "anna").api("GET", "/user").json()
    assert who["name"] == "anna.kowalska"
    assert who["groups"] == ["data-scientists"]
    assert not who["admin"]


@pytest.mark.parametrize("account", ["mallory", "impostor"])
def test_nobody_else_does(hub: Hub, account: str) -> None:
    """Of another domain; with an address of the domain, but none of its accounts."""
    person = Person("", hub.url)
    assert person.come_by_google(hub.google, account).status_code == 403
    assert person.api("GET", "/user").status_code == 403


def test_an_idle_server_goes_and_one_in_use_stays_and_so_do_files(hub: Hub) -> None:
    idle, busy = hub.person("anna.kowalska", "anna"), hub.person("ben", "ben")
    idle.start()
    busy.start()
    with idle.kernel() as kernel:
        kernel.run("from pathlib import Path; (Path.home() / 'kept.txt').write_text('kept')")
    until = time.monotonic() + 400
    with busy.kernel() as kernel:
        while idle.server():
            assert time.monotonic() < until, "nobody used it, and it is there"
            kernel.run("'in use'")
            time.sleep(5)
        assert busy.server()["ready"]
    assert hub.place.servers() == ["jupyter-ben"]
    assert len([name for name in hub.place.claims() if "anna" in name]) == 1
    idle.start()
    with idle.kernel() as kernel:
        read = "from pathlib import Path; print((Path.home() / 'kept.txt').read_text())"
        assert kernel.run(read) == "kept\n"
    idle.stop()
    busy.stop()
