"""A whole retrain against the bare script, and what an unchanged one costs beyond an empty flow.

Both run in this process, warm, on the same platform, in turn; the first turn of each is not counted.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.bench.timing import in_turn

TURNS = 3
UNCHANGED_TURNS = 7
GIGABYTE = 1_000_000_000


def measure_flights() -> dict[str, Any]:
    from tasks.spec import MODELS

    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        return against_bare(MODELS / "flight-delays.yaml", Path(folder), limit=1.15)


def measure_synthetic() -> dict[str, Any]:
    from tests.bench import synthetic

    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        return against_bare(synthetic.write(Path(folder)), Path(folder), limit=1.10)


def against_bare(model: Path, folder: Path, limit: float) -> dict[str, Any]:
    """Medians of TURNS turns of the model's spec; a second spec is written to `folder`.

    The first candidate is released. From then on both judge against that champion under a margin that nothing
    reaches, so that neither registers or releases, which the script does not do. Nothing is found prepared.
    """
    from flows.retrain import retrain
    from tasks.settings import settings
    from tests.bench import bare

    kept = folder / f"kept-{model.name}"
    content = yaml.safe_load(model.read_text())
    kept.write_text(yaml.safe_dump({**content, "gate": {**content["gate"], "margin": 1.0}}, sort_keys=False))

    def slipway() -> None:
        shutil.rmtree(settings().home / "store" / "prepared", ignore_errors=True)
        if retrain(str(kept), force=True).outcome != "kept":
            raise RuntimeError("the retrain was to keep the champion")

    def script() -> None:
        if bare.retrain(str(kept), settings().mlflow_url)["outcome"] != "keep":
            raise RuntimeError("the script was to keep the champion")

    retrain(str(model), force=True)
    ours, theirs = in_turn(slipway, script, TURNS)
    return {
        "retrain": {"value": ours / theirs, "limit": limit, "slipway_s": ours, "bare_s": theirs},
    }


def measure_unchanged() -> dict[str, Any]:
    """Seconds beyond an empty flow: iris, and a source of 1 GB."""
    from flows.retrain import retrain

    retrain("iris", force=True)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        large = large_model(Path(folder))
        retrain(large, force=True)
        return {
            "iris": beyond_empty(lambda: retrain("iris")),
            "source of 1 GB": beyond_empty(lambda: retrain(large)),
        }


def beyond_empty(unchanged: Callable[[], Any]) -> dict[str, Any]:
    from prefect import flow

    @flow(name="empty")
    def empty() -> None:
        return None

    def checked() -> None:
        if unchanged().outcome != "unchanged":
            raise RuntimeError("the retrain that should find nothing to do did something")

    ours, theirs = in_turn(checked, empty, UNCHANGED_TURNS)
    return {"value": ours - theirs, "limit": 0.5, "unit": "s", "unchanged_s": ours, "empty_s": theirs}


def large_model(folder: Path) -> str:
    """A model whose source is 1 GB on disk; only one of its columns is read."""
    import numpy as np
    import polars as pl

    from tests.bench import synthetic

    spec = synthetic.write(folder, rows=20_000)
    rows = pl.read_parquet(folder / "rows.parquet")
    noise = np.random.default_rng(0).bytes(GIGABYTE)
    size = GIGABYTE // len(rows)
    ballast = pl.Series("ballast", [noise[i * size : (i + 1) * size] for i in range(len(rows))])
    rows.with_columns(ballast).write_parquet(folder / "rows.parquet", compression="uncompressed")
    functions = folder / "features.py"
    functions.write_text(functions.read_text().replace('drop("answer")', 'drop("answer", "ballast")'))
    return str(spec)
