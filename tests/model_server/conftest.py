"""A model with a column of every type, stored by MLflow, and a server that serves it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from slipway_model_server.estimators import trusted_types

from tests.model_server.server import Server, model_server

ROWS = 60
NULLABLE = ("carrier", "distance", "landed", "seats", "wet")


def make_frame(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Columns of every type, with missing values in the NULLABLE ones; `seats` is a nullable int column."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "carrier": rng.choice(np.array(["AA", "Überflug", "日本", None], dtype=object), rows),
            "distance": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(900, 300, rows)),
            "hour": rng.integers(0, 24, rows),
            "international": rng.random(rows) < 0.5,
            "wet": rng.choice(np.array([True, False, None], dtype=object), rows),
            "landed": np.datetime64("2013-01-01T00:00:00.000000", "us")
            + rng.integers(0, 10**13, rows).astype("timedelta64[us]"),
            "seats": np.where(rng.random(rows) < 0.2, np.nan, rng.integers(50, 400, rows)),
        }
    )
    frame.loc[frame.index % 5 == 0, "landed"] = pd.NaT
    return frame


def make_pipeline(final: Any) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.pipeline import make_pipeline as chain
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from slipway_model_server.estimators import NAT, date_step

    encoders = ColumnTransformer(
        [
            ("numeric", chain(SimpleImputer(), StandardScaler()), ["distance", "hour", "seats"]),
            ("categorical", OneHotEncoder(handle_unknown="ignore"), ["carrier", "international", "wet"]),
            (
                "date",
                chain(date_step(), SimpleImputer(missing_values=NAT, strategy="median", add_indicator=True)),
                ["landed"],
            ),
            ("scaled", chain(date_step(), SimpleImputer(missing_values=NAT), StandardScaler()), ["landed"]),
        ]
    )
    return Pipeline([("encode", encoders), ("model", final)])


def store(pipeline: Any, folder: Path, frame: pd.DataFrame, **more: Any) -> Path:
    """Store `pipeline` as MLflow does, with a signature whose columns are required unless NULLABLE."""
    import mlflow.sklearn
    import skops.io
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    kinds = {"O": "string", "f": "double", "i": "long", "b": "boolean", "M": "datetime"}
    columns: list[Any] = [
        ColSpec(
            "boolean" if name == "wet" else kinds[frame[name].dtype.kind], name, required=name not in NULLABLE
        )
        for name in frame
    ]
    types = skops.io.get_untrusted_types(data=skops.io.dumps(pipeline))
    assert set(types) <= trusted_types()
    mlflow.sklearn.save_model(
        pipeline,
        folder,
        **{
            "serialization_format": "skops",
            "signature": ModelSignature(Schema(columns)),
            "pip_requirements": ["scikit-learn==1.9.1"],
            "skops_trusted_types": types,
            **more,
        },
    )
    return folder


def labels(frame: pd.DataFrame) -> Any:
    """Three labels that the columns have to do with, as text beyond ASCII."""
    score = frame.hour + 10 * frame.international + 8 * (frame.carrier == "AA")
    return np.array(["früh", "late", "on time"], dtype=object)[(score % 30 // 10).astype(int)]


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    return make_frame()


@pytest.fixture(scope="session")
def pipeline(frame: pd.DataFrame) -> Any:
    from sklearn.linear_model import LogisticRegression

    return make_pipeline(LogisticRegression(max_iter=2000)).fit(frame, labels(frame))


@pytest.fixture(scope="session")
def stored(pipeline: Any, frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(pipeline, tmp_path_factory.mktemp("stored") / "model", frame)


@pytest.fixture
def copy_of(stored: Path, tmp_path: Path) -> Callable[[], Path]:
    """A copy of the stored model, to spoil."""
    import shutil

    def copy() -> Path:
        return Path(shutil.copytree(stored, tmp_path / "model"))

    return copy


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with model_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def served(server: Server, stored: Path) -> Server:
    """The server, with `stored` loaded as `flights`."""
    answer = server.load("flights", stored, version="7")
    assert answer.status_code == 200, answer.text
    return server
