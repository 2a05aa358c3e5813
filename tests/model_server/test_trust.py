"""A stored model that is not exactly what it should be is refused, and nothing of it has run."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline as chain
from slipway_model_server.digest import artifact_digest
from slipway_model_server.trust import ModelRefused, Served, check_model, load_model

from tests.model_server import wire
from tests.model_server.conftest import labels, store
from tests.model_server.server import Server

MARKER_VARIABLE = "SLIPWAY_TEST_MARKER"


class Leaving(BaseEstimator, TransformerMixin):
    """A step that makes a folder when skops gives it its state: proof that something of a model ran."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        Path(os.environ[MARKER_VARIABLE]).mkdir(exist_ok=True)
        self.__dict__.update(state)

    def fit(self, x: Any, y: Any = None) -> "Leaving":
        self.seen_ = True
        return self

    def transform(self, x: Any) -> Any:
        return x[["hour"]]


class Pickled(Leaving):
    """The same for pickle, without needing this module in the process that loads it."""

    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ[MARKER_VARIABLE],)


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "something-ran"
    monkeypatch.setenv(MARKER_VARIABLE, str(path))
    return path


def test_a_model_as_stored_loads_with_its_columns_and_classes(
    stored: Path, pipeline: Any, frame: Any
) -> None:
    model = load_model(stored, artifact_digest(stored))
    assert model.columns["hour"] == Served("int64", nullable=False)
    assert model.columns["wet"] == Served("bool", nullable=True)
    assert list(model.columns) == list(frame)
    assert model.classes == ("früh", "late", "on time")
    assert model.golden is None
    np.testing.assert_array_equal(model.pipeline.predict(frame), pipeline.predict(frame))


def test_it_also_loads_with_plain_mlflow_as_sklearn_and_as_pyfunc(
    stored: Path, pipeline: Any, frame: Any
) -> None:
    expected = pipeline.predict(frame)
    np.testing.assert_array_equal(mlflow.sklearn.load_model(str(stored)).predict(frame), expected)
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(str(stored)).predict(frame), expected)


def test_golden_rows_stored_with_the_model_are_found(tmp_path: Path, pipeline: Any, frame: Any) -> None:
    golden = tmp_path / "golden.json"
    golden.write_text("{}")
    folder = store(pipeline, tmp_path / "model", frame, extra_files=[str(golden)])
    found = load_model(folder, artifact_digest(folder)).golden
    assert found is not None
    assert found.read_text() == "{}"


@pytest.mark.parametrize("spoil", ["model.skops", "MLmodel", "requirements.txt", "added.txt"])
def test_any_changed_or_added_file_changes_the_digest(copy_of: Callable[[], Path], spoil: str) -> None:
    folder = copy_of()
    digest = artifact_digest(folder)
    assert artifact_digest(folder) == digest
    with (folder / spoil).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ModelRefused, match="the files have changed"):
        load_model(folder, digest)


def test_a_renamed_file_changes_the_digest(copy_of: Callable[[], Path]) -> None:
    folder = copy_of()
    digest = artifact_digest(folder)
    (folder / "requirements.txt").rename(folder / "requirements.tx")
    assert artifact_digest(folder) != digest


def test_a_person_who_loads_the_registered_model_with_mlflow_does_not_change_the_digest(
    pipeline: Any, frame: Any, tmp_path: Path
) -> None:
    """MLflow writes `registered_model_meta` into the stored folder itself when it lies on this machine."""
    folder = store(pipeline, tmp_path / "model", frame)
    digest = artifact_digest(folder)
    address = f"sqlite:///{tmp_path}/mlflow.db"
    registry = mlflow.MlflowClient(address, address)
    registry.create_registered_model("flowers")
    registry.create_model_version("flowers", str(folder))
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    try:
        mlflow.sklearn.load_model("models:/flowers/1")
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
    assert (folder / "registered_model_meta").exists()
    assert artifact_digest(folder) == digest


def test_without_a_digest_nothing_is_loaded(stored: Path) -> None:
    with pytest.raises(ModelRefused, match="no digest was given"):
        load_model(stored, "")


