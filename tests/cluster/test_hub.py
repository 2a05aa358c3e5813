"""JupyterHub from its real chart, used: login, both profiles, what a notebook may do, what is left of it.

Needs the chart (`--charts DIR`), and the images that it names.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tasks.platform_lock import LOCK, load_lock
from tasks.prefect_api import ask
from tests.cluster.hub.installed import PASSWORD, Place, place, shared_password
from tests.cluster.hub.people import Person
from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl
from tests.cluster.runs import servers

CELLS = Path(__file__).parent / "hub" / "cells"
SPACES = load_lock().namespaces
NAME = "anna.kowalska"
pytestmark = [pytest.mark.charts, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Hub:
    place: Place
    url: str
    password: str

    def person(self, name: str) -> Person:
        found = Person(name, self.url)
        assert found.log_in(self.password).status_code == 302
        return found


@pytest.fixture(scope="module")
def hub(platform_up: Outside, charts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The platform with JupyterHub, for trying it out."""
    with place(platform_up, charts, tmp_path_factory.mktemp("lock"), PASSWORD) as made:
        made.bootstrap()
        with made.reached() as url:
            yield Hub(made, url, shared_password())


def cell(person: Person, name: str, timeout: float = 300) -> Any:
    """Run a file of `hub/cells` as a cell of the person's notebook; what it printed last, read as JSON."""
    with person.kernel() as kernel:
        said = kernel.run((CELLS / f"{name}.py").read_text(), timeout)
    return json.loads(said.splitlines()[-1])


@pytest.fixture(scope="module")
def anna(hub: Hub) -> Iterator[Person]:
    """With the minimal notebook, and a name that is no account's."""
    person = hub.person(NAME)
    person.start("minimal")
    yield person
    person.stop()


def test_an_unchanged_bootstrap_changes_nothing(hub: Hub) -> None:
    assert hub.place.bootstrap()["changed"] == []


def test_what_somebody_changed_by_hand_is_named_and_put_right(hub: Hub) -> None:
    cli, space = hub.place.cli, ("--namespace", SPACES.notebooks)
    assert hub.place.run("--check").returncode == 0
    kubectl(cli, "scale", "deployment/proxy", "--replicas=2", *space)
    found = hub.place.run("--check")
    assert found.returncode == 1
    assert re.search(r"Deployment.*proxy.*replicas", found.stdout + found.stderr)
    assert hub.place.bootstrap()["changed"] == ["jupyterhub"]
    assert hub.place.run("--check").returncode == 0


def test_a_wrong_password_lets_nobody_in(hub: Hub) -> None:
    assert Person("anna", hub.url).log_in("wrong").status_code == 403


def test_a_server_is_its_users_and_runs_as_its_account(anna: Person) -> None:
    who = anna.api("GET", "/user").json()
    assert who["name"] == NAME
    assert "data-scientists" in who["groups"]
    account = "anna-kowalska---503c514d"
    assert cell(anna, "whoami") == {
        "account": account, "uid": 1000, "home": f"/home/{account}", "owner": 1000, "capabilities": 0,
        "prefix": "/opt/slipway/.venv", "python": [3, 11], "examples": ["retrain.ipynb", "score.ipynb"],
    }  # fmt: skip


def test_the_base_images_own_scripts_start_a_server(anna: Person) -> None:
    """Root to user, by the scripts of Jupyter's image; the development cluster's stand-in has its own."""
    with anna.kernel() as kernel:
        script = kernel.run("print(open('/usr/local/bin/start.sh').read())")
    if "A stand-in for" in script:
        pytest.skip("not run: the base image is not at hand, its stand-in was started instead")
    assert "Jupyter Development Team" in script


def test_files_outlive_the_server(hub: Hub) -> None:
    person = hub.person("ben")
    person.start("minimal")
    with person.kernel() as kernel:
        kernel.run("from pathlib import Path; (Path.home() / 'kept.txt').write_text('kept')")
    person.stop()
    person.start("minimal")
    read = "from pathlib import Path; print((Path.home() / 'kept.txt').read_text())"
    with person.kernel() as kernel:
        assert kernel.run(read) == "kept\n"
    person.stop()
    assert len([name for name in hub.place.claims() if "ben" in name]) == 1


