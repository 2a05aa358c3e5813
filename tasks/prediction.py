"""A champion's predictions on prepared rows, a batch at a time: in this process, or on Spark's executors."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import engines, store
from tasks.errors import DataError, RegistryError
from tasks.frames import PreparedColumn, arrow_schema, canonical
from tasks.preparation import Prepared, local_files

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from slipway_model_server.trust import Model

BATCH = 20_000
"""Rows predicted at a time."""
SHOWN = 10
"""New categories of a column that the result names."""
METADATA = "slipway"
"""Key of the run's facts, as JSON, in the parquet's metadata (under Spark: that of the column `prediction`)."""


@dataclass(frozen=True)
class StoredModel:
    """A version's artifacts in a local `folder`, and the `digest` they must have."""

    folder: Path
    digest: str


@dataclass(frozen=True)
class NewCategories:
    """Values of one column that training did not see: in how many `rows`, and the commonest of them."""

    rows: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """How rows become predictions: which model, on which columns, and the columns that come out."""

    model: StoredModel
    columns: tuple[PreparedColumn, ...]
    keys: tuple[str, ...]
    label: str
    """Arrow type of `prediction`."""
    probabilities: tuple[str, ...]

    def schema(self) -> "pa.Schema":
        """Keys, `prediction`, and for a classifier `probability_<class>` (float64) for each class."""
        import pyarrow as pa

        by_name = {column.name: column for column in self.columns}
        schema = arrow_schema(by_name[key] for key in self.keys)
        schema = schema.append(pa.field("prediction", pa.type_for_alias(self.label)))
        for name in self.probabilities:
            schema = schema.append(pa.field(name, pa.float64()))
        return schema


@functools.lru_cache(maxsize=2)
def load(model: StoredModel) -> "Model":
    """The model, checked by digest and table before anything of it is loaded; once in each process."""
    from slipway_model_server.trust import ModelRefused, load_model

    try:
        return load_model(model.folder, model.digest)
    except ModelRefused as error:
        raise RegistryError(
            f"model in {model.folder}", str(error), "Retrain, or restore its artifacts."
        ) from error


def plan(model: StoredModel, prepared: Prepared, keys: Sequence[str]) -> Plan:
    """Raises DataError if the prepared rows are not what the model takes."""
    loaded = load(model)
    check_columns(loaded, prepared)
    if loaded.classes is None:
        return Plan(model, prepared.columns, tuple(keys), "double", ())
    kinds = {bool: "bool", int: "int64", str: "string", float: "double"}
    probabilities: tuple[str, ...] = ()
    if hasattr(loaded.pipeline, "predict_proba"):
        probabilities = tuple(f"probability_{label}" for label in loaded.classes)
    return Plan(model, prepared.columns, tuple(keys), kinds[type(loaded.classes[0])], probabilities)


def check_columns(model: "Model", prepared: Prepared) -> None:
    """The champion may be older than the spec: does it take what `prepare` gives now?"""
    found = {c.name: "float64" if c.type == "int64" and c.nullable else c.type for c in prepared.columns}
    for name, column in model.columns.items():
        if found.get(name) != column.type:
            seen = f"prepared data has it as {found[name]}" if name in found else "prepared data lacks it"
            raise DataError(
                f"column {name!r}",
                f"the champion takes it as {column.type}; {seen}",
                "Retrain and release with the present spec, or score with the one it was trained with.",
            )


def predict(plan: Plan, rows: "pa.Table") -> "pa.Table":
    """n prepared rows to n rows of the plan's schema. Raises DataError if the model refuses a value."""
    import pyarrow as pa
    from slipway_model_server.predictor import Predictor

    model = load(plan.model)
    frame = canonical(rows, plan.columns)[list(model.columns)]
    try:
        labels, probability = Predictor(model.pipeline)(frame)
    except ValueError as error:
        raise DataError(
            "prepared rows", f"the champion refuses them: {error}", "Correct the source, or retrain."
        ) from error
    schema = plan.schema()
    columns = [rows[key].combine_chunks() for key in plan.keys]
    columns.append(pa.array(labels, type=schema.field("prediction").type))
    if probability is not None:
        columns += [pa.array(probability[:, index]) for index in range(len(plan.probabilities))]
    return pa.Table.from_arrays(columns, schema=schema)