def test_links_out_of_the_folder_are_refused(copy_of: Callable[[], Path], tmp_path: Path) -> None:
    folder = copy_of()
    elsewhere = tmp_path / "elsewhere.skops"
    (folder / "model.skops").rename(elsewhere)
    (folder / "model.skops").symlink_to(elsewhere)
    with pytest.raises(ModelRefused, match=r"model\.skops: is a symbolic link"):
        artifact_digest(folder)
    with pytest.raises(ModelRefused, match=r"model\.skops: is a symbolic link"):
        load_model(folder, "sha256:0")


def rewrite(folder: Path, flavor: str, key: str, value: Any) -> None:
    document = yaml.safe_load((folder / "MLmodel").read_text())
    document["flavors"][flavor][key] = value
    (folder / "MLmodel").write_text(yaml.safe_dump(document))


@pytest.mark.parametrize(
    ("flavor", "key", "value", "said"),
    [
        ("python_function", "loader_module", "os", "loader_module is 'os', allowed is 'mlflow.sklearn'"),
        ("python_function", "model_path", "../model.skops", r"model_path is '\.\./model\.skops'"),
        ("python_function", "code", "code", "code is 'code'"),
        ("python_function", "predict_fn", "score", "predict_fn is 'score'"),
        ("python_function", "config", {"a": 1}, "config is not allowed"),
        ("sklearn", "code", "code", "code is 'code'"),
        ("sklearn", "code_paths", ["x"], "code_paths is not allowed"),
        ("sklearn", "pickled_model", "../../evil.skops", r"pickled_model is '\.\./\.\./evil\.skops'"),
        ("sklearn", "pickled_model", "/tmp/evil.skops", "pickled_model is '/tmp/evil.skops'"),
        ("sklearn", "serialization_format", "cloudpickle", "serialization_format is 'cloudpickle'"),
        (
            "sklearn",
            "skops_trusted_types",
            ["os.system"],
            "types trusted that our table does not have: os.system",
        ),
        ("sklearn", "skops_trusted_types", "os.system", "skops_trusted_types is not a list"),
    ],
)
def test_an_mlmodel_file_that_asks_for_anything_else_is_refused(
    copy_of: Callable[[], Path], flavor: str, key: str, value: Any, said: str
) -> None:
    folder = copy_of()
    rewrite(folder, flavor, key, value)
    with pytest.raises(ModelRefused, match=said):
        check_model(folder, artifact_digest(folder))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "has no flavor sklearn"),
        ("flavors: {sklearn: {}}", "serialization_format is missing|pickled_model is missing"),
        (
            "flavors: {sklearn: {pickled_model: model.skops, serialization_format: skops}, spark: {}}",
            "'spark'",
        ),
        ("flavors: {sklearn: {pickled_model: model.skops, serialization_format: skops}}", "has no signature"),
        ("flavors: !!python/object/apply:os.getcwd []", "is not plain YAML"),
        ("{", "is not plain YAML"),
    ],
)
def test_an_mlmodel_file_that_is_something_else_is_refused(
    copy_of: Callable[[], Path], text: str, said: str
) -> None:
    folder = copy_of()
    (folder / "MLmodel").write_text(text)
    with pytest.raises(ModelRefused, match=said):
        check_model(folder, artifact_digest(folder))


@pytest.mark.parametrize("kind", ["integer", "float", "binary", "object"])
def test_a_signature_with_a_type_we_do_not_serve_is_refused(copy_of: Callable[[], Path], kind: str) -> None:
    folder = copy_of()
    document = yaml.safe_load((folder / "MLmodel").read_text())
    document["signature"]["inputs"] = document["signature"]["inputs"].replace('"long"', f'"{kind}"')
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    with pytest.raises(ModelRefused, match=f"column 'hour' has type '{kind}'"):
        check_model(folder, artifact_digest(folder))


@pytest.mark.parametrize("content", [b"", b"PK not a zip", b"\x80\x04N."])
def test_a_file_that_is_not_skops_is_refused(copy_of: Callable[[], Path], content: bytes) -> None:
    folder = copy_of()
    (folder / "model.skops").write_bytes(content)
    with pytest.raises(ModelRefused, match="cannot be read as a skops file"):
        check_model(folder, artifact_digest(folder))


