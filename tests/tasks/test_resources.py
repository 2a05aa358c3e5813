"""Quantities of Kubernetes, as numbers."""

from typing import Any

import pytest

from tasks.errors import PlatformError
from tasks.resources import quantity

GI = 2**30


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("2", 2),
        ("500m", 0.5),
        ("1Gi", GI),
        ("1500M", 1.5e9),
        ("0.5", 0.5),
        ("1e3", 1000),
        ("16Ki", 16384),
        (3, 3),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(written: Any, number: float) -> None:
    assert quantity(written) == pytest.approx(number)


def test_a_quantity_that_is_none_is_refused() -> None:
    with pytest.raises(PlatformError, match="'2GB'"):
        quantity("2GB")


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("2", 2), ("250m", 0.25), ("1.5", 1.5), ("7n", 7e-9), ("3Ki", 3072), ("2G", 2e9), ("1e3", 1000)],
)  # fmt: skip
def test_small_and_large_units_are_known_too(text: str, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "2Xi", "many", "2 Gi"])
def test_another_quantity_is_named(text: str) -> None:
    with pytest.raises(PlatformError, match="is none that Kubernetes has"):
        quantity(text)
