"""Scoring with a real stored model, on every engine; `tests/flows/test_score.py` runs the whole flow."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from slipway_model_server.digest import artifact_digest

from tasks import pipelines, prediction, preparation, scoring, sources, store
from tasks.errors import DataError, RegistryError, SlipwayError, SpecError
from tasks.prediction import NewCategories, StoredModel
from tasks.preparation import Prepared, prepare
from tasks.scoring import Champion, ScoreResult
from tasks.settings import ROOT
from tasks.spec import TARGET, ModelSpec
from tests.tasks.shop import Shop, orders, shops


def stored_model(spec: ModelSpec, folder: Path) -> Champion:
    """A champion trained on the spec's sources, stored as MLflow stores it."""
    import mlflow.sklearn
    import skops.io
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from tasks.runlog import MLFLOW_TYPES

    rows = preparation.read_prepared(prepare(spec, sources.take_snapshot(spec), "polars", with_target=True))
    pipeline = pipelines.build(spec, next(iter(spec.candidates)))
    pipeline.fit(rows[list(spec.columns)], rows[TARGET])
    inputs: list[Any] = [
        ColSpec(MLFLOW_TYPES[kind], name, required=not spec.columns[name].nullable)
        for name, kind in spec.model_types.items()
    ]
    mlflow.sklearn.save_model(
        pipeline,
        str(folder),
        signature=ModelSignature(Schema(inputs), Schema([ColSpec("boolean")])),
        pip_requirements=["scikit-learn"],
        serialization_format="skops",
        skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(pipeline)),
    )
    return Champion(spec.name, 7, StoredModel(folder, artifact_digest(folder)))


@pytest.fixture
def champion(shop: Shop, tmp_path: Path) -> Champion:
    return stored_model(shop.spec(), tmp_path / "model")


def prepared(spec: ModelSpec, engine: Any = "polars") -> Prepared:
    return prepare(spec, sources.take_snapshot(spec), engine, with_target=False)


def run(spec: ModelSpec, champion: Champion, destination: str, engine: Any = "polars") -> ScoreResult:
    rows = prepared(spec, engine)
    return scoring.write_predictions(spec, rows, champion, engine, destination, "run-1234567", "abc")


def test_every_engine_writes_what_the_model_says(
    shop: Shop, champion: Champion, tmp_path: Path, engine: Any
) -> None:
    spec = shop.spec()
    result = run(spec, champion, str(tmp_path / "out"), engine)
    found = pl.read_parquet(tmp_path / "out" / "*.parquet").sort("order")
    assert found.columns == ["order", "prediction", "probability_False", "probability_True"]
    rows = preparation.read_prepared(prepared(spec))
    pipeline = prediction.load(champion.stored).pipeline
    assert found["order"].to_list() == rows["order"].tolist() == list(range(40))
    assert found["prediction"].to_list() == pipeline.predict(rows[list(spec.columns)]).tolist()
    probability = pipeline.predict_proba(rows[list(spec.columns)])
    assert found.select(pl.col("^prob.*$")).to_numpy() == pytest.approx(probability)
    assert (result.rows, result.version, result.engine, result.new_categories) == (40, 7, engine, {})


def test_version_and_run_are_recorded(shop: Shop, champion: Champion, tmp_path: Path, engine: Any) -> None:
    result = run(shop.spec(), champion, str(tmp_path / "out"), engine)
    about = json.loads((tmp_path / "out" / "_run.json").read_text())
    facts = {"model": "shop", "version": 7, "digest": result.digest, "run_id": "run-1234567"}
    assert facts.items() <= about.items()
    assert about["files"] == sorted(p.name for p in (tmp_path / "out").glob("*.parquet"))
    for file in about["files"]:
        metadata = pq.read_metadata(tmp_path / "out" / file).metadata
        if engine == "spark":
            fields = json.loads(metadata[b"org.apache.spark.sql.parquet.row.metadata"])["fields"]
            recorded = next(f for f in fields if f["name"] == "prediction")["metadata"]["slipway"]
        else:
            recorded = metadata[b"slipway"]
        assert json.loads(recorded) == facts