def write_batches(plan: Plan, prepared: Prepared, folder: str, facts: bytes) -> int:
    """Predict batch by batch into one parquet file in `folder`; rows written. Memory does not grow with them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    Path(folder).mkdir(parents=True)
    schema = plan.schema().with_metadata({METADATA: facts})
    with pq.ParquetWriter(Path(folder, "part-00000.parquet"), schema, compression="zstd") as writer:
        for file in local_files(prepared):
            with pq.ParquetFile(file, pre_buffer=False) as parquet:
                for batch in parquet.iter_batches(BATCH):
                    writer.write_table(predict(plan, pa.Table.from_batches([batch])))
                    rows += batch.num_rows
    return rows


def write_on_spark(plan: Plan, prepared: Prepared, folder: str, facts: bytes) -> int:
    """The same on Spark's executors, each of which loads the model once; one file a partition."""
    from pyspark.sql.pandas.types import from_arrow_schema

    from tasks import spark

    context = spark.session().sparkContext
    context.addArchive(f"{_shipped(plan.model)}#{_shipped_name(plan.model)}")
    files = prepared.files if spark.on_store() else [str(path) for path in local_files(prepared)]
    schema = from_arrow_schema(plan.schema(), prefer_timestamp_ntz=True)
    answers = spark.read(files).mapInArrow(functools.partial(_on_executor, plan), schema)
    spark.write(answers.withMetadata("prediction", {METADATA: facts.decode()}), folder)
    return sum(engines.footer(file).num_rows for file in store.list_files(folder))


@functools.lru_cache(maxsize=8)
def _shipped(model: StoredModel) -> str:
    """The model's folder as one file, under a name that holds its digest, to be sent to executors once."""
    scratch = tempfile.mkdtemp(prefix="slipway-model-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return shutil.make_archive(str(Path(scratch) / _shipped_name(model)), "zip", model.folder)


def _shipped_name(model: StoredModel) -> str:
    return f"model-{model.digest.removeprefix('sha256:')[:32]}"


def _on_executor(plan: Plan, batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    import dataclasses

    import pyarrow as pa
    from pyspark import SparkFiles

    there = StoredModel(Path(SparkFiles.get(_shipped_name(plan.model))), plan.model.digest)
    for batch in batches:
        yield from predict(
            dataclasses.replace(plan, model=there), pa.Table.from_batches([batch])
        ).to_batches()


def new_categories(model: StoredModel, prepared: Prepared) -> dict[str, NewCategories]:
    """Column -> values that the model's encoders did not see in training; columns without any are left out."""
    import polars as pl

    rows = pl.scan_parquet(list(local_files(prepared)), glob=False)
    found = {}
    for name, known in known_categories(load(model).pipeline).items():
        counts = _unknown(rows, name, known)
        if counts.height:
            found[name] = NewCategories(
                int(counts.get_column("len").sum()), tuple(map(str, counts.get_column(name).head(SHOWN)))
            )
    return found


def _unknown(rows: "pl.LazyFrame", name: str, known: Sequence[Any]) -> "pl.DataFrame":
    import polars as pl

    # Encoders saw the canonical frame, in which a nullable int64 is a float64.
    values = pl.Series(known).cast(rows.collect_schema()[name])
    strange = rows.select(name).filter(pl.col(name).is_not_null() & ~pl.col(name).is_in(values.implode()))
    return (
        strange.group_by(name).len().sort("len", name, descending=[True, False]).collect(engine="streaming")
    )


def known_categories(pipeline: Any) -> dict[str, list[Any]]:
    """Column -> the values its fitted encoder knows, missing ones left out (pure)."""
    import pandas as pd

    known = {}
    for _, transformer, columns in getattr(pipeline.steps[0][1], "transformers_", ()):
        for step in [one for _, one in getattr(transformer, "steps", [("", transformer)])]:
            categories = getattr(step, "categories_", None)
            if categories is not None and len(categories) == len(columns):
                for name, values in zip(columns, categories, strict=True):
                    known[name] = pd.Series(values, dtype=object).dropna().tolist()
                break
    return known
