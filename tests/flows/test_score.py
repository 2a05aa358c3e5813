"""The score flow on the embedded platform, with the champion that a retrain of iris released."""

import json
from pathlib import Path

import polars as pl
import pytest

from tasks import artifacts, sources, store, tracking
from tasks.errors import DataError, RegistryError, SourceError, SpecError
from tasks.settings import Settings
from tasks.spec import load_spec

pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def iris(platform: Settings) -> str:
    """The model iris, with a champion."""
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    from flows.retrain import retrain

    if tracking.alias("iris", "champion") is None:
        retrain("iris")
    assert tracking.alias("iris", "champion") is not None
    return "iris"


@pytest.mark.parametrize("engine", ["pandas", "polars", pytest.param("spark", marks=pytest.mark.spark)])
def test_the_champion_scores_on_every_engine(iris: str, tmp_path: Path, engine: str) -> None:
    from flows.score import score

    result = score(iris, str(tmp_path / "out"), engine=engine)
    champion = tracking.alias(iris, "champion")
    assert champion is not None
    about = json.loads((tmp_path / "out" / "_run.json").read_text())
    assert (about["version"], about["digest"]) == (champion.number, champion.digest)
    assert (result.version, result.rows, result.run_id) == (champion.number, 150, about["run_id"])
    found = pl.read_parquet(tmp_path / "out" / "*.parquet").sort("flower")
    names = ("setosa", "versicolor", "virginica")
    assert found.columns == ["flower", "prediction", *(f"probability_{name}" for name in names)]
    pipeline = artifacts.load_pipeline(champion)
    uri = sources.source_uris(load_spec(iris))["iris"]
    rows = pl.read_parquet(uri).sort("flower").to_pandas()
    assert found["prediction"].to_list() == pipeline.predict(rows).tolist()
    assert found.select(pl.col("^prob.*$")).to_numpy() == pytest.approx(pipeline.predict_proba(rows))


def test_other_sources_need_no_target(iris: str, tmp_path: Path) -> None:
    from flows.score import score

    uri = sources.source_uris(load_spec(iris))["iris"]
    pl.read_parquet(uri).drop("species").head(5).write_parquet(tmp_path / "new.parquet")
    result = score(iris, str(tmp_path / "out"), sources={"iris": str(tmp_path / "new.parquet")})
    assert result.rows == 5


def test_bad_input_is_refused_before_anything_is_written(iris: str, tmp_path: Path) -> None:
    from flows.score import score

    rows = pl.read_parquet(sources.source_uris(load_spec(iris))["iris"])
    bad, out = str(tmp_path / "bad.parquet"), str(tmp_path / "out")
    rows.drop("petal_width").write_parquet(bad)
    with pytest.raises(SourceError, match=r"column that is missing: .*petal_width"):
        score(iris, out, sources={"iris": bad})
    rows.with_columns(pl.col("petal_width").cast(pl.String)).write_parquet(bad)
    with pytest.raises(DataError, match="'petal_width': is String"):
        score(iris, out, sources={"iris": bad})
    with pytest.raises(SourceError, match="does not exist"):
        score(iris, out, sources={"iris": str(tmp_path / "gone.parquet")})
    with pytest.raises(SpecError, match="holds something else than predictions"):
        score(iris, str(tmp_path))
    assert not store.exists(out)


def test_a_model_without_a_champion_is_named(iris: str, tmp_path: Path) -> None:
    from flows.score import score

    text = load_spec(iris).path.read_text().replace("name: iris", "name: never-trained")
    (tmp_path / "never.yaml").write_text(text)
    with pytest.raises(RegistryError, match="never-trained: has no champion"):
        score(str(tmp_path / "never.yaml"), str(tmp_path / "out"))
