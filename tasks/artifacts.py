"""The stored files of a registered version: fetched, and loaded only after they were checked."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import store, tracking
from tasks.errors import RegistryError
from tasks.tracking import Version

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def download(version: Version) -> Path:
    """A local folder with the artifacts of `version`: the stored one itself when it is local.

    Nothing is checked or loaded here: give the folder to `slipway_model_server.trust`.
    """
    if not version.uri.startswith("s3://"):
        folder = Path(version.uri)
        if not folder.is_dir():
            raise RegistryError(version.name, f"its artifacts {folder} are gone", "Restore them, or retrain.")
        return folder
    target = Path(tempfile.mkdtemp(prefix="slipway-model-"))
    for file in store.list_files(version.uri):
        place = target / file.removeprefix(version.uri).lstrip("/")
        if not place.resolve().is_relative_to(target.resolve()):
            raise RegistryError(
                version.name, f"has an artifact outside its folder: {file}", "Do not release it."
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(store.read_bytes(file))
    return target


def load_pipeline(version: Version) -> "Pipeline":
    """The fitted Pipeline of `version`, loaded only after its digest and types were checked."""
    from slipway_model_server.trust import ModelRefused, load_model

    record = tracking.read_record(version)
    try:
        return load_model(download(version), record.digest).pipeline
    except ModelRefused as error:
        raise RegistryError(
            version.name, f"is not what was registered ({error})", "Do not release it."
        ) from error
