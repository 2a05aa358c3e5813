"""The program that builds: docker, podman or buildah, whichever works here."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.images.archive import pack
from tasks.errors import PlatformError


@dataclass(frozen=True)
class Builder:
    """`command` is the program with what every call of it needs, `build` what a build needs besides."""

    name: str
    command: tuple[str, ...]
    build_flags: tuple[str, ...]

    def build(
        self,
        context: Path,
        dockerfile: Path,
        stage: str,
        tag: str,
        secrets: Mapping[str, Path],
        log: Path,
    ) -> None:
        """Build one stage of `dockerfile` as `tag`; what the program says goes to `log`. Raises PlatformError."""
        command = [*self.command, "build", *self.build_flags, "--file", str(dockerfile), "--target", stage]
        command += ["--tag", tag]
        command += [part for name, path in secrets.items() for part in ("--secret", f"id={name},src={path}")]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as written:
            done = subprocess.run(
                [*command, str(context)], stdout=written, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise PlatformError(
                tag,
                f"{self.name} could not build it:\n{tail}\n",
                f"The whole log is {log}; then `make images`.",
            )

    def has(self, reference: str) -> bool:
        """Whether the image is in this builder's own storage."""
        return bool(self._run(["images", "--quiet", reference], check=False).stdout.strip())

    def pull(self, reference: str) -> str | None:
        """Pull an image; what was wrong, if that failed."""
        done = self._run(["pull", "--quiet", reference], check=False)
        return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1][:300]

    def save(self, tag: str, archive: Path) -> None:
        """Write the image as an OCI archive."""
        archive.unlink(missing_ok=True)
        if self.name == "docker":
            self._run(["save", "--output", str(archive), tag])
        elif self.name == "podman":
            self._run(
                ["save", "--quiet", "--format", "oci-archive", "--uncompressed", "-o", str(archive), tag]
            )
        else:
            # Into a folder, because buildah compresses what it writes into an archive: a minute for nothing.
            with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".saving-") as folder:
                self._run(["push", "--quiet", "--disable-compression", tag, f"dir:{folder}"])
                pack(Path(folder), archive)

    def load(self, archive: Path, tag: str) -> None:
        """Make the one image of an OCI archive known as `tag`."""
        if self.name == "docker":
            self._run(["load", "--quiet", "--input", str(archive)])
            return
        pulled = self._run(["pull", "--quiet", f"oci-archive:{archive}"]).stdout.split()[-1]
        self._run(["tag", pulled, tag])

    def push(self, tag: str, reference: str) -> str:
        """Push the image to a registry; returns the digest it has there."""
        if self.name == "docker":
            self._run(["tag", tag, reference])
            self._run(["push", "--quiet", reference])
            found = json.loads(self._run(["inspect", "--format", "{{json .RepoDigests}}", reference]).stdout)
            repository = reference.rpartition(":")[0]
            return next(str(one) for one in found if one.startswith(f"{repository}@")).partition("@")[2]
        with tempfile.NamedTemporaryFile("r") as written:
            self._run(["push", "--quiet", "--digestfile", written.name, tag, f"docker://{reference}"])
            return written.read().strip()

    def _run(self, arguments: Sequence[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise PlatformError(
                f"{self.name} {arguments[0]}", f"failed: {done.stderr.strip()[-1000:]}", "Then `make images`."
            )
        return done


def find_builder(wanted: str | None) -> Builder:
    """The first of docker, podman and buildah that works here, or the one `wanted`. Raises PlatformError."""
    seen = []
    for name in (wanted,) if wanted else ("docker", "podman", "buildah"):
        if shutil.which(name) is None:
            seen.append(f"{name} is not on PATH")
            continue
        for builder in candidates(name):
            fault = why_not(builder)
            if not fault:
                return builder
            seen.append(f"{name}: {fault}")
    raise PlatformError(
        "make images", f"nothing here builds images: {'; '.join(seen)}",
        "Start docker, or install podman or buildah (`apt-get install buildah`).",
    )  # fmt: skip


def why_not(builder: Builder) -> str:
    """What keeps the builder from working here; empty if nothing does."""
    asked: list[tuple[str, ...]] = [("info",)]
    if builder.name == "docker":
        asked = [("version", "--format", "{{.Server.APIVersion}}"), ("buildx", "version")]
    for question in asked:
        done = subprocess.run(
            [*builder.command, *question],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            return (done.stderr.strip() or done.stdout.strip() or "fails").splitlines()[-1][:200]
        if question[0] == "version" and api_version(done.stdout) < DOCKER_API:
            return f"its API {done.stdout.strip()} is older than that of Docker 25, which saves OCI archives"
    return ""


DOCKER_API = (1, 44)
"""Of Docker 25."""


def api_version(text: str) -> tuple[int, ...]:
    """Pure: 1.44 as numbers; none of them where it is something else."""
    parts = text.strip().split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


def candidates(name: str) -> tuple[Builder, ...]:
    """Pure: the ways to call it, best first. Chroot isolation needs no rights that a container may lack."""
    if name == "docker":
        return (Builder(name, ("docker",), ("--provenance=false",)),)
    flags = ("--layers", "--format", "oci", "--isolation", "chroot")
    return tuple(Builder(name, (name, "--storage-driver", driver), flags) for driver in ("overlay", "vfs"))
