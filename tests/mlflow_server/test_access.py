"""What each identity may do on the MLflow server, tried on a real one: that, and none of what it must not."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tasks import tracking
from tasks.tracking import Version
from tests.mlflow_server.conftest import PASSWORDS, Login, Server, environment, prepare
from tests.release import model as test_model

pytestmark = pytest.mark.timeout(300)

PEOPLE = ("notebook", "somebody")


WRITTEN = {"alias": "champion", "key": "k", "value": "v", "new_name": "x", "stage": "Production"}
"""What a write of the registry may ask for, whichever it is."""


@pytest.fixture
def version(server: Server, login: Login, tmp_path: Path) -> Iterator[Version]:
    """Published by `training`, as a retrain does: run, artifacts, logged model, version."""
    path = test_model.write_spec(tmp_path, f"m{uuid.uuid4().hex[:8]}")
    with login("training"):
        made = test_model.publish(path, own=True)
        assert tracking.is_registered(made.model, made.number)
        yield made


def denied(answer: httpx.Response) -> bool:
    return answer.status_code == 403


def test_nobody_is_served_without_a_login(server: Server) -> None:
    for path in ("/", "/api/2.0/mlflow/experiments/get?experiment_id=0", "/graphql", "/signup"):
        assert httpx.get(f"{server.url}{path}", trust_env=False).status_code == 401, path
        wrong = httpx.get(f"{server.url}{path}", auth=("admin", "password1234"), trust_env=False)
        assert wrong.status_code == 401, path
    assert httpx.get(f"{server.url}/health", trust_env=False).is_success


def test_a_retrain_registers_and_a_release_moves_the_aliases(version: Version, login: Login) -> None:
    with login("release"):
        tracking.set_alias(version.model, "champion", version.number)
        tracking.tag_version(version, tracking.ROLLED_BACK, "why")
        tracking.untag_version(version, tracking.ROLLED_BACK)
        tracking.set_hold(version.model, "why")
        tracking.clear_hold(version.model)
        champion = tracking.alias(version.model, "champion")
        assert champion is not None
        assert champion.number == version.number
        tracking.delete_alias(version.model, "champion")


def test_a_retrain_decides_nothing_about_what_is_registered(version: Version, server: Server) -> None:
    named = {"name": version.model, "version": str(version.number)}
    tries = writes(version) - {("POST", "registered-models/create"), ("POST", "model-versions/create")}
    for method, path in tries:
        assert denied(server.ask("training", method, path, {**named, **WRITTEN})), (method, path)


def test_a_release_registers_nothing(version: Version, server: Server) -> None:
    body = {"name": version.model, "source": version.source}
    assert denied(server.ask("release", "POST", "model-versions/create", body))
    assert denied(server.ask("release", "POST", "registered-models/create", {"name": "another"}))
    assert denied(server.ask("release", "DELETE", "model-versions/delete", {**body, "version": "1"}))
    assert denied(server.ask("release", "DELETE", "registered-models/delete", body))


@pytest.mark.parametrize("user", PEOPLE)
def test_people_read_the_registry_and_write_none_of_it(user: str, version: Version, server: Server) -> None:
    named = {"name": version.model, "version": str(version.number)}
    for path in (
        f"registered-models/get?name={version.model}",
        f"model-versions/get?name={version.model}&version={version.number}",
        "registered-models/search",
        f"model-versions/get-download-uri?name={version.model}&version={version.number}",
    ):
        assert server.ask(user, "GET", path).is_success, path
    assert server.ask(
        user, "POST", "registered-models/get-latest-versions", {"name": version.model}
    ).is_success
    for method, path in writes(version):
        body = {**named, **WRITTEN, "source": version.source}
        for at in (path, f"/ajax-api/2.0/mlflow/{path}"):
            assert denied(server.ask(user, method, at, body)), (method, at)
    assert denied(server.ask(user, "POST", "registered-models/create", {"name": f"{user}-own"}))
    prompt = {"name": f"{user}-prompt", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}
    assert denied(server.ask(user, "POST", "registered-models/create", prompt))


def writes(version: Version) -> set[tuple[str, str]]:
    """Every route of the server that writes the registry, found in the server itself."""
    from mlflow.server import app

    found = set()
    for rule in app.url_map.iter_rules():
        _, _, path = rule.rule.partition("/api/2.0/mlflow/")
        if path.startswith(("registered-models/", "model-versions/")):
            found |= {(method, path) for method in rule.methods - {"GET", "HEAD", "OPTIONS"}}
    found.remove(("POST", "registered-models/get-latest-versions"))
    assert len(found) >= 12
    return found


@pytest.mark.parametrize("user", PEOPLE)
def test_people_log_runs_of_their_own_and_touch_no_others(
    user: str, version: Version, server: Server, login: Login
) -> None:
    with login(user):
        client = tracking.client()
        own = client.create_experiment(f"of {user} {uuid.uuid4().hex[:6]}")
        run = client.create_run(own).info.run_id
        client.log_metric(run, "loss", 0.5)
        client.log_text(run, "kept", "notes.txt")
        client.log_artifact(run, __file__)
        assert client.get_run(run).data.metrics == {"loss": 0.5}
        theirs = client.get_run(version.run_id)
        assert theirs.info.run_id == version.run_id
    tries = [
        ("POST", "runs/set-tag", {"run_id": version.run_id, "key": "k", "value": "v"}),
        ("POST", "runs/log-metric", {"run_id": version.run_id, "key": "k", "value": 1, "timestamp": 1}),
        ("POST", "runs/delete", {"run_id": version.run_id}),
        ("POST", "runs/create", {"experiment_id": theirs.info.experiment_id}),
        ("POST", "experiments/delete", {"experiment_id": theirs.info.experiment_id}),
        ("POST", "experiments/update", {"experiment_id": theirs.info.experiment_id, "new_name": "x"}),
    ]
    for method, path, body in tries:
        assert denied(server.ask(user, method, path, body)), path


@pytest.mark.parametrize("user", PEOPLE)
def test_people_change_no_file_of_a_version(user: str, version: Version, server: Server) -> None:
    stored = server.folder / "artifacts"
    before = {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()}
    name = str(next(path for path in before if path.is_relative_to(version.uri)).relative_to(stored))
    experiment, _, rest = name.partition("/")
    encoded = f"%25{ord(experiment[0]):x}{experiment[1:]}"  # read twice, it is the same number
    for way in (name, f"{experiment}/x/../{rest}", f"{encoded}/{rest}", experiment):
        for method, path in (("PUT", "artifacts"), ("DELETE", "artifacts"), ("POST", "mpu/create")):
            body = {"path": "x", "num_parts": 1}
            answer = server.ask(user, method, f"/api/2.0/mlflow-artifacts/{path}/{way}", body)
            assert not answer.is_success, (method, path, way)
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={version.run_id}&path=x.txt"
    assert denied(server.ask(user, "POST", upload, {}))
    assert {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()} == before


def test_an_experiment_has_no_place_of_its_own(server: Server) -> None:
    for key in ("artifact_location", "artifactLocation"):
        for user in (*PEOPLE, "training"):
            body = {"name": uuid.uuid4().hex, key: f"file://{server.folder}/artifacts/1/models"}
            assert denied(server.ask(user, "POST", "experiments/create", body))


@pytest.mark.parametrize("user", PEOPLE)
def test_no_version_comes_from_where_others_write(user: str, server: Server) -> None:
    name = f"m{uuid.uuid4().hex[:8]}"
    assert server.ask("training", "POST", "registered-models/create", {"name": name}).is_success
    for owner, allowed in ((user, False), ("training", True)):
        made = server.ask(owner, "POST", "experiments/create", {"name": f"{name} of {owner}"}).json()
        logged = server.ask("training", "POST", "logged-models", made).json()["model"]["info"]["model_id"]
        body = {"name": name, "source": f"models:/{logged}", "model_id": logged}
        answer = server.ask("training", "POST", "model-versions/create", body)
        assert answer.is_success == allowed, answer.text
        assert allowed or f"can be written by {user}" in answer.text


def test_a_version_is_made_of_a_logged_model_only(version: Version, server: Server) -> None:
    for source in (version.uri, f"file://{version.uri}", "models:/other/1", f"runs:/{version.run_id}/model"):
        answer = server.ask(
            "training", "POST", "model-versions/create", {"name": version.model, "source": source}
        )
        assert denied(answer), (source, answer.text)


@pytest.mark.parametrize("user", [*PEOPLE, "training", "release"])
def test_the_rest_is_the_administrators(user: str, server: Server) -> None:
    everything = {"resource_type": "registered_model", "resource_id": "*", "permission": "MANAGE"}
    tries = [
        ("POST", "users/create", {"username": "mallory", "password": "long enough 12345"}),
        ("PATCH", "users/update-admin", {"username": user, "is_admin": True}),
        ("PATCH", "users/update-password", {"username": "training", "password": "long enough 12345"}),
        ("POST", "users/permissions/grant", {"username": user, **everything}),
        ("POST", "/api/3.0/mlflow/roles/create", {"name": "x", "workspace": "default"}),
        ("POST", "webhooks", {"name": "x", "url": "https://example.com", "events": []}),
        ("POST", "/api/3.0/mlflow/gateway/secrets/create", {"secret_name": "x"}),
        ("POST", "/ajax-api/3.0/mlflow/demo/generate", {}),
    ]  # fmt: skip
    for method, path, body in tries:
        answer = server.ask(user, method, path, body)
        assert not answer.is_success, (path, answer.text)


def test_prepared_again_the_server_knows_the_same_identities(server: Server, python: Path) -> None:
    prepare(python, server.folder)
    assert server.ask("training", "GET", "experiments/get?experiment_id=0").is_success
    assert (server.folder / "auth.ini").stat().st_mode & 0o077 == 0
    assert (server.folder / "auth.ini").read_text().count("password") == 0


def test_a_new_password_replaces_the_old(python: Path, tmp_path: Path) -> None:
    prepare(python, tmp_path)
    prepare(python, tmp_path, training="another password")
    script = f"""
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
store = SqlAlchemyStore()
store.init_db("sqlite:///{tmp_path}/mlflow.db")
print([store.authenticate_user("training", each) for each in ("another password", "{PASSWORDS["training"]}")])
"""
    said = subprocess.run(
        [python, "-c", script], env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[True, False]"
