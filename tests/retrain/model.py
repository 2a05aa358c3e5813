"""A small model of a test's own, on disk as a user would keep it: spec, functions and data in one folder."""

import contextlib
import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

FUNCTIONS = """
import narwhals as nw


def prepare(fish):
    return fish.select("id", "pond", "length", "weight", "colour")
"""

SPEC: dict[str, Any] = {
    "problem": "classification",
    "features": "fish.py",
    "sources": {"fish": "fish.parquet"},
    "target": "kind",
    "key": ["id"],
    "columns": {
        "length": {"type": "float64", "minimum": 0},
        "weight": {"type": "float64", "nullable": True},
        "colour": {"type": "string"},
    },
    "split": {"by": "random", "test": 0.3},
    "gate": {"metric": "accuracy", "minimum": 0.6, "margin": -0.1, "slices": {"pond": 0.5}},
    "candidates": {
        "logistic": {
            "estimator": "sklearn.linear_model.LogisticRegression",
            "parameters": {"max_iter": 300},
            "search": {"method": "grid", "parameters": {"C": [0.1, 1.0]}},
        },
        "tree": {"estimator": "sklearn.tree.DecisionTreeClassifier", "parameters": {"max_depth": 4}},
    },
    "serving": {"latency_ms": 1000},
}


@dataclass
class Model:
    """What the user keeps; `write` puts it on disk. Change `spec`, `functions` or `rows` and write again."""

    folder: Path
    name: str
    spec: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(SPEC))
    functions: str = FUNCTIONS
    rows: pd.DataFrame = field(default_factory=lambda: fish())  # noqa: PLW0108 - fish is defined below

    @property
    def path(self) -> str:
        return str(self.folder / "spec.yaml")

    def write(self) -> "Model":
        self.folder.mkdir(parents=True, exist_ok=True)
        Path(self.path).write_text(yaml.safe_dump({"name": self.name, **self.spec}, sort_keys=False))
        (self.folder / "fish.py").write_text(self.functions)
        self.rows.to_parquet(self.folder / "fish.parquet", index=False)
        return self


def fish(rows: int = 800, seed: int = 0, noise: float = 0.05) -> pd.DataFrame:
    """Fish whose kind follows from length and colour, but for a share `noise` of them."""
    rng = np.random.default_rng(seed)
    length = rng.uniform(5, 60, rows)
    colour = rng.choice(["grey", "green", "red"], rows)
    kind = np.where(length > 30, "pike", np.where(colour == "red", "perch", "roach")).astype(object)
    muddled = rng.random(rows) < noise
    kind[muddled] = rng.choice(["pike", "perch", "roach"], muddled.sum())
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "pond": rng.choice(["north", "south"], rows),
            "length": length,
            "weight": np.where(rng.random(rows) < 0.1, np.nan, length**2 / 10),
            "colour": colour,
            "kind": kind,
        }
    )


def free_locks(name: str) -> None:
    """Free the locks of a killed run at once, as an operator would, instead of waiting for the lease to end."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from tasks.locks import limit_name

    with get_client(sync_client=True) as client:
        for kind in ("retrain", "release"):
            with contextlib.suppress(ObjectNotFound):
                client.delete_global_concurrency_limit_by_name(limit_name(kind, name))
