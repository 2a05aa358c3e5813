"""When has a retrain nothing to do: if spec, data, code, engine and locks are those of the last completed one."""

import hashlib
from pathlib import Path

from pydantic import ValidationError

from tasks import store
from tasks.results import RetrainResult
from tasks.settings import ROOT, settings
from tasks.sources import Snapshot
from tasks.spec import Engine, ModelSpec

LOCKS = (ROOT / "uv.lock", ROOT / "images" / "model-server" / "uv.lock")


def run_key(spec: ModelSpec, snapshot: Snapshot, engine: Engine, code: str) -> str:
    """Hex key of everything that can change what a retrain of `spec` finds. `code` is its code hash."""
    parts = (spec.digest, snapshot.fingerprint, engine, code, *(_file_hash(lock) for lock in LOCKS))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def last_completed(model: str) -> RetrainResult | None:
    """The result of the last completed retrain of `model`; None if there is none that this code can read."""
    place = _place(model)
    if not store.exists(place):
        return None
    try:
        return RetrainResult.model_validate_json(store.read_bytes(place))
    except ValidationError:  # written by another version of Slipway: its code hash differs anyway
        return None


def complete(result: RetrainResult) -> None:
    """Remember the result of a retrain that ran to its end."""
    store.write_bytes(_place(result.model), result.model_dump_json(indent=2).encode())


def _place(model: str) -> str:
    return store.join(settings().store_root, "completed", f"{model}.json")


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
