"""What `prefect.yaml` and the lock say becomes what a cluster's Prefect has: work pools, deployments, schedules.

Not a flow itself: what it changes is the server that would have to run it.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks import deployments
from tasks.errors import PlatformError
from tasks.markers import known_of
from tasks.platform_lock import LOCK, PlatformLock, load_lock
from tasks.pools import make_pools
from tasks.reach import reached
from tasks.settings import ROOT, child_environment, client_environment, settings

FLOW_IMAGES = ("flow", "flow-spark")


@dataclass(frozen=True)
class DeployResult:
    """`pools` were made or changed, `deployments` registered, `removed` taken away; all empty: nothing to do."""

    pools: tuple[str, ...]
    deployments: tuple[str, ...]
    removed: tuple[str, ...]


def quiet(message: str) -> None:
    """The default for `say`."""


def deploy(say: Callable[[str], None] = quiet, *, images: bool = True, file: Path = LOCK) -> DeployResult:
    """Bring the cluster's work pools and deployments to what the files say; no right beyond Prefect's is needed.

    `images`: build and publish those of flow runs first, if what is in them changed. Runs that go on keep their
    image. Raises PlatformError if an image, its digest, a template or Prefect is missing.
    """
    if settings().platform != "cluster":
        raise PlatformError(
            "slipway deploy",
            "is for a cluster, and this is the embedded platform",
            "`slipway up` registers prefect.yaml here; SLIPWAY_PLATFORM=cluster means the cluster.",
        )
    if images:
        publish_images()
    with reached("Prefect") as found:
        pools = deploy_pools(load_lock(file))
        if pools:
            say(f"work pools: {', '.join(pools)}")
        environment = child_environment(client_environment(found) | secret_environment())
        registered = deployments.ensure(found.prefect_url, environment)
    if registered is None:
        return DeployResult(pools, (), ())
    return DeployResult(pools, registered.deployments, registered.removed)


def publish_images() -> None:
    """What `make images` does, for the images that flow runs start from; what it says goes to stderr."""
    command = [sys.executable, "-m", "infra.images", *FLOW_IMAGES]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise PlatformError(
            "images of flow runs",
            f"could not be published (`python -m infra.images` ended with {done.returncode}; it says why above)",
            "Correct that, or leave the images as they are with `slipway deploy --no-images`.",
        )


def deploy_pools(lock: PlatformLock) -> tuple[str, ...]:
    """The work pools of the lock's images and namespaces; within `reached("Prefect")`."""
    return make_pools(settings().prefect_url, "kubernetes", known_of(lock))


def secret_environment() -> dict[str, str]:
    """What the Prefect client of a child process needs to be let in."""
    auth = settings().prefect_auth.get_secret_value()
    return {"PREFECT_API_AUTH_STRING": auth} if auth else {}
