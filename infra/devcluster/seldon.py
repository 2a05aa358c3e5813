"""Seldon Core's operator: the stand-in of `seldon_standin/`, the real chart that SELDON_CHART names, or none."""

import os
import sys
from pathlib import Path

from infra.devcluster import processes
from infra.devcluster.layout import CHECKOUT, DATA, admin_kubeconfig
from infra.devcluster.network import run
from infra.devcluster.programs import Say, program
from infra.devcluster.services import Service
from tasks.errors import PlatformError

STANDIN = "seldon-standin"
CHART, NONE = "SELDON_CHART", "none"
PROVIDED = r"slipway\.io/provided"
"""Annotation by which bootstrap knows that the operator is not its to install."""
_READY = "seldon-standin is ready"


def is_stood_in() -> bool:
    return not os.environ.get(CHART)


def chart() -> Path | None:
    """The folder of the real chart, if one is named. `none` leaves Seldon Core to bootstrap."""
    named = os.environ.get(CHART)
    if not named or named == NONE:
        return None
    folder = Path(named)
    if not (folder / "Chart.yaml").is_file():
        raise PlatformError(
            f"{CHART}={named}",
            "is no folder of a Helm chart",
            f"Name the folder with Chart.yaml, or {NONE!r}, or unset {CHART}.",
        )
    return folder.resolve()


def standin() -> Service:
    command = (
        sys.executable, "-m", "infra.devcluster.seldon_standin", f"--kubeconfig={admin_kubeconfig()}",
        f"--state={DATA}/{STANDIN}",
    )  # fmt: skip
    return Service(STANDIN, command, CHECKOUT)


def standin_ready() -> bool:
    log = processes.log(STANDIN)
    return log.exists() and _READY in log.read_text(errors="replace")


def install(folder: Path, say: Say) -> None:
    """The real chart. Its images must have been loaded, as `infra.devcluster.load` does."""
    say(f"Installing Seldon Core from {folder}")
    run(
        str(program("helm", "helm")), "upgrade", "--install", "seldon-core", str(folder),
        f"--kubeconfig={admin_kubeconfig()}", "--namespace=seldon-system", "--create-namespace",
        "--set=istio.enabled=false", f"--set=crd.annotations.{PROVIDED}=by the development cluster",
        "--wait", "--timeout=180s",
    )  # fmt: skip
