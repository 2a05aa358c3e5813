"""What a notebook's user may start on a hub, and what not: a real JupyterHub, the trigger, a real Prefect."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.settings import Settings
from tests.flows.hub.fixture import Hub, as_notebook, running

pytestmark = [pytest.mark.platform, pytest.mark.usefixtures("first_retrain"), pytest.mark.timeout(300)]
ELSEWHERE = "store://mlflow/1/models/m-1/artifacts"


@pytest.fixture(scope="module")
def hub(platform: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    groups = {"data-scientists": ["anna", "ben"], "everybody": "everyone"}
    with running(platform, tmp_path_factory.mktemp("hub"), groups) as found:
        yield found


@pytest.fixture(scope="module")
def anna(hub: Hub) -> str:
    return hub.notebook("anna")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder of notebooks under git, with a change that is not committed."""
    folder = tmp_path / "work"
    folder.mkdir()
    person = ("-c", "user.name=anna", "-c", "user.email=anna@localhost")
    for command in (("init",), (*person, "commit", "--allow-empty", "-m", "first")):
        subprocess.run(["git", *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (folder / "changed.ipynb").write_text("{}")
    return folder


def post(hub: Hub, token: str, **asked: Any) -> httpx.Response:
    given = {"flow": "retrain", "name": "iris", **asked}
    headers = {"Authorization": f"token {token}"} if token else {}
    return httpx.post(f"{hub.trigger}/runs", json=given, headers=headers, trust_env=False, timeout=60)


def test_a_notebook_retrains_with_no_address_or_secret_typed(
    platform: Settings, hub: Hub, anna: str, repository: Path
) -> None:
    cell = """
from flows.trigger import trigger
done = trigger('retrain', 'iris', force=True)
print(done.state, done.result.model)
"""
    ran = as_notebook(hub, anna, cell, repository)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[-1].split()[1] == "iris"
    assert any("Running" in line for line in lines)
    run = newest(platform)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    )
    assert {"asked-by:anna", f"notebook:{commit.stdout[:12]}+", "slipway"} <= set(run["tags"])
    assert run["labels"]["slipway.asked-by"] == "anna"
    assert run["labels"]["slipway.notebook-commit"] == commit.stdout.strip()
    assert run["labels"]["slipway.notebook-dirty"] is True


def newest(platform: Settings) -> dict[str, Any]:
    query = {
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": 1,
        "flow_runs": {"tags": {"all_": ["asked-by:anna"]}},
    }
    found: dict[str, Any] = httpx.post(f"{platform.prefect_url}/flow_runs/filter", json=query).json()[0]
    return found


def test_a_failed_run_says_why(hub: Hub, anna: str, tmp_path: Path) -> None:
    cell = """
from flows.trigger import trigger
trigger('score', 'iris', sources={'iris': 'store://scratch/anna/none.parquet'}, destination='store://scratch/anna/out')
"""
    ran = as_notebook(hub, anna, cell, tmp_path)
    assert ran.returncode == 1
    assert "RunFailed" in ran.stderr
    assert "none.parquet" in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"flow": "release"}, "is not one that a notebook may start"),
        ({"flow": "rollback"}, "is not one that a notebook may start"),
        ({"name": "roses"}, "Those are: .*retrain/iris"),
        ({"parameters": {"model": "flight-delays"}}, "'model'.*may give.*engine, force, sources"),
        ({"parameters": {"job_variables": {"image": "evil"}}}, "'job_variables'"),
        ({"parameters": {"sources": {"iris": ELSEWHERE}}}, "is no place for a notebook's run"),
        ({"parameters": {"sources": {"iris": "/etc/passwd"}}}, "is no place"),
        ({"parameters": {"sources": {"iris": "store://datasets/../mlflow/x"}}}, "is no place"),
        ({"flow": "score", "parameters": {"destination": ELSEWHERE}}, "store://scratch/"),
        ({"flow": "score", "parameters": {"destination": "store://datasets/iris"}}, "store://scratch/"),
        ({"flow": "score", "parameters": {"destination": "store://scratch"}}, "store://scratch/"),
        ({"flow": "score", "parameters": {"destination": "s3://other/scratch/x"}}, "store://scratch/"),
    ],
)  # fmt: skip
def test_more_than_is_listed_is_refused(hub: Hub, anna: str, asked: dict[str, Any], words: str) -> None:
    answer = post(hub, anna, **asked)
    assert answer.status_code == 403
    said = answer.json()
    assert said["error"] == "NotAllowed"
    assert re.search(words, f"{said['object']} {said['observed']} {said['next_step']}", re.DOTALL)


@pytest.mark.parametrize(
    "asked",
    [
        {"job_variables": {"image": "evil"}},
        {"commit": "not a commit"},
        {"parameters": {"engine": "dask"}},
        {"parameters": {"sources": ["store://datasets/iris"]}},
    ],
)
def test_what_is_not_understood_is_refused(hub: Hub, anna: str, asked: dict[str, Any]) -> None:
    answer = post(hub, anna, **asked)
    assert answer.status_code == 422
    assert answer.json()["error"] == "SpecError"


def test_a_user_of_another_group_is_refused(hub: Hub, tmp_path: Path) -> None:
    token = hub.notebook("eve")
    ran = as_notebook(hub, token, "from flows.trigger import trigger; trigger('retrain', 'iris')", tmp_path)
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert "NotAllowed" in last
    assert "by data-scientists; eve is in everybody" in last


def test_a_run_is_told_of_to_its_own_user_only(platform: Settings, hub: Hub, anna: str) -> None:
    started = post(hub, anna).json()
    ben = hub.notebook("ben")
    for path in (f"/runs/{started['id']}", f"/runs/{started['id']}/outcome"):
        for token, code in ((anna, (200, 409)), (ben, (403,))):
            answer = httpx.get(
                f"{hub.trigger}{path}", headers={"Authorization": f"token {token}"}, trust_env=False
            )
            assert answer.status_code in code, answer.text


def test_only_a_token_that_the_hub_gave_for_this_is_taken(hub: Hub, anna: str) -> None:
    """Not no token, an unknown one, a service's, nor one of a user's that was made for something else."""
    narrow = hub.ask("POST", "/users/anna/tokens", json={"scopes": ["read:users:name!user=anna"]}).json()[
        "token"
    ]
    for token in ("", "0" * 32, hub.test_token, hub.trigger_token, narrow):
        assert post(hub, token).status_code == 403
    in_url = httpx.post(
        f"{hub.trigger}/runs?token={anna}", json={"flow": "retrain", "name": "iris"}, trust_env=False
    )
    assert in_url.status_code == 403


def test_the_token_of_a_notebook_does_nothing_else_at_the_hub(hub: Hub, anna: str) -> None:
    """It may say who it is and that it is used; nothing of others, nor of itself."""
    headers = {"Authorization": f"token {anna}"}

    def ask(method: str, path: str) -> int:
        return httpx.request(method, f"{hub.url}/hub/api{path}", headers=headers, trust_env=False).status_code

    assert ask("GET", "/user") == 200
    for method, path in (
        ("GET", "/users"), ("GET", "/users/ben"), ("POST", "/users/ben/server"), ("POST", "/users/anna/tokens"),
        ("GET", "/services"), ("GET", "/groups"), ("POST", "/shutdown"),
    ):  # fmt: skip
        assert ask(method, path) in (403, 404)
