"""The three engines: how each reads the files of a source, and writes prepared rows as parquet.

Every engine reads parquet: CSV is converted first (by polars, streaming), so that a column has the same type
whatever the engine. pandas gets Arrow-backed columns, in which null means what it means to the others (they
lack `%`).
"""

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import sources, store
from tasks.errors import SourceError
from tasks.frames import PreparedColumn, arrow_schema
from tasks.sources import SourceFiles
from tasks.spec import Engine

if TYPE_CHECKING:
    import narwhals as nw

ROW_GROUP = 65_536


def read(engine: Engine, source: SourceFiles) -> Any:
    """The source as the engine's own frame: pandas DataFrame, polars LazyFrame, Spark DataFrame.

    Raises SourceError if a file cannot be read, if files differ in their columns, or if there are no rows.
    """
    paths = sources.local_files(source)
    if source.format == "csv":
        paths = [_csv_as_parquet(source, paths)]
    _check_files(source, paths)
    names = [str(path) for path in paths]
    if engine == "pandas":
        import pandas as pd
        import pyarrow.parquet as pq

        table = pq.read_table(names if len(names) > 1 else names[0], partitioning=None)
        return table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    if engine == "polars":
        import polars as pl

        return pl.scan_parquet(names, hive_partitioning=False, glob=False)
    from tasks import spark

    return spark.session().read.parquet(*(f"file://{name}" for name in names))


def write(
    engine: Engine,
    frame: "nw.LazyFrame[Any]",
    columns: Sequence[PreparedColumn],
    keys: Sequence[str],
    folder: Path,
) -> None:
    """Write `frame` (with exactly `columns`) sorted by `keys` as parquet files that sort by name in `folder`."""
    native = frame.to_native()
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
        native.sort(*keys).write.parquet(f"file://{folder}")
        for path in folder.iterdir():
            if path.suffix != ".parquet":
                path.unlink()


def _check_files(source: SourceFiles, paths: Sequence[Path]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, first = 0, None
    for path, file in zip(paths, source.files, strict=False):
        try:
            with pq.ParquetFile(path) as parquet:
                rows += parquet.metadata.num_rows
                schema = parquet.schema_arrow
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
