"""Batch scoring: the champion's predictions as parquet at a destination, with the version and run recorded.

A destination is a folder with part files and `_run.json`, which names them. It is written beside and
switched: until all is there, what was there before stays.
"""

import ctypes
import dataclasses
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks import prediction, store
from tasks.errors import RegistryError, SlipwayError, SpecError
from tasks.prediction import NewCategories, StoredModel
from tasks.preparation import Prepared
from tasks.spec import Engine, ModelSpec

RUN = "_run.json"


@dataclass(frozen=True)
class Champion:
    """The version that scores: `number`, and its artifacts on this machine."""

    model: str
    number: int
    stored: StoredModel


@dataclass(frozen=True)
class ScoreResult:
    """What a score run did. `snapshot` is the fingerprint of the sources; `new_categories` by column."""

    model: str
    version: int
    digest: str
    run_id: str
    engine: Engine
    snapshot: str
    destination: str
    rows: int
    new_categories: dict[str, NewCategories]


def destination_uri(destination: str) -> str:
    """Where the predictions go. Raises SpecError if something else than predictions lies there."""
    uri = store.resolve(destination, Path.cwd())
    if (
        store.exists(uri)
        and not store.exists(store.join(uri, RUN))
        and (other := _first_file(uri)) is not None
    ):
        raise SpecError(
            uri,
            f"holds something else than predictions ({other})",
            "Name a new folder, or an earlier destination.",
        )
    return uri


def _first_file(uri: str) -> str | None:
    """Something at or in `uri`; of a local folder only the top is looked at, as it may be large."""
    if store.is_s3(uri) or Path(uri).is_file():
        return next(iter(store.list_files(uri)), None)
    with store.reading(uri):
        return next((str(path) for path in Path(uri).iterdir()), None)


def find_champion(model: str) -> Champion:
    """The champion's artifacts, fetched and not yet trusted. Raises RegistryError if there is none."""
    from tasks import artifacts, tracking

    version = tracking.alias(model, "champion")
    if version is None:
        raise RegistryError(f"model {model}", "has no champion", f"Run `slipway retrain {model}` first.")
    record = tracking.read_record(version)
    return Champion(model, version.number, StoredModel(artifacts.download(version), record.digest))


def write_predictions(
    spec: ModelSpec,
    prepared: Prepared,
    champion: Champion,
    engine: Engine,
    destination: str,
    run_id: str,
    snapshot: str,
) -> ScoreResult:
    """Predict every prepared row and switch `destination` to the result.

    Raises DataError before anything is written if the champion takes other columns, RegistryError if its
    artifacts are not what was registered, SlipwayError if the destination cannot be written.
    """
    plan = prediction.plan(champion.stored, prepared, spec.key)
    unknown = prediction.new_categories(champion.stored, prepared)
    result = ScoreResult(
        model=champion.model, version=champion.number, digest=champion.stored.digest, run_id=run_id, engine=engine,
        snapshot=snapshot, destination=destination, rows=prepared.rows, new_categories=unknown,
    )  # fmt: skip
    recorded = {"model": result.model, "version": result.version, "digest": result.digest, "run_id": run_id}
    write = prediction.write_on_spark if engine == "spark" else prediction.write_batches
    with _switched(destination) as folder:
        rows = write(plan, prepared, folder, json.dumps(recorded).encode())
        if rows != prepared.rows:
            raise SlipwayError(destination, f"{rows} of {prepared.rows} rows were predicted", "Run again.")
        for index, path in enumerate(sorted(folder.iterdir())):
            path.rename(folder / f"part-{index:05d}-{run_id[:8]}.parquet")
        about = dataclasses.asdict(result) | {
            "files": sorted(path.name for path in folder.iterdir()),
            "written_at": datetime.now(UTC).isoformat(),
        }
        (folder / RUN).write_text(json.dumps(about, indent=2))
    return result


@contextmanager
def _switched(uri: str) -> Iterator[Path]:
    """A folder to write to; when the block ends well it takes the place of what is at `uri`."""
    with store.writing(uri):
        if store.is_s3(uri):
            with tempfile.TemporaryDirectory(prefix="slipway-score-") as scratch:
                yield Path(scratch) / "new"
                _switch_s3(Path(scratch) / "new", uri)
            return
        destination = Path(uri)
        destination.parent.mkdir(parents=True, exist_ok=True)
        beside = destination.with_name(f".{destination.name}.{uuid.uuid4().hex[:12]}")
        try:
            yield beside
            switch(beside, destination)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def switch(new: Path, destination: Path) -> None:
    """Put the folder `new` in the place of `destination`, atomically where the system can (Linux can)."""
    if not destination.exists():
        new.rename(destination)
    elif not _exchange(new, destination):
        old = destination.with_name(f"{new.name}.old")
        destination.rename(old)
        new.rename(destination)
        shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders with renameat2(RENAME_EXCHANGE); False if this system or file system has no such call."""
    here, exchange = -100, 2
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return call is not None and call(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def _switch_s3(new: Path, uri: str) -> None:
    """New parts first, then `_run.json`, which names them, then the old parts go."""
    old = set(store.list_files(uri))
    run = new / RUN
    about = run.read_bytes()
    run.unlink()
    try:
        store.upload(new, uri)
    except BaseException:
        for file in set(store.list_files(uri)) - old:
            store.delete(file)
        raise
    store.write_bytes(store.join(uri, RUN), about)
    wanted = {store.join(uri, path.name) for path in new.iterdir()} | {store.join(uri, RUN)}
    for file in old - wanted:
        store.delete(file)
