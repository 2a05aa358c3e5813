"""ModelSpec: what a spec may say, as frozen strict pydantic models. `spec.py` reads files into it."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    StringConstraints,
    field_validator,
    model_validator,
)
from slipway_model_server.estimators import ESTIMATORS

from tasks.metrics import METRICS, Problem
from tasks.spec_candidates import CandidateSpec, Location, Role, Strict

Engine = Literal["pandas", "polars", "spark"]
ColumnType = Literal["int64", "float64", "string", "bool", "datetime"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
Fraction = Annotated[float, Field(gt=0, lt=1)]
TARGET = "__target__"
"""Name of the target's column in prepared data."""


class Column(Strict):
    """One prepared column that the model takes.

    `minimum` and `maximum` are inclusive; `categories` is the closed set of allowed values. `role` says which
    of a candidate's encoders takes it: by default strings and booleans are categorical, datetimes are dates,
    the rest is numeric.
    """

    type: ColumnType
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str | int | bool, ...] | None = None
    role: Role | None = None

    @property
    def kind(self) -> Role:
        if self.role is not None:
            return self.role
        by_type: dict[str, Role] = {"string": "categorical", "bool": "categorical", "datetime": "date"}
        return by_type.get(self.type, "numeric")

    @model_validator(mode="after")
    def _consistent(self) -> "Column":
        if (self.minimum is not None or self.maximum is not None) and self.type not in ("int64", "float64"):
            raise ValueError(f"minimum and maximum need a numeric column, not {self.type}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        if self.categories is not None and self.type in ("float64", "datetime"):
            raise ValueError(f"categories need a string, int64 or bool column, not {self.type}")
        fitting = {"string": str, "int64": int, "bool": bool}
        for value in self.categories or ():
            if type(value) is not fitting[self.type]:
                raise ValueError(f"category {value!r} is not a {self.type}")
        if self.role == "numeric" and self.type in ("string", "datetime"):
            raise ValueError(f"a {self.type} column cannot have the role numeric")
        if (self.role == "date") != (self.type == "datetime") and self.role is not None:
            raise ValueError(f"a {self.type} column cannot have the role {self.role}")
        return self


class RandomSplit(Strict):
    """Rows go to the test part by a hash of the spec's `key`: a row never changes side."""

    by: Literal["random"]
    test: Fraction = 0.2
    seed: int = 0


class GroupSplit(Strict):
    """All rows that share `columns` go to one side, by a hash of those columns."""

    by: Literal["group"]
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    test: Fraction = 0.2
    seed: int = 0


class TimeSplit(Strict):
    """Rows at or after the cut are the test part.

    The cut is a fixed time (`cut`, UTC) or `last_days` before the newest row of the snapshot.
    """

    by: Literal["time"]
    column: str
    cut: datetime | date | None = None
    last_days: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_cut(self) -> "TimeSplit":
        if (self.cut is None) == (self.last_days is None):
            raise ValueError("give exactly one of cut and last_days")
        return self


Split = Annotated[RandomSplit | GroupSplit | TimeSplit, Field(discriminator="by")]


class GateSpec(Strict):
    """What a candidate must show: see `gate.decide`.

    `minimum` is the floor of the metric on all test rows; `slices` maps a column to the floor that each of
    its values must reach (values with fewer than `slice_rows` test rows are reported, not judged); `margin`
    is what the lower end of the interval of (candidate - champion) must reach.
    """

    metric: str
    minimum: float
    margin: float = 0.0
    slices: dict[str, float] = Field(default_factory=dict)
    slice_rows: Annotated[int, Field(ge=1)] = 100
    test_rows: Annotated[int, Field(ge=1)] = 30
    """Fewer test rows (those common to candidate and champion) are insufficient evidence."""
    resamples: Annotated[int, Field(ge=100, le=10_000)] = 500
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"unknown metric {metric!r}; allowed: {', '.join(sorted(METRICS))}")
        return metric


def _written_as_number(value: object) -> object:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else value


class ServingSpec(Strict):
    """What the released server must keep: `latency_ms` is the highest accepted median of one row.

    On a cluster `replicas` servers run, each sure of `cpu` cores (it may use more where the node has some) and
    of `memory` (above which it is killed). A version keeps what its release gave it: other values come with the
    next version (`slipway retrain MODEL --force`), as no pod takes traffic that was not proven beside it first.
    """

    latency_ms: Annotated[float, Field(gt=0)] = 100.0
    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    cpu: Annotated[
        str, BeforeValidator(_written_as_number), StringConstraints(pattern=r"^\d+(\.\d+)?$|^[1-9]\d*m$")
    ] = "200m"
    memory: Annotated[str, StringConstraints(pattern=r"^[1-9]\d*(Mi|Gi|M|G)$")] = "512Mi"


class NotebooksSpec(Strict):
    """Who may start the model's flows from a notebook: members of these groups of the hub. None: nobody."""

    groups: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = ()


