"""Which program builds images here; the programs are small scripts that answer as the real ones do."""

from pathlib import Path

import pytest

from infra.images.builders import find_builder
from tasks.errors import PlatformError

OLD = {"--format": "echo 1.41"}
WHOLE = {"--format": "echo 1.44", "buildx": "echo github.com/docker/buildx v0.26.1"}
NO_BUILDX = {"--format": "echo 1.51", "buildx": 'echo "docker: unknown command: docker buildx" >&2; exit 1'}
NO_SERVER = {"--format": 'echo "Cannot connect to the Docker daemon" >&2; exit 1', "buildx": "echo v0.26.1"}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str, answers: dict[str, str]) -> None:
    """A script whose answer goes by the first word that is a key of `answers`; else it fails."""
    cases = "".join(f'  *" {word} "*) {does};;\n' for word, does in answers.items())
    script = f'#!/bin/sh\ncase " $* " in\n{cases}  *) echo "unknown: $*" >&2; exit 1;;\nesac\n'
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("docker", "why"),
    [
        (OLD, "its API 1.41 is older than that of Docker 25"),
        (NO_BUILDX, "unknown command: docker buildx"),
        (NO_SERVER, "Cannot connect to the Docker daemon"),
    ],
)
def test_a_docker_that_cannot_build_ours_gives_way_and_is_explained(
    programs: Path, docker: dict[str, str], why: str
) -> None:
    program(programs, "docker", docker)
    with pytest.raises(PlatformError, match=f"docker: .*{why}.*podman is not on PATH"):
        find_builder(None)
    program(programs, "buildah", {"info": "echo {}"})
    assert find_builder(None).name == "buildah"


def test_docker_comes_first_where_it_works(programs: Path) -> None:
    program(programs, "docker", WHOLE)
    program(programs, "buildah", {"info": "echo {}"})
    assert find_builder(None).name == "docker"
    assert find_builder("buildah").name == "buildah"
    with pytest.raises(PlatformError, match="podman is not on PATH"):
        find_builder("podman")