def test_a_signature_of_other_columns_than_the_model_was_fitted_on_is_refused(
    copy_of: Callable[[], Path],
) -> None:
    folder = copy_of()
    document = yaml.safe_load((folder / "MLmodel").read_text())
    document["signature"]["inputs"] = document["signature"]["inputs"].replace('"hour"', '"minute"')
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    with pytest.raises(ModelRefused, match="signature has the columns carrier, distance, minute"):
        load_model(folder, artifact_digest(folder))


def test_anything_but_a_pipeline_is_refused(frame: pd.DataFrame, tmp_path: Path) -> None:
    alone = LogisticRegression().fit(frame[["hour"]], labels(frame))
    folder = store(alone, tmp_path / "model", frame[["hour"]])
    with pytest.raises(ModelRefused, match="holds a LogisticRegression, not a Pipeline"):
        load_model(folder, artifact_digest(folder))


def test_an_unknown_type_is_refused_though_the_model_trusts_it_and_nothing_has_run(
    frame: pd.DataFrame, marker: Path, tmp_path: Path
) -> None:
    evil = chain(Leaving(), LogisticRegression()).fit(frame, labels(frame))
    types = skops.io.get_untrusted_types(data=skops.io.dumps(evil))
    assert types == ["tests.model_server.test_trust.Leaving"]
    folder = tmp_path / "model"
    mlflow.sklearn.save_model(
        evil,
        folder,
        serialization_format="skops",
        skops_trusted_types=types,
        signature=mlflow.models.infer_signature(frame[["hour"]]),
        pip_requirements=["scikit-learn"],
    )
    marker.rmdir()  # MLflow loads what it has just saved

    with pytest.raises(ModelRefused, match=r"wants types trusted that our table does not have: .*Leaving"):
        load_model(folder, artifact_digest(folder))
    rewrite(folder, "sklearn", "skops_trusted_types", [])
    with pytest.raises(
        ModelRefused, match=r"model\.skops: holds types that our table does not have: .*Leaving"
    ):
        load_model(folder, artifact_digest(folder))
    assert not marker.exists()

    skops.io.load(folder / "model.skops", trusted=types)
    assert marker.exists()  # so the marker would have shown it


def store_pickle(frame: pd.DataFrame, folder: Path) -> Path:
    evil = chain(Pickled(), LogisticRegression()).fit(frame, labels(frame))
    mlflow.sklearn.save_model(
        evil,
        folder,
        serialization_format="pickle",
        signature=mlflow.models.infer_signature(frame[["hour"]]),
        pip_requirements=["scikit-learn"],
    )
    return folder


def test_a_pickle_model_is_refused_and_nothing_has_run(
    frame: pd.DataFrame, marker: Path, tmp_path: Path
) -> None:
    folder = store_pickle(frame, tmp_path / "model")
    with pytest.raises(ModelRefused, match="serialization_format is 'pickle', allowed is 'skops'"):
        load_model(folder, artifact_digest(folder))
    assert not marker.exists()
    with (folder / "model.pkl").open("rb") as file:
        pickle.load(file)
    assert marker.exists()


def test_a_server_refuses_a_pickle_a_changed_model_and_one_that_trusts_itself_and_goes_on_serving(
    served: Server,
    stored: Path,
    copy_of: Callable[[], Path],
    frame: pd.DataFrame,
    marker: Path,
    tmp_path: Path,
) -> None:
    before = served.infer("flights", wire.rest_inputs(frame)).json()["outputs"]

    pickle_folder = store_pickle(frame, tmp_path / "pickled")
    pickled = served.load("flights", pickle_folder)
    digest = artifact_digest(stored)
    changed = copy_of()
    rewrite(changed, "sklearn", "skops_trusted_types", ["posix.mkdir"])
    tampered = served.load("flights", changed, digest)
    exchanged = served.load("flights", pickle_folder, digest)
    trusting = served.load("flights", changed)
    new_name = served.load("flights-candidate-2", changed, digest)

    assert "model flights refused: MLmodel: flavors.sklearn.serialization_format is 'pickle'" in pickled.text
    assert "the files have changed" in tampered.text
    assert "the files have changed" in exchanged.text
    assert "wants types trusted that our table does not have: posix.mkdir" in trusting.text
    assert [a.status_code for a in (pickled, tampered, exchanged, trusting, new_name)] == [422] * 5
    assert not marker.exists()
    assert not served.ready("flights-candidate-2")
    assert served.infer("flights", wire.rest_inputs(frame)).json()["outputs"] == before
