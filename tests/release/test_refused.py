"""What a release must not trust, whatever the registry says: refused before anything loads it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from flows.release import release
from tasks import artifacts
from tasks.errors import RegistryError, ServingError
from tasks.serving import Predictor, serving
from tasks.spec_schema import ServingSpec
from tests.release.model import go_live, name_of, publish, state_of


@pytest.fixture(scope="module")
def live(home: Path, specs: Callable[..., str]) -> str:
    """A model whose version 1 is live, and stays so whatever these tests do."""
    model = specs("live")
    go_live(publish(model))
    return model


def refuse(model: str, number: int, match: str) -> None:
    before = state_of(model)
    with pytest.raises(RegistryError, match=match) as caught:
        release(model, version=number)
    assert f"{name_of(model)} version {number}" in str(caught.value)
    assert state_of(model) == before


def test_a_model_altered_after_registration(live: str) -> None:
    version = publish(live, 0.01, own=True)
    path = artifacts.download(version) / "model.skops"
    path.write_bytes(path.read_bytes() + b"x")

    refuse(live, version.number, "the files have changed")


def test_golden_rows_altered_after_registration(live: str) -> None:
    version = publish(live, 0.01, own=True)
    path = artifacts.download(version) / "extra_files" / "golden.json"
    golden = json.loads(path.read_text())
    golden["labels"] = golden["labels"][::-1]
    path.write_text(json.dumps(golden))

    refuse(live, version.number, "the files have changed")


def test_force_does_not_excuse_altered_artifacts(live: str) -> None:
    version = publish(live, 0.01, own=True)
    path = artifacts.download(version) / "MLmodel"
    path.write_text(path.read_text() + "\n# changed\n")

    with pytest.raises(RegistryError, match="the files have changed"):
        release(live, version=version.number, force=True, reason="I am in a hurry")


def test_the_server_checks_the_digest_again(live: str) -> None:
    """Whatever it was told by whom: it never loads what is not what it was given the digest of."""
    version = publish(live, 0.01, own=True)
    path = artifacts.download(version) / "model.skops"
    path.write_bytes(path.read_bytes() + b"x")

    with pytest.raises(ServingError, match=r"the server answered 422 .*the files have changed"):
        serving().start_candidate(
            version.model, Predictor(2, version.digest or "", version.uri), ServingSpec()
        )

    serving().retire_candidates(version.model)
    assert state_of(live).predictors == (version.model,)


def pickle_model(folder: Path) -> None:
    """A pickle that leaves a mark when loaded, declared as MLflow declares pickles."""
    code = f"cos\nsystem\n(S'touch {folder}/loaded'\ntR."
    (folder / "model.pkl").write_bytes(code.encode())
    (folder / "model.skops").unlink()
    edit(folder, "sklearn", pickled_model="model.pkl", serialization_format="cloudpickle")
    edit(folder, "python_function", model_path="model.pkl")


def self_trusting(folder: Path) -> None:
    edit(folder, "sklearn", skops_trusted_types=["os.system"])


def foreign_loader(folder: Path) -> None:
    edit(folder, "python_function", loader_module="evil")


def edit(folder: Path, flavor: str, **changes: object) -> None:
    """Change what the model's own MLmodel file says of one flavor."""
    document = yaml.safe_load((folder / "MLmodel").read_text())
    document["flavors"][flavor].update(changes)
    (folder / "MLmodel").write_text(yaml.safe_dump(document))


@pytest.mark.parametrize("plant", [pickle_model, self_trusting, foreign_loader])
def test_a_hostile_model_with_a_gate_record_of_its_own(live: str, plant: Callable[[Path], None]) -> None:
    """Registered with its own true digest: only what it is can give it away."""
    version = publish(live, 0.01, plant=plant)

    refuse(live, version.number, "is refused")

    assert not (artifacts.download(version) / "loaded").exists()


def test_a_model_without_golden_rows(live: str) -> None:
    version = publish(live, plant=lambda folder: (folder / "extra_files" / "golden.json").unlink())

    refuse(live, version.number, "has no golden rows")
