"""A made-up table of any size, 20 columns wide, with its spec: what a retrain of much data costs."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import yaml

NUMBERS, COUNTS, TEXTS = 14, 3, 3
ROWS = 1_000_000

FEATURES = '''"""Two features made and the rest as they are; the target is a column of the source."""

import narwhals as nw


def prepare(rows):
    ratio = (nw.col("number_0") / (nw.col("number_1").abs() + 1.0)).alias("number_0")
    return rows.with_columns(ratio, nw.col("count_0").clip(0, 50).alias("count_0")).drop("answer")
'''


def write(folder: Path, rows: int = ROWS, seed: int = 0, margin: float = -0.01) -> Path:
    """Write `rows.parquet`, `features.py` and `synthetic.yaml` to `folder`; returns the spec's path.

    The same numbers always give the same table: `id` (int64), 14 floats (2 % missing), 3 counts, 3 texts (of 4,
    30 and 300 values), `answer` (yes or no, three parts signal to one noise). `margin` is the gate's: with 1.0
    no candidate replaces a champion.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _table(rows, seed).write_parquet(folder / "rows.parquet")
    (folder / "features.py").write_text(FEATURES)
    path = folder / "synthetic.yaml"
    path.write_text(yaml.safe_dump(_spec(margin), sort_keys=False))
    return path


def _table(rows: int, seed: int) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=(rows, NUMBERS))
    counts = generator.poisson(5, size=(rows, COUNTS))
    texts = [generator.integers(0, size, rows) for size in (4, 30, 300)]
    signal = numbers[:, 0] - 0.8 * numbers[:, 1] * (texts[0] == 2) + 0.1 * counts[:, 0] + 0.02 * texts[1]
    answer = signal + generator.normal(scale=signal.std() / 3, size=rows) > np.median(signal)
    numbers[generator.random((rows, NUMBERS)) < 0.02] = np.nan
    columns: dict[str, object] = {"id": np.arange(rows)}
    columns |= {f"number_{index}": numbers[:, index] for index in range(NUMBERS)}
    columns |= {f"count_{index}": counts[:, index] for index in range(COUNTS)}
    columns |= {f"text_{index}": np.char.add("t", codes.astype(str)) for index, codes in enumerate(texts)}
    columns["answer"] = np.where(answer, "yes", "no")
    return pl.DataFrame(columns).fill_nan(None)


def _spec(margin: float) -> dict[str, object]:
    columns: dict[str, object] = {
        f"number_{i}": {"type": "float64", "nullable": True} for i in range(NUMBERS)
    }
    columns |= {f"count_{i}": {"type": "int64", "minimum": 0} for i in range(COUNTS)}
    columns |= {f"text_{i}": {"type": "string"} for i in range(TEXTS)}
    return {
        "name": "synthetic",
        "problem": "classification",
        "features": "features.py",
        "sources": {"rows": "rows.parquet"},
        "target": "answer",
        "key": ["id"],
        "columns": columns,
        "minimum_rows": 1000,
        "split": {"by": "random", "test": 0.2},
        "gate": {"metric": "roc_auc", "minimum": 0.6, "margin": margin, "slices": {"text_0": 0.6}},
        "candidates": {
            "boosting": {
                "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
                "parameters": {"max_iter": 50},
            },
            "logistic": {
                "estimator": "sklearn.linear_model.LogisticRegression",
                "parameters": {"max_iter": 100},
            },
        },
    }


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else ROWS))