def test_servers_and_logins_outlive_the_hub(hub: Hub, anna: Person) -> None:
    with anna.kernel() as kernel:
        kernel.run("kept = 'in memory'")
        (pod,) = hub.place.pods(SPACES.notebooks, component="hub")
        kubectl(hub.place.cli, "delete", "pod", pod["metadata"]["name"], "--namespace", SPACES.notebooks)
        until = time.monotonic() + 120
        while anna.api("GET", "/user").status_code != httpx.codes.OK:
            assert time.monotonic() < until, "the hub did not come back"
            time.sleep(1)
        assert anna.server()["ready"]
        assert kernel.run("print(kept)") == "in memory\n"


def test_a_cell_retrains_with_no_address_or_secret_typed_and_who_asked_is_recorded(
    hub: Hub, anna: Person
) -> None:
    said = cell(anna, "retrain", timeout=600)
    assert said["model"] == "iris"
    with servers(hub.place.cli) as found:
        of_hers = {"flow_runs": {"tags": {"all_": [f"asked-by:{NAME}"]}}, "sort": "EXPECTED_START_TIME_DESC"}
        runs = ask("POST", f"{found.prefect_url}/flow_runs/filter", of_hers).raise_for_status().json()
    recorded = {key: value for key, value in runs[0]["labels"].items() if key.startswith("slipway.")}
    assert recorded == {
        "slipway.asked-by": NAME, "slipway.deployment": "retrain/iris",
        "slipway.notebook-commit": said["commit"], "slipway.notebook-dirty": True,
    }  # fmt: skip


def test_the_examples_run(anna: Person) -> None:
    with anna.kernel() as kernel:
        kernel.run(
            """
import json, pathlib
for name in ('retrain', 'score'):
    path = pathlib.Path.home() / 'examples' / f'{name}.ipynb'
    for cell in json.loads(path.read_text())['cells']:
        if cell['cell_type'] == 'code':
            get_ipython().run_cell(''.join(cell['source'])).raise_error()
""",
            timeout=600,
        )


def test_a_notebook_may_do_what_it_needs_to_and_nothing_else(hub: Hub, anna: Person) -> None:
    refused = "AccessDenied"
    before = hub.place.cli.answer("live", "iris")
    assert cell(anna, "attempts") == {
        "reaches": {
            "trigger": True, "mlflow": True, "store": True, "model": True,
            "prefect": False, "postgres": False, "metadata": False, "api": False,
        },
        "account": False,
        "passwords": [],
        "starts": {
            "release": 403, "rollback": 403, "housekeeping": 403, "a model that is none": 403,
            "job variables": 403, "job variables beside": 422, "a source of its own": 403, "overwrite": 403,
        },
        "run of nobody": 403,
        "hub": {"everybody": 403, "another's server": 403},
        "writes": {
            "scratch/anna/x": "done", "mlflow/x": refused, "records/iris/1.json": refused, "datasets/x": refused,
        },
        "reads": {"datasets/iris/iris.parquet": "done", "records/iris/1.json": refused, "mlflow/x": refused},
        "logs": "done",
        "served": {
            "written in the store": refused, "removed from the store": refused, "put": 403, "removed": 403,
            "file beside": 403, "tag": 403, "version removed": 403, "model removed": 403, "run removed": 403,
        },
        "registers": 403,
        "aliases": {"moved": 403, "removed": 403},
    }  # fmt: skip
    after = hub.place.cli.answer("live", "iris")
    assert after == before, "what is served is what it was, and its files are"


def test_a_spark_notebook_has_executors_of_its_own_and_no_other_right(hub: Hub) -> None:
    person = hub.person("sam")
    person.start("spark", "medium")
    try:
        found = cell(person, "spark", timeout=600)
    finally:
        person.stop()
    assert found.pop("rows") == 1000
    assert found.pop("its executors") == 200
    assert found.pop("makes an executor of another") == 422
    assert found.pop("reads secrets") == [403] * 5
    assert {what: status for what, status in found.items() if status != 403} == {}
    until = time.monotonic() + 60
    while left := hub.place.pods(SPACES.executors, **{"spark-role": "executor"}):
        assert time.monotonic() < until, [each["metadata"]["name"] for each in left]
        time.sleep(1)


def test_the_culler_is_told_what_the_values_say(hub: Hub) -> None:
    values = yaml.safe_load((LOCK.parent / "jupyterhub" / "values.yaml").read_text())["cull"]
    (pod,) = hub.place.pods(SPACES.notebooks, component="hub")
    script = "import glob; print([open(file).read() for file in glob.glob('/proc/[0-9]*/cmdline')])"
    where = (pod["metadata"]["name"], "--namespace", SPACES.notebooks)
    said = kubectl(hub.place.cli, "exec", *where, "--", "python3", "-c", script)
    assert f"--timeout={values['timeout']}" in said
    assert f"--cull-every={values['every']}" in said
