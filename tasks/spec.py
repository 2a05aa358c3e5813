"""ModelSpec: what a file in `deployments/models/` says, checked before anything runs."""

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from slipway_model_server.estimators import ESTIMATORS

from tasks.errors import SpecError
from tasks.metrics import METRICS, Problem
from tasks.settings import ROOT

MODELS = ROOT / "deployments" / "models"

Engine = Literal["pandas", "polars", "spark"]
ColumnType = Literal["int64", "float64", "string", "bool", "datetime"]
Role = Literal["numeric", "categorical", "date"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Location = tuple[str | int, ...]
"""Keys and list indices from the top of the document down to a place in it."""
TARGET = "__target__"
"""Name of the target's column in prepared data."""


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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
        if self.role == "numeric" and self.type in ("string", "datetime"):
            raise ValueError(f"a {self.type} column cannot have the role numeric")
        if (self.role == "date") != (self.type == "datetime") and self.role is not None:
            raise ValueError(f"a {self.type} column cannot have the role {self.role}")
        return self


class RandomSplit(Strict):
    """Rows go to the test part by a hash of the spec's `keys`: a row never changes side."""

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
    resamples: Annotated[int, Field(ge=100, le=10_000)] = 500
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"unknown metric {metric!r}; allowed: {', '.join(sorted(METRICS))}")
        return metric


class Step(Strict):
    """A scikit-learn estimator by import path, with its parameters.

    A parameter that is itself a mapping with `estimator` (and `parameters`) is a nested estimator; in the
    lists of stacking and voting each entry also has a `name`.
    """

    estimator: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("estimator")
    @classmethod
    def _allowed(cls, path: str) -> str:
        if path not in ESTIMATORS:
            near = difflib.get_close_matches(path, ESTIMATORS, n=3, cutoff=0.3)
            raise ValueError(
                f"estimator {path!r} is not in the table of allowed estimators; "
                f"nearest: {', '.join(near) or 'none'} "
                f"(all of them: images/model-server/slipway_model_server/estimators.py)"
            )
        return path

    @model_validator(mode="after")
    def _nested_allowed(self) -> "Step":
        for nested in nested_steps(self.parameters):
            Step.model_validate({k: v for k, v in nested.items() if k != "name"})
        return self


def nested_steps(parameters: Any) -> Iterator[dict[str, Any]]:
    """The estimators written inside `parameters`, at the first level where one is met."""
    if isinstance(parameters, dict):
        keys = set(parameters)
        if keys <= {"estimator", "parameters", "name"} and isinstance(parameters.get("estimator"), str):
            yield parameters
            return
        for value in parameters.values():
            yield from nested_steps(value)
    elif isinstance(parameters, list | tuple):
        for value in parameters:
            yield from nested_steps(value)


class Encoders(Strict):
    """Transformers that a column of each role passes, in order. An empty list passes it through."""

    numeric: tuple[Step, ...] | None = None
    categorical: tuple[Step, ...] | None = None
    date: tuple[Step, ...] | None = None

    @model_validator(mode="after")
    def _transformers(self) -> "Encoders":
        for steps in (self.numeric, self.categorical, self.date):
            for step in steps or ():
                if ESTIMATORS[step.estimator].kind != "transformer":
                    raise ValueError(f"{step.estimator} is not a transformer")
        return self


class Search(Strict):
    """Parameter sets to try, on training rows only. `grid`: all; `random`: `samples` of them."""

    method: Literal["grid", "random"]
    parameters: Annotated[dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]], Field(min_length=1)]
    samples: Annotated[int, Field(ge=1, le=200)] | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _samples(self) -> "Search":
        if (self.method == "random") != (self.samples is not None):
            raise ValueError("samples goes with method random, and method random needs it")
        return self


class CandidateSpec(Step):
    encoders: Encoders = Encoders()
    search: Search | None = None


class ServingSpec(Strict):
    """What the released server must keep: `latency_ms` is the highest accepted median of one row."""

    latency_ms: Annotated[float, Field(gt=0)] = 100.0


class ModelSpec(Strict):
    """One model, from its data to its endpoint. Load it with `load_spec`."""

    name: Name
    description: str = ""
    problem: Problem
    features: str
    """Module (dotted, or a `.py` file beside the spec) with `prepare`, and `target` if `target` is unset."""
    frames: Literal["narwhals", "native"] = "narwhals"
    sources: Annotated[dict[str, str], Field(min_length=1)]
    seed: str | None = None
    """`module:function` that writes the sources the first time, for examples that bring their data."""
    engine: Engine = "polars"
    target: str | None = None
    """Column of a source that is the target; unset: the module's `target(**frames)` gives it."""
    keys: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns that identify a row of prepared data."""
    columns: Annotated[dict[str, Column], Field(min_length=1)]
    minimum_rows: Annotated[int, Field(ge=10)] = 100
    split: Split
    gate: GateSpec
    candidates: Annotated[dict[Name, CandidateSpec], Field(min_length=1)]
    serving: ServingSpec = ServingSpec()

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
        """sha256 of the spec's content, comments and order of keys left out."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
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
        wanted = list(self.keys)
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
        if TARGET in self.columns:
            raise ValueError(f"columns: the name {TARGET} is reserved")
        return self


