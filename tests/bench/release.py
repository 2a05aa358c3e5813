"""How long a release takes, from a registered version to a live one that passed both smoke tests."""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.timing import seconds

TURNS = 7


def measure() -> dict[str, Any]:
    """Seconds (medians), on a platform that is up: the whole flow, and beyond the server's own loading.

    Two versions replace each other, so every turn loads a candidate, switches and tests twice.
    """
    from flows.release import release
    from tasks.serving import Predictor, serving
    from tasks.spec_schema import ServingSpec
    from tests.release.model import publish, write_spec

    with tempfile.TemporaryDirectory() as folder:
        path = write_spec(Path(folder), "bench-release")
        versions = [publish(path), publish(path, 0.01)]
        for version in versions:
            release(path, version=version.number)  # imports, and the lock's limit
        taken = [seconds(lambda turn=turn: release(path, version=1 + turn % 2)) for turn in range(TURNS)]
    server, name = serving(), versions[0].model
    predictor = Predictor(versions[0].number, versions[0].digest or "", versions[0].uri)
    loads = []
    for _ in range(TURNS):
        loads.append(seconds(lambda: server.start_candidate(name, predictor, ServingSpec())))
        server.retire_candidates(name)
    whole, load = statistics.median(taken), statistics.median(loads)
    return {
        "beyond the server's load": {"value": whole - load, "limit": 3.0, "unit": "s"},
        "whole": {"value": whole, "limit": None, "unit": "s"},
        "load of the model server": {"value": load, "limit": None, "unit": "s"},
    }
