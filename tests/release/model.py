"""A small model with a column of every type, published as `retrain` publishes: stored, judged, registered."""

import itertools
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from slipway_model_server.digest import artifact_digest

from tasks import artifacts, pipelines, runlog, split, tracking
from tasks.gate import Evidence, GateDecision, GateRecord
from tasks.golden import Golden, make_golden, read_golden
from tasks.runlog import LoggedCandidate
from tasks.serving import Predictor, Served, serving
from tasks.settings import settings
from tasks.spec import ModelSpec, load_spec, parse_spec
from tasks.tracking import Version

SPEC: dict[str, Any] = {
    "problem": "classification",
    "features": "readings.py",
    "sources": {"readings": "readings.parquet"},
    "key": ["id"],
    "columns": {
        "size": {"type": "float64", "nullable": True},
        "count": {"type": "int64"},
        "seats": {"type": "int64", "nullable": True},
        "colour": {"type": "string", "nullable": True},
        "wet": {"type": "bool"},
        "seen": {"type": "datetime", "nullable": True},
    },
    "split": {"by": "random", "test": 0.3},
    "gate": {"metric": "accuracy", "minimum": 0.1},
    "candidates": {
        "model": {
            "estimator": "sklearn.linear_model.LogisticRegression",
            "parameters": {"max_iter": 300},
        }
    },
    "serving": {"latency_ms": 1000},
}


def write_spec(folder: Path, name: str, **changes: Any) -> str:
    """A spec file of its own for `name`: each test releases a model that no other test touches."""
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"name": name, **SPEC, **changes}))
    return str(path)


@lru_cache(maxsize=1)
def frame() -> pd.DataFrame:
    """Prepared rows as the model takes them."""
    rng = np.random.default_rng(0)
    rows = 200
    seen = np.datetime64("2026-01-01", "us") + rng.integers(0, 10**13, rows).astype("timedelta64[us]")
    return pd.DataFrame(
        {
            "size": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            "count": rng.integers(0, 5, rows),
            "seats": np.where(rng.random(rows) < 0.1, np.nan, rng.integers(1, 99, rows)),
            "colour": rng.choice(np.array(["rot", 'it\'s "blue"', "zielony ł", None], dtype=object), rows),
            "wet": rng.random(rows) < 0.5,
            "seen": pd.Series(seen).where(rng.random(rows) > 0.1),
            "id": np.arange(rows),
        }
    )


@lru_cache(maxsize=8)
def _fitted(strength: float, columns: tuple[str, ...]) -> tuple[ModelSpec, Any]:
    """The spec with only `columns`, and a pipeline fitted by it."""
    kept = {**SPEC, "name": "any", "columns": {name: SPEC["columns"][name] for name in columns}}
    spec = parse_spec(json.dumps(kept), Path("any.yaml"))
    rows = frame()
    names = np.array(["calm", "loud", "strange"], dtype=object)
    target = names[(rows["count"].to_numpy() + rows["wet"].to_numpy()) % 3]
    return spec, pipelines.build(spec, "model", {"C": strength}).fit(rows[list(columns)], target)


@lru_cache(maxsize=8)
def stored(
    strength: float,
    columns: tuple[str, ...],
    golden: Callable[[Golden], Golden] | None = None,
    plant: Callable[[Path], None] | None = None,
    copy: int = 0,
) -> LoggedCandidate:
    """A model logged once, which the tests that do not alter it register under many names."""
    spec, pipeline = _fitted(strength, columns)
    kept = make_golden(spec, frame(), pipeline)
    kept = golden(kept) if golden else kept
    with runlog.parent_run(spec, "candidate", {}) as run:
        example = frame()[list(columns)].head(3)
        logged = runlog.log_model(run, spec, pipeline, example, kept.model_dump_json().encode())
    if plant is None:
        return logged
    stored = tracking.client().get_logged_model(logged.source.removeprefix("models:/"))
    folder = Path(stored.artifact_location.removeprefix("file://"))
    plant(folder)
    return replace(logged, digest=artifact_digest(folder))


_copies = itertools.count(1)


def publish(
    path: str,
    strength: float = 1.0,
    *,
    columns: Sequence[str] = tuple(SPEC["columns"]),
    golden: Callable[[Golden], Golden] | None = None,
    plant: Callable[[Path], None] | None = None,
    own: bool = False,
) -> Version:
    """Register one more version, with a gate record. Another `strength` predicts something else.

    `golden` may falsify the golden rows before they are stored; `plant` may change the stored folder before
    its digest is taken. `own`: artifacts that no other test uses, so that this one may spoil them.
    """
    copy = next(_copies) if own or golden or plant else 0
    logged = stored(strength, tuple(columns), golden, plant, copy)
    return register(load_spec(path), logged.run.run_id, logged.source, logged.digest)


def go_live(*published: Version) -> None:
    """What releasing the versions one after the other leaves behind, without doing it."""
    for version in published:
        serving().move_traffic(version.model, Predictor(version.number, version.digest or "", version.uri))
        tracking.set_alias(version.model, "champion", version.number)
    if len(published) > 1:
        tracking.set_alias(published[0].model, "previous", published[-2].number)


def register(spec: ModelSpec, run_id: str, source: str, digest: str) -> Version:
    champion = tracking.alias(spec.name, "champion")
    record = GateRecord(
        model=spec.name,
        digest=digest,
        decision=GateDecision(outcome="promote", reasons=("It may.",)),
        evidence=Evidence(metric="accuracy", rows=60, candidate=0.9),
        split=split.resolve(spec, frame()),
        run_id=run_id,
        run_key=uuid.uuid4().hex,
        champion=None if champion is None else champion.number,
        created_at=datetime.now(UTC),
    )
    return tracking.register(record, source)


def golden_of(version: Version) -> Golden:
    return read_golden(artifacts.download(version), version.name)


def name_of(path: str) -> str:
    return load_spec(path).name


@dataclass(frozen=True)
class State:
    """All that a release may change, as seen from outside."""

    answering: Served | None
    told: Predictor | None
    champion: int | None
    previous: int | None
    hold: str | None
    rolled_back: tuple[int, ...]
    predictors: tuple[str, ...]
    """Names that the model server knows, candidates included."""


def state_of(path: str) -> State:
    name, server = name_of(path), serving()
    champion, previous = tracking.alias(name, "champion"), tracking.alias(name, "previous")
    repository = settings().home / "serving" / "models"
    index = httpx.post(f"{settings().serving_rest_url}/v2/repository/index", json={}, trust_env=False).json()
    known = {entry["name"] for entry in index} | {folder.name for folder in repository.iterdir()}
    return State(
        answering=server.answering(name),
        told=server.told(name),
        champion=champion.number if champion else None,
        previous=previous.number if previous else None,
        hold=tracking.hold(name),
        rolled_back=tuple(v.number for v in tracking.versions(name) if v.rolled_back is not None),
        predictors=tuple(
            sorted(each for each in known if each == name or each.startswith(f"{name}-candidate"))
        ),
    )