def test_new_categories_are_predicted_counted_and_named(
    shop: Shop, champion: Champion, tmp_path: Path, engine: Any
) -> None:
    shops().with_columns(city=pl.Series(["Köln", "Zürich", "Genève"])).write_parquet(
        shop.folder / "shops.parquet"
    )
    result = run(shop.spec(), champion, str(tmp_path / "out"), engine)
    assert result.new_categories["city"].rows == 20
    assert set(result.new_categories["city"].values) == {"Zürich", "Genève"}
    assert pl.read_parquet(tmp_path / "out" / "*.parquet")["prediction"].null_count() == 0


def test_new_whole_numbers_and_nulls_in_a_category(shop: Shop, tmp_path: Path) -> None:
    columns = {name: column.model_dump(exclude_none=True) for name, column in shop.spec().columns.items()}
    columns["size"]["role"] = "categorical"
    spec = shop.spec(columns=columns)
    champion = stored_model(spec, tmp_path / "model")
    orders().with_columns(pl.col("size").replace(6, 1000)).write_parquet(shop.folder / "orders.parquet")
    result = run(spec, champion, str(tmp_path / "out"))
    # 13, 26 and 39 are sizes of orders without a target: training did not see them.
    assert result.new_categories == {"size": NewCategories(4, ("13", "26", "39", "1000"))}


def test_a_regression_has_values_and_no_probabilities(shop: Shop, tmp_path: Path, engine: Any) -> None:
    spec = shop.spec(
        problem="regression",
        target="paid",
        gate={"metric": "r2", "minimum": 0.0},
        candidates={"ridge": {"estimator": "sklearn.linear_model.Ridge"}},
    )
    result = run(spec, stored_model(spec, tmp_path / "model"), str(tmp_path / "out"), engine)
    found = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert dict(found.schema) == {"order": pl.Int64, "prediction": pl.Float64}
    assert found.height == result.rows == 40


def test_known_categories_come_from_any_encoder(shop: Shop) -> None:
    step = {"estimator": "sklearn.linear_model.LogisticRegression"}
    spec = shop.spec(candidates={"tree": shop.spec().candidates["tree"].model_dump(), "line": step})
    rows = preparation.read_prepared(prepare(spec, sources.take_snapshot(spec), "polars", with_target=True))
    for name in spec.candidates:
        pipeline = pipelines.build(spec, name).fit(rows[list(spec.columns)], rows[TARGET])
        known = prediction.known_categories(pipeline)
        assert set(known["city"]) >= {"Köln", "Łódź"}
        assert set(known["band"]) == {"heavy", "light"}


def test_a_champion_that_takes_other_columns_is_an_error_before_anything_is_written(
    shop: Shop, champion: Champion, tmp_path: Path
) -> None:
    columns = {n: c.model_dump(exclude_none=True) for n, c in shop.spec().columns.items() if n != "city"}
    with pytest.raises(DataError, match="'city': the champion takes it as string; prepared data lacks it"):
        run(shop.spec(columns=columns), champion, str(tmp_path / "out"))
    columns["city"] = {"type": "string", "nullable": True}
    columns["size"] = {"type": "string", "nullable": True}
    shop.functions((shop.folder / "shop.py").read_text().replace("band=", "size=nw.lit('x'), band="))
    with pytest.raises(DataError, match=r"'size': the champion takes it as float64; .* has it as string"):
        run(shop.spec(columns=columns), champion, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_changed_model_file_is_refused(shop: Shop, champion: Champion, tmp_path: Path) -> None:
    with (champion.stored.folder / "model.skops").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RegistryError, match="the files have changed"):
        run(shop.spec(), champion, str(tmp_path / "out"))


def test_a_second_score_takes_the_place_of_the_first(
    shop: Shop, champion: Champion, tmp_path: Path, engine: Any
) -> None:
    run(shop.spec(), champion, str(tmp_path / "out"))
    orders(50).write_parquet(shop.folder / "orders.parquet")
    run(shop.spec(), champion, str(tmp_path / "out"), engine)
    assert pl.read_parquet(tmp_path / "out" / "*.parquet").height == 50
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]


