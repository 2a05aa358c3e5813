"""Specs that nobody wrote by hand: what hypothesis makes of the schema."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from slipway_model_server.estimators import ESTIMATORS

from tasks.metrics import METRICS
from tasks.spec import ModelSpec
from tests.tasks.specs import content, parsed, refused

names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
numbers = st.floats(-1e6, 1e6)


@st.composite
def columns(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["int64", "float64", "string", "bool", "datetime"]))
    column: dict[str, Any] = {"type": kind, "nullable": draw(st.booleans())}
    if kind in ("int64", "float64") and draw(st.booleans()):
        column["minimum"], column["maximum"] = sorted([draw(numbers), draw(numbers)])
    if kind == "string" and draw(st.booleans()):
        column["categories"] = draw(st.lists(st.text("abcæ #:-", min_size=1), min_size=1, max_size=3))
    if kind == "int64" and draw(st.booleans()):
        column["role"] = "categorical"
    return column


splits = st.one_of(
    st.fixed_dictionaries(
        {"by": st.just("random"), "test": st.floats(0.01, 0.99), "seed": st.integers(0, 9)}
    ),
    st.fixed_dictionaries({"by": st.just("group"), "columns": st.lists(names, min_size=1, max_size=2)}),
    st.fixed_dictionaries(
        {"by": st.just("time"), "column": st.just("day_"), "last_days": st.floats(0.1, 900)}
    ),
    st.fixed_dictionaries(
        {
            "by": st.just("time"),
            "column": st.just("day_"),
            "cut": st.datetimes().map(lambda one: one.isoformat()),
        }
    ),
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    problem = draw(st.sampled_from(["classification", "regression"]))
    kind = "classifier" if problem == "classification" else "regressor"
    estimators = st.sampled_from([path for path, entry in ESTIMATORS.items() if entry.kind == kind])
    values = st.none() | st.booleans() | st.integers(-9, 9) | numbers | names
    search = st.fixed_dictionaries(
        {"method": st.just("random"), "samples": st.integers(1, 200)}
        | {
            "parameters": st.dictionaries(
                names, st.lists(values, min_size=1, max_size=3), min_size=1, max_size=2
            )
        }
    )
    candidate = st.fixed_dictionaries(
        {"estimator": estimators},
        optional={"parameters": st.dictionaries(names, values, max_size=2), "search": search},
    )
    gate = {
        "metric": draw(st.sampled_from([name for name, fits in METRICS.items() if fits == problem])),
        "minimum": draw(numbers),
        "margin": draw(numbers),
        "slices": draw(st.dictionaries(names.map(lambda name: f"slice_{name}"), numbers, max_size=2)),
        "resamples": draw(st.integers(100, 10_000)),
    }
    return {
        **content(problem),
        "name": draw(names),
        "description": draw(st.text("abc: #\n'\"æ", max_size=20)),
        "columns": draw(st.dictionaries(names, columns(), min_size=1, max_size=4)),
        "key": draw(st.lists(names.map(lambda name: f"key_{name}"), min_size=1, max_size=2, unique=True)),
        "target": draw(st.none() | names.map(lambda name: f"target_{name}")),
        "split": draw(splits),
        "gate": gate,
        "candidates": draw(st.dictionaries(names, candidate, min_size=1, max_size=3)),
    }


@settings(max_examples=30, deadline=None)
@given(documents())
def test_every_spec_survives_json_and_yaml(document: dict[str, Any]) -> None:
    spec = parsed(document)
    again = ModelSpec.model_validate_json(spec.model_dump_json())
    assert again.model_dump() == spec.model_dump()
    assert again.digest == spec.digest
    assert parsed(json.loads(spec.model_dump_json(exclude_none=True))).digest == spec.digest


FREE = ("sources", "columns", "slices", "candidates", "parameters")
"""Keys whose mappings have names of the user's own in them."""


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in the document a mapping has fixed keys."""
    found: list[tuple[Any, ...]] = []
    if isinstance(document, dict):
        if not at or at[-1] not in FREE:
            found.append(at)
        if not at or at[-1] != "parameters":
            for key, value in document.items():
                found += places(value, (*at, key))
    return found


@settings(max_examples=30, deadline=None)
@given(documents(), st.data())
def test_an_unknown_key_is_refused_wherever_it_stands(document: dict[str, Any], data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(places(document)))
    inside = document = json.loads(json.dumps(document))
    for part in place:
        inside = inside[part]
    inside["unknown_key"] = 1
    error = refused(document)
    assert error.obj.endswith(".".join(map(str, (*place, "unknown_key"))))
    assert "unknown key 'unknown_key'" in error.observed
    assert error.next_step.startswith("Allowed here: ")
