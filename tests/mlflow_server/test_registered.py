"""What a backup takes along for a version, asked of a server that keeps the artifacts itself."""

import dataclasses
import uuid
from pathlib import Path

import pytest

from tasks import registered, tracking
from tasks.errors import RegistryError
from tasks.settings import set_variables
from tests.mlflow_server.conftest import Login, Server
from tests.release import model as test_model

pytestmark = pytest.mark.timeout(300)


def test_a_version_refers_to_its_artifacts_its_record_and_what_its_run_logged(
    server: Server, login: Login, tmp_path: Path
) -> None:
    path = test_model.write_spec(tmp_path, f"m{uuid.uuid4().hex[:8]}")
    with login("training"):
        one = test_model.publish(path, own=True)
        two = test_model.publish(path, 0.1, own=True)
    with login("release"):
        tracking.set_alias(two.model, "champion", two.number)
        before = set_variables({"SLIPWAY_ARTIFACTS": "s3://slipway/mlflow"})
        try:
            ours = [each for each in registered.versions() if each.model == one.model]
            assert {each.number for each in ours} == {one.number, two.number}
            assert [each.number for each in registered.champions(ours)] == [two.number]
            assert registered.every(ours[:1], ours) == tuple(ours)
            with pytest.raises(RegistryError, match=r"outside s3://slipway/"):
                registered.referred(ours, "slipway")
            record = {**one.tags, tracking.RECORD: f"s3://slipway/records/{one.model}/1.json"}
            gone = [
                dataclasses.replace(one, number=99),
                dataclasses.replace(one, tags=record, run_id="f" * 32),
            ]
            for each in gone:  # a version, or its run, that was deleted while the backup was made
                with pytest.raises(RegistryError, match=f"{each.name}: MLflow did not answer as it should"):
                    registered.referred([each], "slipway")
            found = registered.referred([dataclasses.replace(one, tags=record)], "slipway")
        finally:
            set_variables(before)
    stored = one.source.removeprefix("models:/")
    experiment = next(iter(found.runs)).split("/")[1]
    assert found.needed == {
        f"mlflow/{experiment}/models/{stored}/artifacts",
        f"records/{one.model}/1.json",
    }
    assert found.runs == {f"mlflow/{experiment}/{one.run_id}/artifacts"}
    kept = server.folder / "artifacts" / experiment / "models" / stored / "artifacts"
    assert any(kept.iterdir()), "that is where the server keeps them"
