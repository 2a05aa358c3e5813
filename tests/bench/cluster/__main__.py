"""`make bench-cluster`: on the cluster of KUBECONFIG, or of `make cluster`; writes bench-cluster.json.

Arguments name the parts to measure (default: all): bootstrap start pod release spark. The platform is brought up
first; what the parts add to it, they take away. Root is needed: the command line runs in a network namespace.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import report
from tests.bench.cluster import bootstrap, pod, release, spark, start
from tests.bench.report import Part
from tests.cluster.outside import Outside, find_kubeconfig, outside

OUTPUT = Path("bench-cluster.json")
MEASURES: dict[str, Callable[[Outside], dict[str, Any]]] = {
    "start": start.measure,
    "pod": pod.measure,
    "release": release.measure,
    "spark": spark.measure,
}


def main(names: list[str]) -> None:
    kubeconfig = find_kubeconfig()
    if not kubeconfig.is_file():
        raise SystemExit(
            f"{kubeconfig} does not exist: start a cluster with `make cluster`, or set KUBECONFIG."
        )
    with (
        tempfile.TemporaryDirectory(prefix="slipway-bench-") as home,
        outside("slipway-bench", kubeconfig, Path(home)) as cli,
    ):
        parts = parts_of(cli)
        report.measure(report.chosen(names, parts), parts, OUTPUT, "Slipway benchmark on a cluster")


def parts_of(cli: Outside) -> dict[str, Part]:
    """Bootstrap from nothing comes first, on a platform of its own; the others are of the one that stays."""

    def on_platform(measure: Callable[[Outside], dict[str, Any]]) -> dict[str, Any]:
        cli.answer("bootstrap", timeout=1500)
        return measure(cli)

    parts: dict[str, Part] = {"bootstrap": lambda: bootstrap.measure(cli)}
    for name, measure in MEASURES.items():
        parts[name] = lambda measure=measure: on_platform(measure)  # type: ignore[misc]
    return parts


if __name__ == "__main__":
    main(sys.argv[1:])