def load_spec(model: str) -> ModelSpec:
    """The spec of `model`: a name in `deployments/models/`, or the path of a YAML file anywhere.

    Raises SpecError with file, line where it is known, key, what was found and what is allowed.
    """
    path = spec_path(model)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(str(path), f"cannot be read ({error})", "Give a readable YAML file.") from error
    return parse_spec(text, path)


def spec_path(model: str) -> Path:
    if model.endswith((".yaml", ".yml")) or "/" in model:
        return Path(model).expanduser().resolve()
    path = MODELS / f"{model}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in MODELS.glob("*.yaml"))
        raise SpecError(
            f"model {model!r}",
            f"no spec {path}; known models: {', '.join(known) or 'none'}",
            "Name one of these, or give the path of a spec file.",
        )
    return path


def parse_spec(text: str, path: Path) -> ModelSpec:
    """Pure: the spec that `text`, read from `path`, describes."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(str(path), f"is not YAML ({' '.join(str(error).split())})", "Correct it.") from error
    if not isinstance(content, dict) or node is None:
        raise SpecError(
            str(path), f"holds {type(content).__name__}, not a mapping", "See deployments/models/."
        )
    lines = dict(key_lines(node))
    repeated = [f"{path}:{line}: key {key!r}" for key, line in repeated_keys(node)]
    if repeated:
        raise SpecError(repeated[0], "is given twice", "Keep one of them.")
    try:
        document = json.dumps(content, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SpecError(str(path), str(error), "Use only what JSON can hold, and dates.") from error
    try:
        spec = ModelSpec.model_validate_json(document)
    except ValidationError as error:
        raise _spec_error(path, error, lines) from None
    spec._path = path
    spec._lines = lines
    return spec


def place(path: Path, key: Location, lines: Mapping[Location, int]) -> str:
    line = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), 1)
    return f"{path}:{line}: {'.'.join(map(str, key)) or 'spec'}"


def _plain(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot stand in a spec")


def key_lines(node: yaml.Node, at: Location = ()) -> Iterator[tuple[Location, int]]:
    """Every place in the YAML document and its line (from 1)."""
    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*at, key.value), key.start_mark.line + 1
            for inner, line in key_lines(value, (*at, key.value)):
                if inner != (*at, key.value):
                    yield inner, line
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from key_lines(value, (*at, index))


def repeated_keys(node: yaml.Node) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.value, key.start_mark.line + 1
            seen.add(key.value)
            yield from repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from repeated_keys(value)


def _spec_error(path: Path, error: ValidationError, lines: Mapping[Location, int]) -> SpecError:
    """One SpecError for the first problem, with the count of the others."""
    problems = error.errors(include_url=False)
    first = problems[0]
    others = f" ({len(problems) - 1} more problems in this file)" if len(problems) > 1 else ""
    return SpecError(place(path, _key(first), lines), _found(first) + others, _allowed(first))


def _key(problem: Any) -> Location:
    """The problem's place in the document: pydantic adds the name of the union's member to a split's."""
    key: Location = problem["loc"]
    if key[:1] == ("split",) and len(key) > 1:
        key = (key[0], *key[2:])
    if not key and problem["type"] == "value_error":  # "columns.age: ..." of ModelSpec's own check
        key = tuple(str(problem["ctx"]["error"]).split(":", 1)[0].split("."))
    return key


def _found(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return f"unknown key {problem['loc'][-1]!r}"
    if problem["type"] == "missing":
        return "is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return str(message)
    return f"found {problem['input']!r}: {message}"


def _allowed(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(fields_at(problem["loc"][:-1]))
        return f"Allowed here: {allowed}."
    if problem["type"] == "missing":
        return "Add it; CONTRIBUTING.md shows a whole spec."
    return "Correct the spec."


def fields_at(location: Location) -> list[str]:
    """Names of the keys that may stand at `location` (parts of a discriminated union are skipped)."""
    here: Any = ModelSpec
    by_split = {"random": RandomSplit, "group": GroupSplit, "time": TimeSplit}
    known: dict[str, Any] = {
        "columns": Column,
        "gate": GateSpec,
        "candidates": CandidateSpec,
        "encoders": Encoders,
        "search": Search,
        "serving": ServingSpec,
        "numeric": Step,
        "categorical": Step,
        "date": Step,
    }
    for part in location:
        if isinstance(part, str):
            here = by_split.get(part, known.get(part, here))
    return sorted(here.model_fields)
