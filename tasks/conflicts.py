"""What charts would make and somebody else has made already: found before anything is written."""

from collections.abc import Iterable

from tasks import drift
from tasks.errors import PlatformError
from tasks.helm import Chart
from tasks.kubernetes import Manifest

RELEASE, NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
SHOWN = 5


def check_conflicts(charts: Iterable[Chart]) -> None:
    """Raise PlatformError naming what stands in the way of charts that are not installed yet."""
    found = [
        f"{drift.title(chart, each)}, {owner(state)}"
        for chart, each, state in drift.for_each(charts, drift.state)
        if state is not None and not belongs(state, chart)
    ]
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise PlatformError(
            "another installation",
            f"has what the platform would make: {'; '.join(found[:SHOWN])}{more}",
            "Remove it, or give the platform other namespaces in infra/platform.yaml.",
        )


def belongs(there: Manifest, chart: Chart) -> bool:
    """Pure: whether the object is of the chart's own release, a killed one for example."""
    return release_of(there) == (chart.name, chart.namespace)


def owner(there: Manifest) -> str:
    """Pure: whose it is, in words."""
    name, namespace = release_of(there)
    if name:
        return f"of the Helm release {name} in {namespace}"
    managers = [each["manager"] for each in there["metadata"].get("managedFields") or ()]
    return f"made with {managers[0]}" if managers else "of nobody who is known"


def release_of(there: Manifest) -> tuple[str, str]:
    said = there["metadata"].get("annotations") or {}
    return str(said.get(RELEASE, "")), str(said.get(NAMESPACE, ""))
