"""Features of the model `iris`: the four lengths as they are. The target is the source's column `species`."""

from typing import Any

from narwhals import LazyFrame

Frame = LazyFrame[Any]


def prepare(iris: Frame) -> Frame:
    return iris.select("flower", "sepal_length", "sepal_width", "petal_length", "petal_width")
