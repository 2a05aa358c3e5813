"""Frames of any engine, through narwhals: what `prepare` returned, brought to the types the spec names.

Also the canonical pandas frame that models are trained on and asked with.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.errors import DataError
from tasks.spec import TARGET, ColumnType, ModelSpec

if TYPE_CHECKING:
    import narwhals as nw
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class PreparedColumn:
    name: str
    type: ColumnType
    nullable: bool


def wanted_columns(spec: ModelSpec, schema: "nw.Schema", *, with_target: bool) -> tuple[PreparedColumn, ...]:
    """The columns of prepared data, in order: the spec's, the extra ones, the target.

    `schema` is that of the frame that `prepare` returned; it gives the type where the spec names none.
    Raises DataError for a column that is missing or of another type.
    """
    found = {name: _column_type(dtype) for name, dtype in schema.items()}
    wanted = []
    for name, column in spec.columns.items():
        _check_type(spec, name, column.type, schema, nullable=column.nullable)
        wanted.append(PreparedColumn(name, column.type, column.nullable))
    for name in spec.extra_columns:
        _check_present(spec, name, schema)
        wanted.append(PreparedColumn(name, _known(spec, name, found[name], schema), name not in spec.key))
    if with_target:
        wanted.append(
            PreparedColumn(TARGET, _target_type(spec, found[TARGET], schema[TARGET]), nullable=False)
        )
    return tuple(wanted)


def nan_is_null(frame: "nw.LazyFrame[Any]") -> "nw.LazyFrame[Any]":
    """`frame` with null for NaN, of which each engine thinks otherwise (is NaN > 2?)."""
    import narwhals as nw

    floats = [name for name, dtype in frame.collect_schema().items() if dtype.is_float()]
    return frame.with_columns(
        nw.when(~nw.col(name).is_nan()).then(nw.col(name)).alias(name) for name in floats
    )


def conform(frame: "nw.LazyFrame[Any]", wanted: Sequence[PreparedColumn]) -> "nw.LazyFrame[Any]":
    """`frame` with the wanted columns only, each of exactly its type; NaN becomes null."""
    schema = frame.collect_schema()
    return frame.select(*(_cast(column.name, schema[column.name], column.type) for column in wanted))


def with_target(
    spec: ModelSpec, frame: "nw.LazyFrame[Any]", target: "nw.LazyFrame[Any]"
) -> "nw.LazyFrame[Any]":
    """`frame` joined on the spec's key to `target` (keys and one column); rows without a target are dropped."""
    import narwhals as nw

    names = target.collect_schema().names()
    if missing := [key for key in spec.key if key not in names]:
        raise DataError(
            f"{spec.features}.target", f"returns no key column {missing[0]!r}, only {', '.join(names)}",
            "Return the spec's key and one more column.",
        )  # fmt: skip
    values = [name for name in names if name not in spec.key]
    if len(values) != 1:
        raise DataError(
            f"{spec.features}.target", f"returns {len(values)} columns beside the keys: {', '.join(values)}",
            "Return the spec's key and one more column.",
        )  # fmt: skip
    labels = target.select(*spec.key, nw.col(values[0]).alias(TARGET)).filter(~nw.col(TARGET).is_null())
    if schema_is_float(labels):
        labels = labels.filter(~nw.col(TARGET).is_nan())
    return frame.join(labels, on=list(spec.key), how="inner")


def schema_is_float(labels: "nw.LazyFrame[Any]") -> bool:
    return labels.collect_schema()[TARGET].is_float()


def target_source(spec: ModelSpec, schemas: Mapping[str, Sequence[str]]) -> str:
    """Name of the one source that has the spec's target column and keys. `schemas`: source -> column names."""
    needed = {spec.target, *spec.key}
    holding = [name for name, columns in schemas.items() if needed <= set(columns)]
    if len(holding) != 1:
        seen = "; ".join(f"{name}: {', '.join(columns)}" for name, columns in schemas.items())
        raise DataError(
            f"target {spec.target!r}",
            f"{len(holding)} sources hold it together with the keys {', '.join(spec.key)} ({seen})",
            "Correct 'target' or 'key', or write a function target(**frames).",
        )
    return holding[0]


