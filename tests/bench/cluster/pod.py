"""A retrain of flight-delays as a pod, against the same one on the embedded platform of this machine.

Both are the command as a user types it, in turn, with nothing found prepared, and end in a release. What a command
takes holds the start of the pods; the time of its flow run does not.
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import store
from tasks.prefect_api import ask
from tasks.reach import reached
from tasks.settings import inherited, platform_file, settings
from tests.bench.cluster.start import between
from tests.bench.report import figure
from tests.bench.timing import turns
from tests.cluster.outside import Outside

MODEL = "flight-delays"
TURNS = 3
RUN = re.compile(r"/flow-run/([0-9a-f-]{36})")


@dataclass(frozen=True)
class Took:
    """Seconds of the command, of the flow run in it, and of the release at the end of that."""

    command: float
    run: float
    release: float

    @property
    def training(self) -> float:
        """The run up to its release."""
        return self.run - self.release


def measure(cli: Outside) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder,
        embedded(Path(folder)) as home,
    ):
        taken = turns({"pod": lambda: on_cluster(cli), "embedded": lambda: on_machine(home)}, TURNS)
    return {
        "run up to its release": ratio(taken, "training"),
        "release": ratio(taken, "release"),
        "whole command": ratio(taken, "command"),
    }


def ratio(taken: dict[str, list[Took]], part: str) -> dict[str, Any]:
    """Pure: the pod's median of one part over the embedded one's."""
    medians = {name: statistics.median(getattr(one, part) for one in each) for name, each in taken.items()}
    seconds = {f"{name}_s": median for name, median in medians.items()}
    return figure(medians["pod"] / medians["embedded"], **seconds, turns=TURNS)


def on_cluster(cli: Outside) -> Took:
    with cli.here(), reached("store"):
        store.delete(store.join(settings().store_root, "prepared", MODEL))
    started = time.monotonic()
    document = cli.answer("retrain", MODEL, "--force", timeout=1500)
    command = time.monotonic() - started
    with cli.here(), reached("Prefect") as found:
        return took(found.prefect_url, document, command)


def on_machine(home: Path) -> Took:
    shutil.rmtree(home / "store" / "prepared", ignore_errors=True)
    started = time.monotonic()
    document = json.loads(slipway(home, "retrain", MODEL, "--force", "--json"))
    return took(platform_file(home)["prefect_url"], document, time.monotonic() - started)


@contextmanager
def embedded(home: Path) -> Iterator[Path]:
    """The embedded platform under `home`."""
    try:
        slipway(home, "up")
        yield home
    finally:
        slipway(home, "down")


def slipway(home: Path, *arguments: str) -> str:
    program = Path(sys.executable).with_name("slipway")
    done = subprocess.run(
        [program, *arguments], env=inherited({"SLIPWAY_HOME": str(home)}),
        capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"slipway {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


def took(api: str, document: dict[str, Any], command: float) -> Took:
    """What the Prefect server knows of the run that a retrain's JSON document is the result of."""
    found = RUN.search(document["prefect_url"] or "")
    if document["outcome"] != "released" or found is None:
        raise RuntimeError(f"the retrain was to release: {document}")
    run = ask("GET", f"{api}/flow_runs/{found[1]}").raise_for_status().json()
    newest = {"flows": {"name": {"any_": ["release"]}}, "sort": "START_TIME_DESC", "limit": 1}
    (release,) = ask("POST", f"{api}/flow_runs/filter", newest).raise_for_status().json()
    if between(run["start_time"], release["created"]) < 0:
        raise RuntimeError(
            f"the release of {run['name']} is not at the server; the newest is {release['name']}"
        )
    return Took(
        command,
        between(run["start_time"], run["end_time"]),
        between(release["created"], release["end_time"]),
    )
