"""The registry side of MLflow: versions, aliases, holds, gate records.

What one run logs is in `runlog.py`, the files of a version are fetched by `artifacts.py`. A registered version
exists only together with its gate record: the record is written to the store first, and the version carries
its address and sha256 from the first moment.
"""

import hashlib
import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import unquote, urlparse

from tasks import store
from tasks.errors import PlatformError, RegistryError
from tasks.gate import GateRecord
from tasks.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.entities import PagedList
    from mlflow.tracking import MlflowClient

T = TypeVar("T")
Alias = Literal["champion", "previous"]

DIGEST = "slipway.digest"
RECORD = "slipway.gate_record"
RECORD_SHA256 = "slipway.gate_record_sha256"
RUN_KEY = "slipway.run_key"
ROLLED_BACK = "slipway.rolled_back"
HOLD = "slipway.hold"


@dataclass(frozen=True)
class Version:
    """One registered version. `digest` and `run_key` are what its tags say: check them before trusting."""

    model: str
    number: int
    run_id: str
    source: str
    tags: dict[str, str] = field(repr=False)

    @property
    def digest(self) -> str | None:
        return self.tags.get(DIGEST)

    @property
    def run_key(self) -> str | None:
        return self.tags.get(RUN_KEY)

    @property
    def rolled_back(self) -> str | None:
        """Why a rollback left this version, if one did."""
        return self.tags.get(ROLLED_BACK)

    @property
    def name(self) -> str:
        return f"{self.model} version {self.number}"

    @cached_property
    def uri(self) -> str:
        """Folder of the artifacts: a local path or `s3://`."""
        return plain_uri(client().get_model_version_download_uri(self.model, str(self.number)))


def every_page(search: "Callable[[str | None], PagedList[T]]") -> list[T]:
    """What `search` finds, all its pages; it is given the token of each."""
    found, token = list[T](), None
    while True:
        page = search(token)
        found += page
        token = page.token
        if not token:
            return found


@contextmanager
def asking(about: str) -> "Iterator[None]":
    """Turns what MLflow's client raises into a RegistryError that names what was asked about."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise RegistryError(
            about, f"MLflow did not answer as it should ({error.message})", "Run the same command again."
        ) from error


def check_server() -> None:
    """Raise PlatformError at once if MLflow does not answer, before anything is written."""
    import httpx

    url = settings().mlflow_url
    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PlatformError(
            f"MLflow server {url or '(no address)'}",
            f"does not answer ({error})",
            "Start the platform with `slipway up`, or set SLIPWAY_MLFLOW_URL.",
        ) from error


def client() -> "MlflowClient":
    """The client of the platform's MLflow server."""
    import mlflow
    from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR
    from mlflow.tracking import MlflowClient

    url = settings().mlflow_url
    if not url:
        raise PlatformError(
            "MLflow server",
            "has no address",
            "Start the platform with `slipway up`, or set SLIPWAY_MLFLOW_URL.",
        )
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it warns of a missing pip, and prints links
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # type: ignore[no-untyped-call]
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    return MlflowClient(url, url)


def versions(model: str) -> list[Version]:
    """All registered versions, newest first."""
    found = client().search_model_versions(f"name = '{model}'", max_results=10_000)
    return sorted((_version(entry) for entry in found), key=lambda version: -version.number)


def get_version(model: str, number: int) -> Version:
    from mlflow.exceptions import MlflowException

    try:
        return _version(client().get_model_version(model, str(number)))
    except MlflowException as error:
        known = ", ".join(str(version.number) for version in versions(model)) or "none"
        raise RegistryError(
            f"{model} version {number}",
            f"is not registered ({error.message}); registered: {known}",
            "Name a registered version.",
        ) from error


def alias(model: str, name: Alias) -> Version | None:
    """The version that an alias points at, or None if the alias or the model does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return _version(client().get_model_version_by_alias(model, name))
    except MlflowException as error:
        if _absent(error):
            return None
        raise


def is_registered(model: str, number: int) -> bool:
    """Whether the version is there. By plain REST: an unchanged retrain has no other need of MLflow's client."""
    import httpx

    answer = httpx.get(
        f"{settings().mlflow_url}/api/2.0/mlflow/model-versions/get",
        params={"name": model, "version": str(number)},
        auth=_login(),
        timeout=10,
    )
    return answer.is_success


def _login() -> tuple[str, str] | None:
    """Name and password for a server that asks for them; MLflow's client reads them itself."""
    found = settings()
    return (found.mlflow_user, found.mlflow_password.get_secret_value()) if found.mlflow_user else None


def set_alias(model: str, name: Alias, number: int) -> None:
    client().set_registered_model_alias(model, name, str(number))


def delete_alias(model: str, name: Alias) -> None:
    client().delete_registered_model_alias(model, name)


def tag_version(version: Version, key: str, value: str) -> None:
    client().set_model_version_tag(version.model, str(version.number), key, value)


def untag_version(version: Version, key: str) -> None:
    client().delete_model_version_tag(version.model, str(version.number), key)


