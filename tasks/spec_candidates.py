"""Candidates of a spec: scikit-learn estimators by import path, their encoders and their search."""

import difflib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from slipway_model_server.estimators import ESTIMATORS

Role = Literal["numeric", "categorical", "date"]
Location = tuple[str | int, ...]
"""Keys and list indices from the top of the document down to a place in it."""


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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
        check_nested(self.parameters, ("parameters",))
        return self


def check_nested(parameters: Any, at: Location) -> None:
    """Raises ValueError, with the place first in its message, if an estimator inside is not a right one."""
    for place, nested in nested_steps(parameters, at):
        try:
            Step.model_validate({key: value for key, value in nested.items() if key != "name"})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            inner = ".".join(map(str, (*place, *problem["loc"])))
            raise ValueError(f"{inner}: {problem['msg'].removeprefix('Value error, ')}") from None


def nested_steps(parameters: Any, at: Location = ()) -> Iterator[tuple[Location, dict[str, Any]]]:
    """The estimators written inside `parameters` and their place, at the first level where one is met."""
    if isinstance(parameters, dict):
        keys = set(parameters)
        if keys <= {"estimator", "parameters", "name"} and isinstance(parameters.get("estimator"), str):
            yield at, parameters
            return
        for key, value in parameters.items():
            yield from nested_steps(value, (*at, key))
    elif isinstance(parameters, list | tuple):
        for index, value in enumerate(parameters):
            yield from nested_steps(value, (*at, index))


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
    """An estimator to fit; a parameter of `search` wins over the one of `parameters`."""

    encoders: Encoders = Encoders()
    search: Search | None = None

    @model_validator(mode="after")
    def _searched_allowed(self) -> "CandidateSpec":
        if self.search is not None:
            check_nested(self.search.parameters, ("search", "parameters"))
        return self
