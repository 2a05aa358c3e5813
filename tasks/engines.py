"""The three engines: how each reads the files of a source, and writes prepared rows as parquet.

pandas, polars and the embedded Spark read and write files of this machine (`sources.local_files`). On a cluster
Spark's executors read and write the S3 store themselves, `in_place`.

Every engine reads parquet: CSV is converted first (by polars, streaming), so that a column has the same type
whatever the engine. pandas gets Arrow-backed columns, in which null means what it means to the others (they
lack `%`).
"""

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import sources, store
from tasks.errors import SourceError
from tasks.frames import PreparedColumn, arrow_schema
from tasks.settings import settings
from tasks.sources import SourceFiles
from tasks.spec import Engine

if TYPE_CHECKING:
    import narwhals as nw
    import pyarrow.parquet as pq

ROW_GROUP = 65_536
FOOTER = 65_536
"""Bytes at the end of a parquet file that are read first; a footer seldom is larger."""


def read(engine: Engine, source: SourceFiles) -> Any:
    """The source as the engine's own frame: pandas DataFrame, polars LazyFrame, Spark DataFrame.

    Raises SourceError if a file cannot be read, if files differ in their columns, or if there are no rows.
    """
    names = _parquet(source, in_store=in_place(engine))
    _check_files(source, names)
    if engine == "pandas":
        import pandas as pd
        import pyarrow.parquet as pq

        table = pq.read_table(names if len(names) > 1 else names[0], partitioning=None)
        return table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    if engine == "polars":
        import polars as pl

        return pl.scan_parquet(names, hive_partitioning=False, glob=False)
    from tasks import spark

    return spark.read(names)


def write(
    engine: Engine,
    frame: "nw.LazyFrame[Any]",
    columns: Sequence[PreparedColumn],
    keys: Sequence[str],
    place: str,
) -> None:
    """Write `frame` (with exactly `columns`) sorted by `keys` as parquet files that sort by name.

    `place` is a folder that is not there yet: of this machine, or of S3 if the engine works `in_place`.
    """
    native, folder = frame.to_native(), Path(place)
    if engine == "pandas":
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir(parents=True)
        table = pa.Table.from_pandas(native, schema=arrow_schema(columns), preserve_index=False)
        table = table.replace_schema_metadata(None).sort_by([(key, "ascending") for key in keys])
        pq.write_table(table, folder / "part-00000.parquet", row_group_size=ROW_GROUP, compression="zstd")
    elif engine == "polars":
        folder.mkdir(parents=True)
        native.sort(keys).sink_parquet(
            folder / "part-00000.parquet", row_group_size=ROW_GROUP, engine="streaming"
        )
    else:
        from tasks import spark

        spark.write(native.sort(*keys), place)


def in_place(engine: Engine) -> bool:
    """Whether `engine` reads and writes the S3 store itself."""
    if engine != "spark":
        return False
    from tasks import spark

    return spark.on_store()


@contextmanager
def working(engine: Engine) -> Iterator[None]:
    """Around everything that `engine` does; may be nested. What it holds is given back when the last ends."""
    if engine != "spark":
        yield
        return
    from tasks import spark

    with spark.working():
        yield


def footer(uri: str) -> "pq.FileMetaData":
    """What a parquet file says of itself, without its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tail = store.read_tail(uri, FOOTER)
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail.endswith(b"PAR1") and length > len(tail):
        tail = store.read_tail(uri, length)
    return pq.read_metadata(pa.BufferReader(tail))


def _parquet(source: SourceFiles, *, in_store: bool) -> list[str]:
    """The source as parquet files: paths of this machine, or addresses in S3 for executors to read."""
    if not in_store:
        paths = sources.local_files(source)
        return [str(path) for path in ([_csv_as_parquet(source, paths)] if source.format == "csv" else paths)]
    if not store.is_s3(source.uri):
        raise SourceError(
            source.uri,
            "lies on the disk of the flow's pod, which Spark's executors do not see",
            "Put it in the store (store:// or s3://).",
        )
    if source.format == "parquet":
        return [file.uri for file in source.files]
    path = _csv_as_parquet(source, sources.local_files(source))
    uri = store.join(settings().store_root, "converted", path.name)
    if store.sizes(uri) != {uri: path.stat().st_size} or store.older(uri, store.DAY):  # a new one is in use
        store.copy_to_s3(str(path), uri)
    return [uri]


def _check_files(source: SourceFiles, names: Sequence[str]) -> None:
    import pyarrow as pa

    rows, first = 0, None
    for name, file in zip(names, source.files, strict=False):
        try:
            metadata = footer(name)
            rows, schema = rows + metadata.num_rows, metadata.schema.to_arrow_schema()
        except (pa.ArrowException, OSError) as error:
            raise SourceError(file.uri, f"cannot be read as parquet ({error})", "Write it again.") from error
        first = schema if first is None else first
        if not schema.equals(first, check_metadata=False):
            different = [
                f"{f.name}: {f.type}" for f in schema if f.name not in first.names or first.field(f.name) != f
            ]
            raise SourceError(
                file.uri,
                f"differs from the source's first file in {', '.join(different) or 'the order of columns'}",
                "Write all files of a source with the same columns.",
            )
    if rows == 0:
        raise SourceError(
            source.uri, "has no rows", "Write the source again; nothing can be learnt from this."
        )


def _csv_as_parquet(source: SourceFiles, paths: Sequence[Path]) -> Path:
    """The CSV files as one parquet file in this machine's cache; types are inferred from all rows."""
    import polars as pl

    identity = f"{pl.__version__} {source.fingerprint}"
    target = sources.cache_folder() / f"{hashlib.sha256(identity.encode()).hexdigest()[:40]}.parquet"
    if sources.cached(target):
        return target
    beside = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}")
    try:
        frames = [pl.scan_csv(path, infer_schema_length=None, glob=False) for path in paths]
        with store.writing(str(target)):
            pl.concat(frames, how="vertical_relaxed").sink_parquet(beside, engine="streaming")
        sources.check_files(source)
        beside.replace(target)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        seen = " ".join(str(error).split())[:300]
        raise SourceError(source.uri, f"cannot be read as CSV ({seen})", "Correct the files.") from error
    finally:
        beside.unlink(missing_ok=True)
    return target