class ModelSpec(Strict):
    """One model, from its data to its endpoint. Load it with `load_spec`."""

    name: Name
    description: str = ""
    problem: Problem
    features: str
    """Module (dotted, or a `.py` file beside the spec) with `prepare`, and `target` if `target` is unset."""
    frames: Literal["narwhals", "native"] = "narwhals"
    sources: Annotated[dict[str, str], Field(min_length=1)]
    seed: Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")] | None = None
    """`module:function` that writes the sources the first time, for examples that bring their data."""
    engine: Engine = "polars"
    target: str | None = None
    """Column of a source that is the target; unset: the module's `target(**frames)` gives it."""
    key: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns that identify a row of prepared data."""
    columns: Annotated[dict[str, Column], Field(min_length=1)]
    minimum_rows: Annotated[int, Field(ge=10)] = 100
    split: Split
    gate: GateSpec
    candidates: Annotated[dict[Name, CandidateSpec], Field(min_length=1)]
    serving: ServingSpec = ServingSpec()
    notebooks: NotebooksSpec = NotebooksSpec()

    _path: Path = PrivateAttr(default=Path())
    _lines: dict[Location, int] = PrivateAttr(default_factory=dict)

    @property
    def path(self) -> Path:
        return self._path

    def place(self, *key: str | int) -> str:
        """`file:line: key` for messages; the line is that of the nearest place that the file has."""
        return place(self._path, key, self._lines)

    @property
    def digest(self) -> str:
        """sha256 of what the spec says of the model; not comments, order of keys, nor who may ask for a run."""
        canonical = json.dumps(self.model_dump(mode="json", exclude={"notebooks"}), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def model_types(self) -> dict[str, ColumnType]:
        """Types of the columns that the model takes: an int64 that may be missing is a float64 to it."""
        return {
            name: "float64" if column.type == "int64" and column.nullable else column.type
            for name, column in self.columns.items()
        }

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns that `prepare` returns beside the model's: keys, and what the split needs."""
        wanted = list(self.key)
        if isinstance(self.split, TimeSplit):
            wanted.append(self.split.column)
        elif isinstance(self.split, GroupSplit):
            wanted.extend(self.split.columns)
        wanted.extend(self.gate.slices)
        return tuple(dict.fromkeys(c for c in wanted if c not in self.columns))

    @model_validator(mode="after")
    def _fits(self) -> "ModelSpec":
        if METRICS[self.gate.metric] != self.problem:
            allowed = sorted(m for m, problem in METRICS.items() if problem == self.problem)
            raise ValueError(
                f"gate.metric: {self.gate.metric} does not fit problem {self.problem}; "
                f"allowed: {', '.join(allowed)}"
            )
        wanted = "classifier" if self.problem == "classification" else "regressor"
        for name, candidate in self.candidates.items():
            kind = ESTIMATORS[candidate.estimator].kind
            if kind != wanted:
                raise ValueError(
                    f"candidates.{name}.estimator: {candidate.estimator} is a {kind}; "
                    f"problem {self.problem} needs a {wanted}"
                )
        if self.target is not None and self.target in self.columns:
            raise ValueError(f"target: {self.target} is also one of columns; a model must not see its target")
        if self.target is not None and self.target in self.extra_columns:
            raise ValueError(f"target: {self.target} is also a key, split or slice column of `prepare`")
        if TARGET in (*self.columns, *self.extra_columns):
            raise ValueError(f"columns: the name {TARGET} is reserved")
        if re.search(r"-candidate-\d+$", self.name):
            raise ValueError("name: must not end in -candidate-<number>; a release names its candidates so")
        self._roles_of_columns()
        return self

    def _roles_of_columns(self) -> None:
        """Columns that the keys, the split and the slices name fit what they are named for."""
        if len(set(self.key)) < len(self.key):
            raise ValueError(f"key: a column is named twice in {', '.join(self.key)}")
        for key in self.key:
            if key in self.columns and self.columns[key].nullable:
                raise ValueError(f"key: column {key} is nullable; a key is always there")
        if isinstance(self.split, TimeSplit):
            column = self.columns.get(self.split.column)
            if column is not None and (column.type != "datetime" or column.nullable):
                raise ValueError(
                    f"split.column: {self.split.column} is a {'nullable ' if column.nullable else ''}"
                    f"{column.type} column; a time split needs a datetime column that is never missing"
                )
        for name in self.gate.slices:
            column = self.columns.get(name)
            if column is not None and column.type in ("float64", "datetime"):
                raise ValueError(
                    f"gate.slices.{name}: a {column.type} column has too many values to slice by; "
                    "allowed: string, int64 and bool columns, or another column that `prepare` returns"
                )


def place(path: Path, key: Location, lines: Mapping[Location, int]) -> str:
    line = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), 1)
    return f"{path}:{line}: {'.'.join(map(str, key)) or 'spec'}"
