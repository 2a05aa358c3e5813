from pathlib import Path

import polars as pl
import pytest

from tasks import datasets
from tasks.errors import SourceError


def test_iris(tmp_path: Path) -> None:
    datasets.iris({"iris": str(tmp_path / "iris.parquet")})
    frame = pl.read_parquet(tmp_path / "iris.parquet")
    assert frame.columns == [
        "flower",
        "sepal_length",
        "sepal_width",
        "petal_length",
        "petal_width",
        "species",
    ]
    assert frame["species"].value_counts().sort("species").rows() == [
        ("setosa", 50), ("versicolor", 50), ("virginica", 50),
    ]  # fmt: skip


def test_flights_have_timestamps_and_whole_numbers_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    uris = {name: str(tmp_path / f"{name}.parquet") for name in ("flights", "weather", "planes")}
    datasets.flight_delays(uris)
    frames = {name: pl.read_parquet(uri) for name, uri in uris.items()}
    assert {name: frame.height for name, frame in frames.items()} == {
        "flights": 336_776, "weather": 26_115, "planes": 3_322,
    }  # fmt: skip
    assert frames["flights"].schema["time_hour"] == frames["weather"].schema["time_hour"] == pl.Datetime("us")
    assert frames["flights"].schema["arr_delay"] == frames["planes"].schema["year"] == pl.Int64
    assert frames["flights"].select("time_hour", "carrier", "flight").is_unique().all()
    assert frames["weather"].select("origin", "time_hour").is_unique().all()
    first = (tmp_path / "weather.parquet").read_bytes()
    datasets.flight_delays({"weather": uris["weather"]})
    assert (tmp_path / "weather.parquet").read_bytes() == first


def test_a_package_that_is_not_installed() -> None:
    with pytest.raises(SourceError, match="package nosuchpackage: is not installed"):
        datasets._package_folder("nosuchpackage")
