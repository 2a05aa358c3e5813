"""Golden rows: prepared rows and the trained candidate's predictions, kept with the model.

Their file lies inside the logged model's folder, so the digest of the artifacts covers it. Whoever serves the
model must answer these rows equally: labels exactly, numbers within RTOL and ATOL.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tasks.errors import RegistryError, TrainingError
from tasks.metrics import Problem
from tasks.spec import ColumnType, ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

GOLDEN_FILE = "extra_files/golden.json"
"""Where MLflow puts `golden.json` when it is logged as an extra file."""
ROWS = 20
"""Golden rows at least, when the data has as many."""
CATEGORIES = 50
"""A column with at most so many distinct values is covered by golden rows value by value."""
RTOL, ATOL = 1e-9, 1e-12

Value = str | int | float | bool | None
Label = str | int | float | bool


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class GoldenColumn(Strict):
    """One column of n values; None is a missing value, datetimes are ISO 8601 without zone (UTC)."""

    type: ColumnType
    values: tuple[Value, ...]


class Golden(Strict):
    """n rows, column by column, and what the trained pipeline predicted for them.

    `labels` has n entries (classes, or values of a regression); `probability`, if the pipeline has
    `predict_proba`, is n x k with the columns in the order of `classes`.
    """

    problem: Problem
    columns: dict[str, GoldenColumn]
    labels: tuple[Label, ...]
    probability: tuple[tuple[float, ...], ...] | None = None
    classes: tuple[Label, ...] | None = None

    @model_validator(mode="after")
    def _same_length(self) -> "Golden":
        n = len(self.labels)
        wrong = [name for name, column in self.columns.items() if len(column.values) != n]
        if wrong or n == 0 or (self.probability is not None and len(self.probability) != n):
            raise ValueError(f"{n} labels, but other lengths in: {', '.join(wrong) or 'probability'}")
        if (self.probability is None) != (self.classes is None):
            raise ValueError("probability and classes go together")
        return self

    def __len__(self) -> int:
        return len(self.labels)

    def row(self, index: int) -> dict[str, Value]:
        return {name: column.values[index] for name, column in self.columns.items()}

    def only(self, index: int) -> "Golden":
        """The golden row `index` by itself."""
        at = slice(index, index + 1)
        return self.model_copy(
            update={
                "columns": {
                    name: column.model_copy(update={"values": column.values[at]})
                    for name, column in self.columns.items()
                },
                "labels": self.labels[at],
                "probability": self.probability and self.probability[at],
            }
        )


def make_golden(spec: ModelSpec, frame: "pd.DataFrame", pipeline: "Pipeline") -> Golden:
    """Golden rows out of the prepared rows `frame` and the fitted `pipeline`'s predictions for them.

    Raises TrainingError if the pipeline predicts something that no server could be held to (NaN).
    """
    columns = spec.model_types
    rows = frame.iloc[choose_rows(frame, columns)][list(columns)].reset_index(drop=True)
    probability = pipeline.predict_proba(rows).tolist() if hasattr(pipeline, "predict_proba") else None
    try:
        return Golden(
            problem=spec.problem,
            columns={
                name: GoldenColumn(type=kind, values=tuple(plain(rows[name], kind)))
                for name, kind in columns.items()
            },
            labels=tuple(pipeline.predict(rows).tolist()),
            probability=probability and tuple(map(tuple, probability)),
            classes=probability and tuple(pipeline.classes_.tolist()),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise TrainingError(
            f"candidate of {spec.name}",
            f"predicts {first['input']!r} at {'.'.join(map(str, first['loc']))} of the golden rows",
            "Use an estimator that predicts finite numbers or labels.",
        ) from error


def choose_rows(frame: "pd.DataFrame", columns: Iterable[str], rows: int = ROWS) -> list[int]:
    """Positions of golden rows: every value of columns with few values, a missing value of each column that
    has one, then rows spread evenly until there are `rows` of them (or the data ends).

    Deterministic. Rows with an infinite number are left out: JSON has no word for it.
    """
    import numpy as np
    import pandas as pd

    names = list(columns)
    numbers = frame[names].select_dtypes("number")
    allowed = np.flatnonzero(~np.isinf(numbers.to_numpy(dtype=float)).any(axis=1))
    chosen: dict[int, None] = {}
    for name in names:
        codes, values = pd.factorize(frame[name].iloc[allowed])
        # Of a column with many values only a missing one is wanted.
        wanted = np.arange(len(codes)) if len(values) <= CATEGORIES else np.flatnonzero(codes == -1)[:1]
        covered = set(codes[list(chosen)])
        for index, code in pd.Series(codes[wanted], index=wanted).drop_duplicates().items():
            if code not in covered:
                chosen[int(index)] = None
    spread = np.linspace(0, max(len(allowed) - 1, 0), min(rows, len(allowed))).astype(int)
    for index in chain(spread.tolist(), range(len(allowed))):
        if len(chosen) >= rows:
            break
        chosen[index] = None
    return sorted(int(allowed[index]) for index in chosen)


def plain(values: "pd.Series[Any]", kind: ColumnType) -> list[Value]:
    """The values of a prepared column as JSON has them: None for missing, ISO 8601 for times."""
    convert: Mapping[ColumnType, Any] = {
        "int64": int,
        "float64": float,
        "bool": bool,
        "string": str,
        "datetime": lambda value: value.isoformat(),
    }
    return [None if gone else convert[kind](value) for value, gone in zip(values, values.isna(), strict=True)]


def read_golden(folder: Path, owner: str) -> Golden:
    """The golden rows in a folder of artifacts; RegistryError, naming `owner`, if there are none."""
    path = folder / GOLDEN_FILE
    try:
        return Golden.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RegistryError(
            owner,
            f"has no golden rows ({GOLDEN_FILE} is not among its artifacts)",
            "Only versions that `slipway retrain` registered can be proven; retrain the model.",
        ) from error
    except ValidationError as error:
        raise RegistryError(
            owner, f"its {GOLDEN_FILE} cannot be read ({error})", "Retrain the model."
        ) from error


def differences(
    golden: Golden,
    labels: Iterable[Any],
    probability: Iterable[Iterable[float]] | None,
    classes: Iterable[Any] | None,
) -> list[str]:
    """Pure: where an answer is not the golden one, as "row 3 (...), prediction: expected 'a', got 'b'"."""
    found: list[str] = []

    def differ(row: int, what: str, expected: Any, got: Any) -> None:
        found.append(f"row {row}, {what}: expected {expected!r}, got {got!r}")

    same_label = close if golden.problem == "regression" else exact
    for row, (expected, got) in enumerate(zip_longest(golden.labels, labels)):
        if not same_label(expected, got):
            differ(row, "prediction", expected, got)
    if golden.probability is None:
        return found
    if probability is None:
        return [*found, "output probability is missing"]
    if list(classes or ()) != list(golden.classes or ()):
        return [*found, f"classes of probability: expected {golden.classes}, got {classes}"]
    for row, (expected_row, got_row) in enumerate(zip_longest(golden.probability, probability, fillvalue=())):
        names = golden.classes or ()
        for name, expected, got in zip_longest(names, expected_row, got_row):
            if not close(expected, got):
                differ(row, f"probability of {name!r}", expected, got)
    return found


def exact(expected: Any, got: Any) -> bool:
    return type(expected) is type(got) and bool(expected == got)


def close(expected: Any, got: Any) -> bool:
    """Whether `got` is a number within RTOL and ATOL of `expected`."""
    if not isinstance(expected, int | float) or not isinstance(got, int | float):
        return False
    return math.isfinite(got) and abs(got - expected) <= ATOL + RTOL * abs(expected)