def hold(model: str) -> str | None:
    """Why scheduled retrains of `model` must not release, or None."""
    from mlflow.exceptions import MlflowException

    with asking(model):
        try:
            tags: dict[str, str] = client().get_registered_model(model).tags
        except MlflowException as error:
            if _absent(error):
                return None
            raise
    return tags.get(HOLD) or None


def set_hold(model: str, reason: str) -> None:
    with asking(model):
        client().set_registered_model_tag(model, HOLD, reason)


def clear_hold(model: str) -> None:
    if hold(model) is not None:
        client().delete_registered_model_tag(model, HOLD)


def register(record: GateRecord, source: str) -> Version:
    """A new version of `record.model` for the logged model `source` (`models:/m-...`), with its gate record."""
    from mlflow.exceptions import MlflowException

    mlflow = client()
    try:
        mlflow.create_registered_model(record.model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    body = record.model_dump_json(indent=2).encode()
    place = store.join(
        settings().store_root, "records", record.model, f"{record.digest.removeprefix('sha256:')}.json"
    )
    store.write_bytes(place, body)
    tags = {
        DIGEST: record.digest,
        RECORD: place,
        RECORD_SHA256: hashlib.sha256(body).hexdigest(),
        RUN_KEY: record.run_key,
    }
    model_id = source.removeprefix("models:/")
    return _version(
        mlflow.create_model_version(record.model, source, record.run_id, tags=tags, model_id=model_id)
    )


def unreleased(model: str, run_key: str, since: "datetime | None" = None) -> Version | None:
    """The newest version, if a retrain with this run key registered it and it can still be released as judged.

    A retrain that was killed between registering and releasing goes on from here; with `since`, only with what was
    trained after that time, by an earlier attempt of a run that was told to train. Once the champion is another
    than the one it was judged against, it is not.
    """
    newest = next(iter(versions(model)), None)
    if newest is None or newest.run_key != run_key or newest.rolled_back:
        return None
    if since is not None and client().get_run(newest.run_id).info.start_time < since.timestamp() * 1000:
        return None
    try:
        judged_against = read_record(newest).champion
    except RegistryError:  # to be released by nobody: train again
        return None
    champion = alias(model, "champion")
    now = None if champion is None else champion.number
    return newest if now in (judged_against, newest.number) else None


def read_record(version: Version) -> GateRecord:
    """The gate record of `version`. RegistryError if it is missing, altered, or of another model."""
    from pydantic import ValidationError

    place, expected = version.tags.get(RECORD), version.tags.get(RECORD_SHA256)
    if not place or not expected:
        raise RegistryError(
            version.name, "has no gate record", "Release a version that `slipway retrain` registered."
        )
    root = store.join(settings().store_root, "records", version.model)
    if not place.startswith(root + "/") or ".." in place:
        raise RegistryError(
            version.name, f"names a gate record outside {root}: {place}", "Do not release this version."
        )
    if not store.exists(place):
        raise RegistryError(version.name, f"its gate record {place} is gone", "Retrain the model.")
    body = store.read_bytes(place)
    if hashlib.sha256(body).hexdigest() != expected:
        raise RegistryError(
            version.name,
            f"its gate record {place} was altered after registration",
            "Find out who did, and retrain the model.",
        )
    try:
        record = GateRecord.model_validate_json(body)
    except ValidationError as error:
        raise RegistryError(version.name, f"its gate record cannot be read ({error})", "Retrain.") from error
    if record.decision.outcome != "promote":
        raise RegistryError(
            version.name, f"its gate record says {record.decision.outcome!r}", "Do not release this version."
        )
    if record.model != version.model or record.digest != version.digest:
        raise RegistryError(
            version.name,
            f"its gate record is about {record.model} with digest {record.digest}, not {version.digest}",
            "Do not release this version; retrain the model.",
        )
    return record


def _version(entry: "ModelVersion") -> Version:
    return Version(
        model=entry.name,
        number=int(entry.version),
        run_id=entry.run_id or "",
        source=entry.source or "",
        tags=dict(entry.tags),
    )


def _absent(error: Exception) -> bool:
    """MLflow says RESOURCE_DOES_NOT_EXIST for a missing model, INVALID_PARAMETER_VALUE for a missing alias."""
    code = getattr(error, "error_code", "")
    missing_alias = code == "INVALID_PARAMETER_VALUE" and re.search(r"alias .* not found", str(error))
    return code == "RESOURCE_DOES_NOT_EXIST" or missing_alias is not None


def plain_uri(uri: str) -> str:
    """A local path or `s3://`: only the server itself can read what it calls `mlflow-artifacts:/`."""
    parsed = urlparse(uri)
    if parsed.scheme == "mlflow-artifacts":
        root = settings().artifacts
        if not root:
            raise PlatformError(uri, "cannot be read without its server", "Set SLIPWAY_ARTIFACTS.")
        return store.join(root, parsed.path)
    return unquote(parsed.path) if parsed.scheme == "file" else uri
