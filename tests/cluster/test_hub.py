"""JupyterHub from its real chart, used: login, both profiles, what a notebook may do, what is left of it.

Needs the chart (`--charts DIR`), and the images that it names.
"""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.forwarding import forwarded
from tasks.kubernetes import POD, SECRET, VOLUME_CLAIM, client
from tasks.platform_lock import LOCK, load_lock
from tests.cluster.hub.people import Person
from tests.cluster.outside import Outside

CELLS = Path(__file__).parent / "hub" / "cells"
pytestmark = [pytest.mark.charts, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Hub:
    cli: Outside
    file: Path
    charts: Path
    url: str
    password: str

    def bootstrap(self) -> dict[str, Any]:
        arguments = ("--lock", str(self.file), "--charts", str(self.charts))
        return self.cli.answer("bootstrap", *arguments, timeout=1500)

    def person(self, name: str) -> Person:
        found = Person(name, self.url)
        assert found.log_in(self.password).status_code == 302
        return found

    def pods(self, namespace: str, **labels: str) -> list[dict[str, Any]]:
        return client(getattr(load_lock().namespaces, namespace)).list(POD, labels)


def with_hub(text: str) -> str:
    """Pure: the lock with JupyterHub, for trying it out."""
    return text.replace("    enabled: false\n", "    enabled: true\n")


@pytest.fixture(scope="module")
def hub(platform_up: Outside, charts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The platform with JupyterHub; it is taken away again, and its volumes with it."""
    if not (charts / "jupyterhub").exists() and not list(charts.glob("jupyterhub-*.tgz")):
        pytest.skip(f"needs the chart jupyterhub in {charts}")
    file = tmp_path_factory.mktemp("lock") / "platform.yaml"
    file.write_text(with_hub(LOCK.read_text()))
    with platform_up.here():
        names = load_lock().namespaces
        made = Hub(platform_up, file, charts, "", "")
        made.bootstrap()
        secret = client(names.platform).get(SECRET, "slipway-hub")
        assert secret is not None
        password = decoded(secret["data"]["password"])
        try:
            with forwarded(names.notebooks, "service/proxy-public", 80) as url:
                yield Hub(platform_up, file, charts, url.rstrip("/"), password)
        finally:
            for name, space in (("jupyterhub", names.notebooks), ("notebooks", names.platform)):
                done = platform_up.run("helm", "uninstall", name, "--namespace", space, "--wait", timeout=300)
                assert done.returncode == 0, done.stderr
            for space, kinds in ((names.notebooks, "pods,persistentvolumeclaims"), (names.executors, "pods")):
                platform_up.run("kubectl", "delete", kinds, "--all", "--namespace", space, timeout=300)


def decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def cell(person: Person, name: str, timeout: float = 300) -> Any:
    """Run a file of `hub/cells` as a cell of the person's notebook; what it printed last, read as JSON."""
    with person.kernel() as kernel:
        said = kernel.run((CELLS / f"{name}.py").read_text(), timeout)
    return json.loads(said.splitlines()[-1])


@pytest.fixture(scope="module")
def anna(hub: Hub) -> Iterator[Person]:
    """With the minimal notebook, and a name that is no account's."""
    person = hub.person("anna.kowalska")
    person.start("minimal")
    yield person
    person.stop()


def test_an_unchanged_bootstrap_changes_nothing(hub: Hub) -> None:
    assert hub.bootstrap()["changed"] == []


def test_a_wrong_password_lets_nobody_in(hub: Hub) -> None:
    assert Person("anna", hub.url).log_in("wrong").status_code == 403


def test_a_server_is_its_users_and_runs_as_its_account(anna: Person) -> None:
    who = anna.api("GET", "/user").json()
    assert who["name"] == "anna.kowalska"
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
    with person.kernel() as kernel:
        assert (
            kernel.run("from pathlib import Path; print((Path.home() / 'kept.txt').read_text())") == "kept\n"
        )
    person.stop()
    claims = [
        each["metadata"]["name"] for each in client(load_lock().namespaces.notebooks).list(VOLUME_CLAIM)
    ]
    assert [name for name in claims if "ben" in name]


def test_a_cell_retrains_with_no_address_or_secret_typed(anna: Person) -> None:
    with anna.kernel() as kernel:
        said = kernel.run("""
from flows.trigger import trigger
done = trigger('retrain', 'iris')
print('outcome', done.state, done.result.model)""")
    assert said.splitlines()[-1].split()[2] == "iris"


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


def test_a_notebook_may_do_what_it_needs_to_and_nothing_else(anna: Person) -> None:
    refused = "AccessDenied"
    assert cell(anna, "attempts") == {
        "reaches": {
            "trigger": True, "mlflow": True, "store": True, "model": True,
            "prefect": False, "postgres": False, "metadata": False, "api": False,
        },
        "account": False,
        "passwords": [],
        "trigger": {"release": 403, "job variables": 403, "overwrite": 403},
        "writes": {
            "scratch/anna/x": "done", "mlflow/x": refused, "records/iris/1.json": refused, "datasets/x": refused,
        },
        "reads": {"datasets/iris/iris.parquet": "done", "records/iris/1.json": refused, "mlflow/x": refused},
        "alias": "403",
    }  # fmt: skip


def test_a_spark_notebook_has_executors_of_its_own(hub: Hub) -> None:
    person = hub.person("sam")
    person.start("spark", "medium")
    try:
        found = cell(person, "spark", timeout=600)
    finally:
        person.stop()
    assert found == {
        "rows": 1000, "executors": 200, "pods here": 403, "secrets": [403, 403, 403],
        "makes a pod here": 403, "makes a pod of another": 422,
    }  # fmt: skip
    until = time.monotonic() + 60
    while left := hub.pods("executors", **{"spark-role": "executor"}):
        assert time.monotonic() < until, [each["metadata"]["name"] for each in left]
        time.sleep(1)


def test_the_culler_is_told_what_the_values_say(hub: Hub) -> None:
    values = yaml.safe_load((LOCK.parent / "jupyterhub" / "values.yaml").read_text())["cull"]
    (pod,) = hub.pods("notebooks", component="hub")
    script = "import glob; print([open(file).read() for file in glob.glob('/proc/[0-9]*/cmdline')])"
    where = (pod["metadata"]["name"], "--namespace", pod["metadata"]["namespace"])
    done = hub.cli.run("kubectl", "exec", *where, "--", "python3", "-c", script)
    assert f"--timeout={values['timeout']}" in done.stdout
    assert f"--cull-every={values['every']}" in done.stdout
