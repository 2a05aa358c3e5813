"""A Kubernetes of one node on this machine, for development and tests: real components, no Docker, no registry.

Nothing else in the project knows that it is this cluster. `load` puts a local build into it.
"""

from pathlib import Path


def load(archive: Path, reference: str) -> str:
    """Import an OCI archive as `reference` (`docker.io/slipway/flow:TAG`); gives back `NAME@sha256:...`."""
    from infra.devcluster.images.store import load_image

    return load_image(archive, reference)
