"""Which platform the settings mean, and what an image or a cluster puts in the place of a checkout."""

from pathlib import Path

import pytest

from tasks import lineage, tracking
from tasks.errors import PlatformError
from tasks.settings import child_environment, settings, write_platform_file


def test_the_platform_that_ran_last_is_meant_unless_a_variable_says_otherwise(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings().platform == "embedded"
    write_platform_file(home, {"platform": "cluster", "serving_namespace": "models", "store": "s3://b"})
    assert settings().platform == "cluster"
    assert settings().serving_namespace == "models"
    monkeypatch.setenv("SLIPWAY_PLATFORM", "embedded")
    settings.cache_clear()
    assert settings().store_root == f"{home}/store", "what is known of the other platform does not count"


def test_what_up_wrote_beside_its_settings_outlives_a_bootstrap(home: Path) -> None:
    from infra.local import state

    home.mkdir()
    running = state.State(ports={"prefect": 1, "mlflow": 2, "rest": 3, "grpc": 4}, registered="x")
    running.addresses = {"prefect_url": "http://127.0.0.1:1/api"}
    state.write(home, running)
    write_platform_file(home, {"platform": "cluster"})
    found = state.read(home)
    assert found.ports == running.ports
    assert found.addresses["prefect_url"] == "http://127.0.0.1:1/api"
    state.write(home, found)  # as `slipway down` does
    assert settings().platform == "cluster"
    found.cluster = {}  # as `slipway up` does
    state.write(home, found)
    settings.cache_clear()
    assert settings().platform == "embedded"


def test_a_cluster_before_any_up_leaves_nothing_to_stop(home: Path) -> None:
    from infra.local import state

    write_platform_file(home, {"platform": "cluster"})
    assert state.read(home) == state.State(cluster={"platform": "cluster"})


def test_the_passphrase_of_backups_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_BACKUP_PASSPHRASE", "planted")
    assert "planted" not in child_environment({}).values()


def test_a_password_is_not_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:secret")
    settings.cache_clear()
    assert settings().prefect_auth.get_secret_value() == "admin:secret"
    assert "secret" not in str(settings())


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("mlflow-artifacts:/1/models/m-1/artifacts", "s3://slipway/mlflow/1/models/m-1/artifacts"),
        ("mlflow-artifacts://server:5000/1/a", "s3://slipway/mlflow/1/a"),
        ("s3://other/1/a", "s3://other/1/a"),
        ("file:///data/a%20b", "/data/a b"),
    ],
)
def test_what_only_the_mlflow_server_can_read_is_named_by_its_place_in_the_store(
    home: Path, monkeypatch: pytest.MonkeyPatch, uri: str, place: str
) -> None:
    monkeypatch.setenv("SLIPWAY_ARTIFACTS", "s3://slipway/mlflow")
    settings.cache_clear()
    assert tracking.plain_uri(uri) == place


def test_without_that_place_the_variable_is_named(home: Path) -> None:
    with pytest.raises(PlatformError, match="SLIPWAY_ARTIFACTS"):
        tracking.plain_uri("mlflow-artifacts:/1/a")


def test_in_an_image_the_commit_is_the_images(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lineage, "ROOT", tmp_path)
    assert lineage.code_facts() == {}
    monkeypatch.setenv("SLIPWAY_COMMIT", "abc")
    settings.cache_clear()
    assert lineage.code_facts() == {"git commit": "abc"}
