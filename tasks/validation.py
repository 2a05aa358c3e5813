"""Does prepared data keep the spec's promises? Types, ranges, nulls, categories, number of rows."""

from typing import TYPE_CHECKING, Any

from tasks.errors import DataError
from tasks.preparation import Prepared, local_files
from tasks.spec import Column, ModelSpec

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaError, SchemaErrors

SAMPLES = 3


def validate(spec: ModelSpec, prepared: Prepared, *, new_categories: bool = False) -> None:
    """Raises DataError naming the column, the rule, how many rows break it, and some of these rows.

    With `new_categories` (at scoring time) a value outside `categories`, and few rows, are no error.
    """
    import pandera.errors
    import polars as pl
    from pandera.config import ValidationDepth, config_context

    rows = pl.scan_parquet(local_files(prepared), glob=False)
    if not new_categories:
        _check_rows(spec, prepared)
        _check_all_null(spec, rows)
    # By default pandera looks only at the schema of a LazyFrame, not at its values.
    with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        try:
            schema(spec, categories=not new_categories).validate(rows.select(list(spec.columns)), lazy=True)
        except pandera.errors.SchemaErrors as error:
            raise _data_error(spec, rows, error) from error


def _check_rows(spec: ModelSpec, prepared: Prepared) -> None:
    if prepared.rows < spec.minimum_rows:
        raise DataError(
            f"prepared data of model {spec.name}",
            f"has {prepared.rows} rows; the spec's minimum_rows is {spec.minimum_rows}",
            "Give more data, or lower minimum_rows.",
        )


def _check_all_null(spec: ModelSpec, rows: "pl.LazyFrame") -> None:
    import polars as pl

    counts = rows.select(pl.col(list(spec.columns)).count()).collect(engine="streaming").row(0, named=True)
    if empty := [name for name, count in counts.items() if count == 0]:
        raise DataError(
            f"column {empty[0]!r}", "is null in every row; nothing can be learnt from it",
            "Fix the source or the function, or take the column out of the spec.",
        )  # fmt: skip


def schema(spec: ModelSpec, *, categories: bool = True) -> "pa.DataFrameSchema":
    """The pandera schema of the spec's columns (without the closed categories, if asked)."""
    import pandera.polars as pa
    import polars as pl

    types: dict[str, Any] = {
        "int64": pl.Int64, "float64": pl.Float64, "string": pl.String, "bool": pl.Boolean,
        "datetime": pl.Datetime("us"),
    }  # fmt: skip
    return pa.DataFrameSchema(
        {
            name: pa.Column(
                types[column.type], _checks(column, categories=categories), nullable=column.nullable
            )
            for name, column in spec.columns.items()
        },
        strict=True,
    )


def _checks(column: Column, *, categories: bool) -> "list[pa.Check]":
    import pandera.polars as pa
    import polars as pl

    checks = []
    if column.type == "float64":
        finite = "must be finite"
        checks.append(pa.Check(lambda data: data.lazyframe.select(pl.col(data.key).is_finite()), name=finite))
    if column.minimum is not None:
        checks.append(pa.Check.ge(column.minimum, name=f"must be at least {column.minimum:g}"))
    if column.maximum is not None:
        checks.append(pa.Check.le(column.maximum, name=f"must be at most {column.maximum:g}"))
    if column.categories is not None and categories:
        allowed = ", ".join(map(str, column.categories))
        checks.append(pa.Check.isin(column.categories, name=f"must be one of {allowed}"))
    return checks


def _data_error(spec: ModelSpec, rows: "pl.LazyFrame", error: "SchemaErrors") -> DataError:
    """One DataError for the first broken rule, with rows that show it, and the names of the other rules."""
    problems = [(str(e.schema.name), _rule(e), e.failure_cases) for e in error.schema_errors]
    name, rule, cases = problems[0]
    others = "".join(f"; also {other!r} {its_rule}" for other, its_rule, _ in problems[1:])
    if not hasattr(cases, "height"):  # a type: the whole column breaks it
        return DataError(
            f"column {name!r}", f"{rule}{others}", "Correct the function, or the spec's 'columns'."
        )
    return DataError(
        f"column {name!r}",
        f"{rule}: {cases.height} of {_count(rows)} rows break this, "
        f"e.g. {_samples(spec, rows, name, cases)}{others}",
        "Fix the source or the function, or the spec's 'columns'.",
    )


def _rule(error: "SchemaError") -> str:
    if error.reason_code is not None and error.reason_code.name == "SERIES_CONTAINS_NULLS":
        return "must not be null"
    if error.reason_code is not None and error.reason_code.name == "WRONG_DATATYPE":
        return f"must be {error.check}, is {error.failure_cases}"
    return str(getattr(error.check, "name", error.check))


def _count(rows: "pl.LazyFrame") -> int:
    import polars as pl

    return int(rows.select(pl.len()).collect().item())


def _samples(spec: ModelSpec, rows: "pl.LazyFrame", name: str, cases: "pl.DataFrame") -> str:
    """Some rows (keys and the column) that hold one of the failing values."""
    import polars as pl

    values = cases.get_column(cases.columns[0]).head(1000).unique()
    broken = pl.col(name).is_null() if values.null_count() else pl.col(name).is_in(values.implode())
    shown = rows.filter(broken).select(list(dict.fromkeys((*spec.key, name)))).head(SAMPLES).collect()
    return "; ".join(
        ", ".join(f"{key}={value}" for key, value in row.items()) for row in shown.iter_rows(named=True)
    )
