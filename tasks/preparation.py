"""From a snapshot to prepared rows: parquet in the store, found again by a key of all that can change it.

Below `prepared/NAME/KEY/` each writer writes a folder of its own, and then the marker `_complete.json`, which
names that folder, its files and their sizes. Without a marker, or with a file missing, there is nothing; two
writers at once do no harm. Who uses the rows writes the marker again, so that its age says when that was last.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import engines, frames, sources, store
from tasks.errors import DataError, PreparationError, SlipwayError, SourceError
from tasks.frames import PreparedColumn
from tasks.functions import Function, Functions, code_hash, load_functions, needed_sources
from tasks.settings import settings
from tasks.sources import Snapshot
from tasks.spec import Engine, ModelSpec

if TYPE_CHECKING:
    import narwhals as nw
    import pandas as pd

__all__ = ["Functions", "Prepared", "code_hash", "load_functions", "prepare", "read_batches", "read_prepared"]

MARKER = "_complete.json"
PACKAGES: dict[Engine, str] = {"pandas": "pandas", "polars": "polars", "spark": "pyspark"}


@dataclass(frozen=True)
class Prepared:
    """Prepared rows: parquet `files` (sorted by the spec's key, in this order) with `columns`; `rows` in all.

    `cached`: they were there already.
    """

    uri: str
    key: str
    rows: int
    cached: bool
    columns: tuple[PreparedColumn, ...]
    files: tuple[str, ...]


def prepared_key(spec: ModelSpec, snapshot: Snapshot, engine: Engine, code: str, *, with_target: bool) -> str:
    """Hex key of everything that can change the prepared rows. `code` is the code hash."""
    relevant = spec.model_dump(mode="json", include={"features", "frames", "target", "key", "problem"})
    columns = [(name, column.type, column.nullable) for name, column in spec.columns.items()]
    versions = [_installed(package) for package in (PACKAGES[engine], "narwhals")]
    parts = [relevant, columns, spec.extra_columns, snapshot.fingerprint, engine, versions, code, with_target]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


@lru_cache(maxsize=8)
def _installed(package: str) -> str:
    return importlib.metadata.version(package)


def prepare(spec: ModelSpec, snapshot: Snapshot, engine: Engine, *, with_target: bool) -> Prepared:
    """Prepared rows of `snapshot`, computed only if the store has none yet.

    Raises SourceError (also if a source changed meanwhile), PreparationError for a failing function, DataError
    for columns of another type and for null or duplicate keys; SlipwayError if the store cannot be written.
    """
    key = prepared_key(spec, snapshot, engine, code_hash(spec), with_target=with_target)
    place = store.join(settings().store_root, "prepared", spec.name, key)
    if (found := _completed(place, key)) is not None:
        return found
    part = f"rows-{uuid.uuid4().hex[:12]}"
    in_place = engines.in_place(engine)
    with _staging(store.join(place, part), in_place=in_place) as folder:
        with store.writing(place), engines.working(engine):
            columns = _compute(spec, snapshot, engine, folder, with_target=with_target)
        files = store.sizes(folder)
        rows = _check_keys(spec, _fetched(folder, list(files)))
        sources.check_unchanged(snapshot, objects=in_place)
        marker = {
            "folder": part,
            "rows": rows,
            "files": {file.rsplit("/", 1)[1]: size for file, size in files.items()},
            "columns": [dataclasses.astuple(column) for column in columns],
        }
        if store.is_s3(place) and not store.is_s3(folder):
            store.upload(Path(folder), store.join(place, part))
        store.write_bytes(_marker(place), json.dumps(marker).encode())
    _sweep(place, part)
    return _prepared(place, key, marker, cached=False)


def _sweep(place: str, part: str) -> None:
    """Remove what writers of an earlier day left unfinished."""
    if store.is_s3(place):
        own = store.join(place, part)
        for file in store.older(place, store.DAY):
            if file.startswith(store.join(place, "rows-")) and not file.startswith(f"{own}/"):
                store.delete(file)
        return
    for folder in Path(place).glob("rows-*"):
        if folder.name != part and folder.stat().st_mtime < time.time() - store.DAY:
            shutil.rmtree(folder, ignore_errors=True)


def _marker(place: str) -> str:
    return store.join(place, MARKER)


def _completed(place: str, key: str) -> Prepared | None:
    """What lies complete at `place`, or None: no marker, or a file that is missing or of another size."""
    if not store.exists(_marker(place)):
        return None
    body = store.read_bytes(_marker(place))
    marker = json.loads(body)
    found = store.sizes(store.join(place, marker["folder"]))
    wanted = {store.join(place, marker["folder"], name): size for name, size in marker["files"].items()}
    if found != wanted:
        return None
    if store.older(_marker(place), store.DAY):
        store.write_bytes(_marker(place), body)
    return _prepared(place, key, marker, cached=True)


def _prepared(place: str, key: str, marker: Mapping[str, Any], *, cached: bool) -> Prepared:
    uri = store.join(place, marker["folder"])
    columns = tuple(PreparedColumn(*column) for column in marker["columns"])
    files = tuple(store.join(uri, name) for name in marker["files"])
    return Prepared(uri, key, marker["rows"], cached, columns, files)


@contextmanager
def _staging(uri: str, *, in_place: bool) -> Iterator[str]:
    """The folder to write: the one at `uri` itself, or one to upload from. Removed if something fails."""
    if store.is_s3(uri) and not in_place:
        with tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
            yield str(Path(scratch) / "rows")
        return
    if not store.is_s3(uri):
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
    try:
        yield uri
    except BaseException:
        with suppress(SlipwayError, OSError):  # what is left has no marker, so it is nothing
            store.delete(uri)
        raise


def _compute(
    spec: ModelSpec, snapshot: Snapshot, engine: Engine, folder: str, *, with_target: bool
) -> tuple[PreparedColumn, ...]:
    import narwhals as nw

    functions = load_functions(spec)
    needed = set(needed_sources(spec, functions.prepare))
    if with_target:
        needed |= set(needed_sources(spec, functions.target) if functions.target else spec.sources)
    native = {
        name: engines.read(engine, source) for name, source in snapshot.sources.items() if name in needed
    }
    seen = {
        name: list(frame.columns if engine != "polars" else frame.collect_schema())
        for name, frame in native.items()
    }
    with _explained(spec, snapshot, seen):
        uniform = {name: frames.nan_is_null(nw.from_native(frame).lazy()) for name, frame in native.items()}
        given = uniform if spec.frames == "narwhals" else native
        frame = _call(spec, functions.prepare, given)
        if with_target:
            if functions.target is not None:
                target = _call(spec, functions.target, given)
            else:
                target = uniform[frames.target_source(spec, seen)].select(*spec.key, str(spec.target))
            frame = frames.with_target(spec, _named(spec, frame), target)
        columns = frames.wanted_columns(spec, frame.collect_schema(), with_target=with_target)
        engines.write(engine, frames.conform(frame, columns), columns, spec.key, folder)
    return columns


def _named(spec: ModelSpec, frame: "nw.LazyFrame[Any]") -> "nw.LazyFrame[Any]":
    """`frame` with the columns that are wanted, as far as it has them."""
    found = set(frame.collect_schema().names())
    return frame.select([name for name in (*spec.columns, *spec.extra_columns) if name in found])


def _call(spec: ModelSpec, function: Function, given: Mapping[str, Any]) -> "nw.LazyFrame[Any]":
    import narwhals as nw

    result = function(**{name: given[name] for name in needed_sources(spec, function)})
    try:
        frame: nw.LazyFrame[Any] = nw.from_native(result).lazy()
    except TypeError as error:
        raise PreparationError(
            f"{spec.features}.{function.__name__}", f"returns {type(result).__name__}", "Return a frame."
        ) from error
    return frame


@contextmanager
def _explained(spec: ModelSpec, snapshot: Snapshot, seen: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Turns what the model's functions, or the engine that runs them, raise into an error of ours."""
    try:
        yield
    except SlipwayError:
        raise
    except Exception as error:
        if store.is_full(error):
            raise
        if (missing := _missing_column(error)) is not None:
            held = "; ".join(
                f"{snapshot.sources[name].uri}: {', '.join(columns)}" for name, columns in seen.items()
            )
            raise SourceError(
                f"sources of {spec.name}",
                f"{spec.features} uses a column that is missing: {missing} (found: {held})",
                "Fix the source, or the function.",
            ) from error
        words = " ".join(str(error).split())[:500]
        lacks = isinstance(error, NotImplementedError)  # e.g. `%` on pandas' Arrow columns
        raise PreparationError(
            spec.features,
            f"fails with {type(error).__name__}: {words}",
            "This engine cannot do it: write it otherwise (a % b as a - a // b * b), or take another engine."
            if lacks
            else "Correct the function.",
        ) from error


def _missing_column(error: BaseException) -> str | None:
    """What an engine says about a column that is not there; None for any other error. Each has its own kind."""
    found: str | None = None
    at: BaseException | None = error
    while at is not None:
        unresolved = type(at).__name__ == "AnalysisException" and "UNRESOLVED_COLUMN" in str(at)
        if unresolved or type(at).__name__ == "ColumnNotFoundError" or isinstance(at, KeyError):
            found = next(iter(str(at).strip().splitlines()), type(at).__name__)
        at = at.__cause__ or at.__context__
    return found


def _check_keys(spec: ModelSpec, files: Sequence[Path]) -> int:
    """The number of rows. Raises DataError if a key is null, or two rows share one (files are sorted by it)."""
    import polars as pl

    keys = pl.scan_parquet(list(files), glob=False).select(spec.key)
    null = pl.any_horizontal(pl.col(key).is_null() for key in spec.key)
    twice = pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in spec.key)
    counts = keys.select(rows=pl.len(), null=null.sum(), twice=twice.sum()).collect(engine="streaming").row(0)
    for rule, expression, count in (
        ("is null", null, counts[1]),
        ("is shared by two rows", twice, counts[2]),
    ):
        if count:
            sample = keys.filter(expression).head(3).collect().to_dicts()
            raise DataError(
                f"key ({', '.join(spec.key)}) of model {spec.name}",
                f"{rule}: {count} of {counts[0]} rows, e.g. {'; '.join(map(str, sample))}",
                "Correct the source, or the spec's 'key'; a join may also have multiplied rows.",
            )
    return int(counts[0])


def local_files(prepared: Prepared) -> list[Path]:
    """The parquet files on this machine, fetched from S3 if they lie there."""
    return _fetched(prepared.uri, prepared.files)


def _fetched(uri: str, files: Sequence[str]) -> list[Path]:
    if not store.is_s3(uri):
        return [Path(file) for file in files]
    folder = settings().home / "cache" / "prepared" / hashlib.sha256(uri.encode()).hexdigest()[:40]
    paths = [folder / file.rsplit("/", 1)[1] for file in files]
    for path, file in zip(paths, files, strict=True):
        if not path.exists():
            store.write_bytes(str(path), store.read_bytes(file))
    return paths


def read_prepared(prepared: Prepared, columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """All rows as the canonical pandas frame (see `frames.canonical`), in the order of the keys."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pq.read_table(file, columns=columns, partitioning=None) for file in local_files(prepared)]
    return frames.canonical(pa.concat_tables(tables), prepared.columns)


def read_batches(prepared: Prepared, rows: int) -> "Iterator[pd.DataFrame]":
    """The same, at most `rows` rows at a time; memory does not grow with their number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in local_files(prepared):
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(rows):
                yield frames.canonical(pa.Table.from_batches([batch]), prepared.columns)
