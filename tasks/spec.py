"""Reads a file in `deployments/models/` into a ModelSpec, checked before anything runs.

What a spec may say is in `spec_schema.py` and `spec_candidates.py`; their names are here too, so that other
modules need only this one.
"""

import json
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ValidationError

from tasks.errors import SpecError
from tasks.settings import ROOT
from tasks.spec_candidates import (
    CandidateSpec,
    Encoders,
    Location,
    Role,
    Search,
    Step,
    Strict,
    nested_steps,
)
from tasks.spec_schema import (
    TARGET,
    Column,
    ColumnType,
    Engine,
    GateSpec,
    GroupSplit,
    ModelSpec,
    Name,
    NotebooksSpec,
    RandomSplit,
    ServingSpec,
    Split,
    TimeSplit,
    place,
)

__all__ = [
    "MODELS",
    "TARGET",
    "CandidateSpec",
    "Column",
    "ColumnType",
    "Encoders",
    "Engine",
    "GateSpec",
    "GroupSplit",
    "Location",
    "ModelSpec",
    "Name",
    "NotebooksSpec",
    "RandomSplit",
    "Role",
    "Search",
    "ServingSpec",
    "Split",
    "Step",
    "Strict",
    "TimeSplit",
    "fields_at",
    "load_spec",
    "nested_steps",
    "parse_spec",
    "place",
    "spec_path",
]

MODELS = ROOT / "deployments" / "models"


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
    problems.sort(key=lambda one: one["type"] != "extra_forbidden")  # a misspelt key is also a missing one
    described = [_described(problem, lines) for problem in problems]
    key, found = described[0]
    others = len({other for other, _ in described}) - 1
    more = f" ({others} more problems in this file)" if others else ""
    return SpecError(place(path, key, lines), found + more, _allowed(problems[0]))


def _described(problem: Any, lines: Mapping[Location, int]) -> tuple[Location, str]:
    """The problem's place in the document and what was found there.

    pydantic's place has parts that are in no file: the member of a union, `[key]`. Checks of our own that
    concern more than one value start their message with the rest of the place ("split.column: ...").
    """
    key: Location = ()
    for part in problem["loc"]:
        if (*key, part) in lines:
            key = (*key, part)
    if problem["type"] == "extra_forbidden":
        return key, f"unknown key {problem['loc'][-1]!r}"
    if problem["type"] == "missing":
        return (*key, problem["loc"][-1]), "is missing"
    message: str = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        start, _, rest = message.partition(": ")
        named = tuple(int(part) if part.isdigit() else part for part in start.split("."))
        return ((*key, *named), rest) if (*key, *named) in lines else (key, message)
    if problem["loc"][-1:] == ("[key]",):
        return key, f"the name {problem['input']!r} does not fit: {message}"
    return key, f"found {problem['input']!r}: {message}"


def _allowed(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(fields_at(problem["loc"][:-1]))
        return f"Allowed here: {allowed}."
    if problem["type"] == "missing":
        return "Add it; CONTRIBUTING.md shows a whole spec."
    return "Correct the spec."


def fields_at(location: Location) -> list[str]:
    """Names of the keys that may stand at `location`, as pydantic writes it (with the split's kind in it)."""
    here: Any = ModelSpec
    for part in location:
        here = _below(here, part)
    return sorted(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _below(here: Any, part: str | int) -> Any:
    """The type of what stands under `part` in a value of type `here`; None if nothing can."""
    if isinstance(here, type) and issubclass(here, BaseModel):
        field = here.model_fields.get(str(part))
        return None if field is None else _plain_type(field.annotation)
    inner = typing.get_args(here)
    if typing.get_origin(here) in (typing.Union, types.UnionType):
        kinds = [kind for kind in inner if typing.get_args(kind.model_fields["by"].annotation) == (part,)]
        return kinds[0] if kinds else None
    return _plain_type(inner[-1 if typing.get_origin(here) is dict else 0]) if inner else None


def _plain_type(kind: Any) -> Any:
    """`kind` without Annotated and without None."""
    if typing.get_origin(kind) is Annotated:
        return _plain_type(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [one for one in typing.get_args(kind) if one is not type(None)]
        return _plain_type(rest[0]) if len(rest) == 1 else kind
    return kind
