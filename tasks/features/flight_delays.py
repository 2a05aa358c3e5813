"""Features of the model `flight-delays`: will a flight arrive more than 15 minutes late?

A prediction is made when the departure is planned, so a feature may only use what is known then:

- the schedule (`flights`): time, route, carrier, distance, and how many departures the airport has planned
  in that hour;
- the airport's weather in the hour of the planned departure (`weather`). What was measured in that hour
  stands in for the forecast that a planner would have; a real forecast is a little worse;
- the aeroplane (`planes`), known by its tail number: a third of the flights has none on file, hence missing
  values.

Left out, as they are only known afterwards and give the answer away: `dep_time`, `dep_delay`, `arr_time`,
`arr_delay`, `air_time`. `arr_delay` is the target, and only `target` reads it; flights that were cancelled
or diverted have none and are left out of training, not of scoring.

A row is a flight, by (`time_hour`, `carrier`, `flight`); `time_hour` is the hour of planned departure, UTC.
"""

from datetime import timedelta
from typing import Any

import narwhals as nw

Frame = nw.LazyFrame[Any]

KEYS = ("time_hour", "carrier", "flight")
LATE = 15
"""Minutes after the planned arrival from which on a flight is late."""
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")


def prepare(flights: Frame, weather: Frame, planes: Frame) -> Frame:
    scheduled = flights.select(
        *KEYS,
        "tailnum",
        "origin",
        "dest",
        "month",
        "hour",
        "minute",
        "distance",
        arrival_hour=nw.col("sched_arr_time") // 100,
        # Local winter time: no flight is planned in the hour in which summer time's date would differ.
        weekday=(nw.col("time_hour") - timedelta(hours=5)).dt.weekday(),
        departures=nw.len().over("origin", "time_hour"),
    )
    # narwhals 2.29 gives 7 for a Sunday on pandas and polars, but 0 on Spark.
    sunday = nw.when(nw.col("weekday") == 7).then(nw.lit(0)).otherwise(nw.col("weekday"))
    scheduled = scheduled.with_columns(weekday=sunday)
    aircraft = planes.select("tailnum", "manufacturer", "engines", "seats", built=nw.col("year"))
    return (
        scheduled.join(
            weather.select("origin", "time_hour", *WEATHER), on=["origin", "time_hour"], how="left"
        )
        .join(aircraft, on="tailnum", how="left")
        .with_columns(plane_age=2013 - nw.col("built"))
        .drop("tailnum", "built")
    )


def target(flights: Frame) -> Frame:
    return flights.select(*KEYS, late=nw.col("arr_delay") > LATE)
