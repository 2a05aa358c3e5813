"""Specs and frames for the tests of the deciding side, small enough to read."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tasks.errors import SpecError
from tasks.spec import TARGET, ModelSpec, parse_spec

PATH = Path("/specs/example.yaml")
LOGISTIC = {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"max_iter": 200}}
RIDGE = {"estimator": "sklearn.linear_model.Ridge"}


def content(problem: str = "classification", **changes: Any) -> dict[str, Any]:
    """What the YAML of a spec says: every column type, a key, one candidate. `changes` replace its keys."""
    classify = problem == "classification"
    return {
        "name": "example",
        "problem": problem,
        "features": "example.py",
        "sources": {"rows": "rows.parquet"},
        "target": "answer",
        "key": ["id"],
        "columns": {
            "size": {"type": "float64", "nullable": True},
            "count": {"type": "int64"},
            "colour": {"type": "string", "nullable": True},
            "open": {"type": "bool"},
            "seen": {"type": "datetime", "nullable": True},
        },
        "split": {"by": "random", "test": 0.25},
        "gate": {"metric": "accuracy" if classify else "r2", "minimum": 0.5, "slice_rows": 10},
        "candidates": {"first": LOGISTIC if classify else RIDGE},
        **changes,
    }


def spec_of(problem: str = "classification", **changes: Any) -> ModelSpec:
    return parsed(content(problem, **changes))


def parsed(document: Any) -> ModelSpec:
    """The spec that a file with this content would give."""
    return parse_spec(yaml.safe_dump(document, sort_keys=False), PATH)


def refused(document: Any) -> SpecError:
    """The error that refuses it."""
    with pytest.raises(SpecError) as error:
        parsed(document)
    return error.value


def frame_of(n: int = 400, problem: str = "classification", classes: int = 2, seed: int = 0) -> pd.DataFrame:
    """n prepared rows in the canonical form of `read_prepared`, with missing values and a learnable target."""
    generator = np.random.default_rng(seed)
    size = generator.normal(size=n)
    colour = generator.choice(["red", "green", "blue"], n).astype(object)
    signal = size + 1.5 * (colour == "red") + 0.2 * generator.normal(size=n)
    size[generator.random(n) < 0.05] = np.nan
    colour[generator.random(n) < 0.05] = None
    seen = (np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(1, "h")).astype(
        "datetime64[us]"
    )
    seen[generator.random(n) < 0.05] = np.datetime64("NaT")
    target: Any = signal
    if problem == "classification":
        names = np.asarray(["a", "b", "c", "d"][:classes], dtype=object)
        target = names[np.digitize(signal, np.quantile(signal, np.linspace(0, 1, classes + 1)[1:-1]))]
    return pd.DataFrame(
        {
            "size": size,
            "count": generator.integers(0, 9, n),
            "colour": colour,
            "open": generator.random(n) < 0.5,
            "seen": seen,
            "id": np.arange(n),
            TARGET: target,
        }
    )
