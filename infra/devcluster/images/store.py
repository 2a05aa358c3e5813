"""Where images are kept: containerd, which pods start from, and buildah, which builds from a base."""

import json
import subprocess
from pathlib import Path

from infra.devcluster.images.archive import manifest_digest
from infra.devcluster.images.standins import StandIn
from infra.devcluster.layout import CONTAINERD_SOCKET
from infra.devcluster.network import run
from tasks.errors import PlatformError

_CTR = ("--address", str(CONTAINERD_SOCKET), "--connect-timeout", "5s", "--namespace", "k8s.io")
_BUILDAH = ("--storage-driver", "vfs")


def load_image(archive: Path, reference: str) -> str:
    """Import an OCI archive into the cluster as `reference` (`NAME:TAG`); gives back `NAME@sha256:...`, by which
    it resolves too."""
    if not CONTAINERD_SOCKET.exists():
        raise PlatformError(
            "development cluster", f"is not running (no {CONTAINERD_SOCKET})", "Start it: make cluster"
        )
    name, digest = repository(reference), manifest_digest(archive)
    by_digest = f"{name}@{digest}"
    known = run("ctr", *_CTR, "image", "ls", "--quiet").split()
    if by_digest not in known:
        run("ctr", *_CTR, "image", "import", "--base-name", name, "--digests", str(archive))
    run("ctr", *_CTR, "image", "tag", "--force", by_digest, reference)
    return by_digest


def repository(reference: str) -> str:
    """`docker.io/slipway/flow` of `docker.io/slipway/flow:TAG`."""
    head, slash, last = reference.rpartition("/")
    return f"{head}{slash}{last.partition('@')[0].partition(':')[0]}"


def load_stand_in(stand_in: StandIn) -> None:
    load_image(stand_in.archive, stand_in.reference)


def give_to_buildah(stand_in: StandIn) -> None:
    """Have buildah's local storage know the image under its name, for the Dockerfiles that start from it."""
    wanted = manifest_digest(stand_in.archive)
    asked = subprocess.run(
        ["buildah", *_BUILDAH, "images", "--json", stand_in.reference],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == 0 and any(image.get("digest") == wanted for image in json.loads(asked.stdout)):
        return
    pulled = run("buildah", *_BUILDAH, "pull", "--quiet", f"oci-archive:{stand_in.archive}").split()[-1]
    run("buildah", *_BUILDAH, "tag", pulled, stand_in.reference)


def forget_containers() -> None:
    """Remove every container from a containerd whose pods were killed, so that only images are left in it."""
    containers = run("ctr", *_CTR, "containers", "ls", "--quiet").split()
    if containers:
        run("ctr", *_CTR, "tasks", "rm", "--force", *containers, check=False)  # most have none any more
        run("ctr", *_CTR, "containers", "rm", *containers)