def _column_type(dtype: "nw.dtypes.DType") -> ColumnType | None:
    import narwhals as nw

    if dtype.is_integer():
        return "int64"
    if dtype.is_numeric():
        return "float64"
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        return "string"
    if dtype == nw.Boolean:
        return "bool"
    if dtype in (nw.Datetime, nw.Date):
        return "datetime"
    return None


def _check_present(spec: ModelSpec, name: str, schema: "nw.Schema") -> None:
    if name not in schema:
        raise DataError(
            f"column {name!r}",
            f"is missing from what {spec.features}.prepare returns ({', '.join(schema)})",
            "Return it, or correct the spec's 'columns', 'key', 'split' or 'gate.slices'.",
        )


def _check_type(
    spec: ModelSpec, name: str, wanted: ColumnType, schema: "nw.Schema", *, nullable: bool
) -> None:
    _check_present(spec, name, schema)
    found = _column_type(schema[name])
    if found == wanted or (found == "int64" and wanted == "float64"):
        return
    hint = " (a whole-number column with missing values becomes float in plain pandas)" if nullable else ""
    raise DataError(
        f"column {name!r}",
        f"is {schema[name]} in what {spec.features}.prepare returns; the spec says {wanted}{hint}",
        "Correct the source or the function, or the spec's 'columns'.",
    )


def _known(spec: ModelSpec, name: str, found: ColumnType | None, schema: "nw.Schema") -> ColumnType:
    if found is None:
        raise DataError(
            f"column {name!r}",
            f"is {schema[name]} in what {spec.features}.prepare returns",
            "Make it a whole number, float, string, bool or datetime.",
        )
    return found


def _target_type(spec: ModelSpec, found: ColumnType | None, dtype: "nw.dtypes.DType") -> ColumnType:
    allowed = ("string", "int64", "bool") if spec.problem == "classification" else ("float64", "int64")
    if found is None or found not in allowed:
        raise DataError(
            f"target of model {spec.name}",
            f"is {dtype}; {spec.problem} needs {' or '.join(allowed)}",
            "Convert it in target(**frames), or name another column.",
        )
    return "float64" if spec.problem == "regression" else found


def _cast(name: str, dtype: "nw.dtypes.DType", wanted: ColumnType) -> "nw.Expr":
    import narwhals as nw

    column = nw.col(name)
    if wanted == "int64":
        return column if dtype == nw.Int64 else column.cast(nw.Int64)
    if wanted == "float64":
        value = column if dtype == nw.Float64 else column.cast(nw.Float64)
        return nw.when(~value.is_nan()).then(value).alias(name) if dtype.is_float() else value
    if wanted == "string":
        return column if dtype == nw.String else column.cast(nw.String)
    if wanted == "datetime":
        if isinstance(dtype, nw.Datetime) and dtype.time_zone is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return column if dtype == nw.Datetime("us") else column.cast(nw.Datetime("us"))
    return column


def arrow_schema(columns: Iterable[PreparedColumn]) -> "pa.Schema":
    import pyarrow as pa

    types = {
        "int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "bool": pa.bool_(),
        "datetime": pa.timestamp("us"),
    }  # fmt: skip
    return pa.schema([pa.field(column.name, types[column.type]) for column in columns])


def canonical(table: "pa.Table", columns: Iterable[PreparedColumn]) -> "pd.DataFrame":
    """The pandas frame that models see: n rows of `table`, the same dtypes whatever the rows hold.

    int64, float64 (NaN: missing), bool, object strings (None: missing), datetime64[us]; a nullable int64
    column is float64, a nullable bool column object with None.
    """
    import pyarrow as pa

    nullable = {
        c.name: c.nullable or table[c.name].null_count > 0 for c in columns if c.name in table.column_names
    }
    for index, field in enumerate(table.schema):
        if pa.types.is_integer(field.type) and nullable[field.name]:
            table = table.set_column(index, field.name, table[field.name].cast(pa.float64(), safe=False))
    frame = table.to_pandas(ignore_metadata=True, coerce_temporal_nanoseconds=False)
    for field in table.schema:
        if pa.types.is_boolean(field.type) and nullable[field.name]:
            frame[field.name] = frame[field.name].astype(object)
    return frame
