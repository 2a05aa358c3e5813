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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks import engines, prediction, store
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
    in_place = engines.in_place(engine)
    if in_place and not store.is_s3(destination):
        raise SpecError(
            destination,
            "lies on the disk of the flow's pod, which Spark's executors do not see",
            "Name a folder of the store (store:// or s3://).",
        )
    plan = prediction.plan(champion.stored, prepared, spec.key)
    unknown = prediction.new_categories(champion.stored, prepared)
    result = ScoreResult(
        model=champion.model, version=champion.number, digest=champion.stored.digest, run_id=run_id, engine=engine,
        snapshot=snapshot, destination=destination, rows=prepared.rows, new_categories=unknown,
    )  # fmt: skip
    recorded = {"model": result.model, "version": result.version, "digest": result.digest, "run_id": run_id}
    write = prediction.write_on_spark if engine == "spark" else prediction.write_batches
    with store.writing(destination), _beside(destination, in_place=in_place) as folder:
        with engines.working(engine):
            rows = write(plan, prepared, folder, json.dumps(recorded).encode())
        if rows != prepared.rows:
            raise SlipwayError(destination, f"{rows} of {prepared.rows} rows were predicted", "Run again.")
        written = sorted(store.list_files(folder))
        parts = {file: f"part-{index:05d}-{run_id[:8]}.parquet" for index, file in enumerate(written)}
        about = dataclasses.asdict(result) | {
            "files": list(parts.values()),
            "written_at": datetime.now(UTC).isoformat(),
        }
        if store.is_s3(destination):
            _switch_s3(parts, json.dumps(about, indent=2).encode(), destination)
        else:
            for file, name in parts.items():
                Path(file).rename(Path(folder, name))
            Path(folder, RUN).write_text(json.dumps(about, indent=2))
            switch(Path(folder), Path(destination))
    return result


@contextmanager
def _beside(uri: str, *, in_place: bool) -> Iterator[str]:
    """A folder to write to before it is switched with what is at `uri`; it is gone when the block ends."""
    if store.is_s3(uri) and not in_place:
        with tempfile.TemporaryDirectory(prefix="slipway-score-") as scratch:
            yield str(Path(scratch) / "new")
        return
    parent, _, name = uri.rpartition("/")
    if parent == "s3:/":  # a whole bucket
        parent, name = uri, ""
    folder = f"{parent}/.{name}.{uuid.uuid4().hex[:12]}"
    if not store.is_s3(uri):
        Path(parent).mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        with suppress(SlipwayError, OSError):  # nobody reads it
            store.delete(folder)


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


def _switch_s3(parts: Mapping[str, str], about: bytes, uri: str) -> None:
    """New parts (file -> name) first, then `_run.json`, which names them, then the old parts go."""
    old = set(store.list_files(uri))
    wanted = [store.join(uri, name) for name in parts.values()]
    try:
        for file, target in zip(parts, wanted, strict=True):
            store.copy_to_s3(file, target)
    except BaseException:
        for file in set(wanted) - old:
            store.delete(file)
        raise
    store.write_bytes(store.join(uri, RUN), about)
    for file in old - {*wanted, store.join(uri, RUN)}:
        store.delete(file)