@pytest.mark.parametrize("engine", ["polars", pytest.param("spark", marks=pytest.mark.spark)])
def test_a_failed_write_loses_nothing(
    shop: Shop, champion: Champion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    run(shop.spec(), champion, str(tmp_path / "out"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(scoring, "switch", full)
    with pytest.raises(SlipwayError, match=r"out: the disk is full: [\d,.]+ MB free"):
        run(shop.spec(), champion, str(tmp_path / "out"), engine)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]


def test_folders_switch_also_where_the_system_cannot_exchange_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for exchange in (scoring._exchange, lambda *_: False):
        monkeypatch.setattr(scoring, "_exchange", exchange)
        for name in ("new", "out"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "file").write_text(name)
        scoring.switch(tmp_path / "new", tmp_path / "out")
        assert (tmp_path / "out" / "file").read_text() == "new"
        assert not list(tmp_path.glob("*.old"))


def test_a_destination_that_holds_something_else_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    assert scoring.destination_uri(str(tmp_path / "letters")) == str(tmp_path / "letters")
    (tmp_path / "letters" / "to-anna.txt").write_text("dear")
    with pytest.raises(SpecError, match=r"letters: holds something else than predictions .*to-anna\.txt"):
        scoring.destination_uri(str(tmp_path / "letters"))
    with pytest.raises(SpecError, match="holds something else"):
        scoring.destination_uri(str(tmp_path / "letters" / "to-anna.txt"))


def test_s3_stand_in_as_destination(bucket: Any, shop: Shop, champion: Champion) -> None:
    run(shop.spec(), champion, "s3://data/scores")
    first = store.list_files("s3://data/scores")
    orders(50).write_parquet(shop.folder / "orders.parquet")
    rows = prepared(shop.spec())
    scoring.write_predictions(shop.spec(), rows, champion, "polars", "s3://data/scores", "other-run", "abc")
    second = store.list_files("s3://data/scores")
    about = json.loads(store.read_bytes("s3://data/scores/_run.json"))
    assert [f"s3://data/scores/{name}" for name in about["files"]] == [f for f in second if "_run" not in f]
    assert not set(first) & set(second) - {"s3://data/scores/_run.json"}
    assert about["rows"] == 50


MEASURE = """
import json, pathlib, sys
from tasks import prediction
from tasks.frames import PreparedColumn
from tasks.prediction import StoredModel
from tasks.preparation import Prepared
given = json.loads(sys.argv[1])
columns = tuple(PreparedColumn(*column) for column in given["columns"])
rows = Prepared(given["uri"], "key", given["rows"], True, columns, tuple(given["files"]))
model = StoredModel(pathlib.Path(given["folder"]), given["digest"])
plan = prediction.plan(model, rows, ["order"])
prediction.write_batches(plan, rows, pathlib.Path(given["out"]), b"{}")
status = pathlib.Path("/proc/self/status").read_text()  # ru_maxrss would be the parent's if that is larger
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


def test_memory_does_not_grow_with_the_rows(shop: Shop, champion: Champion, tmp_path: Path) -> None:
    spec = shop.spec()
    small = peak_memory(spec, champion, tmp_path, 100_000)
    large = peak_memory(spec, champion, tmp_path, 2_000_000)
    assert large < small + 30, f"{small:.0f} MB for 0.1 million rows, {large:.0f} MB for 2 million"


def peak_memory(spec: ModelSpec, champion: Champion, folder: Path, rows: int) -> float:
    """Peak resident MB of a process that predicts so many rows."""
    base = prepared(spec)
    frame = pl.read_parquet(base.files[0])
    file = folder / f"{rows}.parquet"
    pl.concat([frame] * (rows // 40)).write_parquet(file, row_group_size=65_536)
    given = {
        "columns": [[c.name, c.type, c.nullable] for c in base.columns], "uri": str(folder), "rows": rows,
        "files": [str(file)], "folder": str(champion.stored.folder), "digest": champion.stored.digest,
        "out": str(folder / f"out-{rows}"),
    }  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(given)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert pq.read_metadata(folder / f"out-{rows}" / "part-00000.parquet").num_rows == rows
    print(rows, "rows:", ran.stdout, "MB")
    return float(ran.stdout)
