"""What pods ask for, in cores and bytes, as the scheduler reckons. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tasks.errors import PlatformError
from tasks.kubernetes import Manifest

UNITS = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)")


@dataclass(frozen=True)
class Amount:
    cpu: float = 0.0
    memory: float = 0.0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.cpu + other.cpu, self.memory + other.memory)

    def at_least(self, other: "Amount") -> "Amount":
        return Amount(max(self.cpu, other.cpu), max(self.memory, other.memory))


def total(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, Amount())


def requested(spec: Manifest) -> Amount:
    """What a node keeps for the pod: its containers, or one that runs before them if that asks for more."""
    first = spec.get("initContainers") or ()
    beside = [one for one in first if one.get("restartPolicy") == "Always"]
    whole = total(_asked(one) for one in (*(spec.get("containers") or ()), *beside))
    for one in first:
        whole = whole.at_least(_asked(one))
    return whole


def _asked(container: Manifest) -> Amount:
    """A limit without a request is a request."""
    resources = container.get("resources") or {}
    return amount({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def amount(resources: Mapping[str, str | int | float]) -> Amount:
    return Amount(quantity(resources.get("cpu", "0")), quantity(resources.get("memory", "0")))


def quantity(written: str | int | float) -> float:
    """What Kubernetes means by `250m`, `2Gi`, `1e3` or `81527103n`."""
    found = QUANTITY.fullmatch(str(written))
    if found is None or found[2] not in UNITS:
        raise PlatformError(
            f"quantity {written!r}", "is none that Kubernetes has", "Write it as `500m`, `2` or `2Gi`."
        )
    return float(found[1]) * UNITS[found[2]]
