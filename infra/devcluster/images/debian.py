"""Root file systems of the stand-ins that are a Debian: the tar file that mmdebstrap writes."""

import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.devcluster.preflight import find
from infra.images.host import secrets
from tasks.errors import PlatformError

SUITE = "bookworm"
_LEFT_OUT = ("man", "info", "lintian", "linda", "groff", "locale")
"""Folders of /usr/share that the official slim images leave out too."""


@dataclass(frozen=True)
class Debian:
    """`packages` of a minimal Debian, files copied into it, and shell lines for its root (`$1`) after that.

    Python packages of `pip` go into a virtual environment at `environment`, before those.
    """

    packages: tuple[str, ...]
    then: tuple[str, ...] = ()
    copies: tuple[tuple[Path, str], ...] = ()
    pip: tuple[str, ...] = ()
    environment: str = ""

    def inputs(self) -> bytes:
        copied = [(source.read_bytes(), target) for source, target in self.copies]
        pip = (self.pip, self.environment) if self.pip else ()
        return repr((SUITE, self.packages, self.then, copied, _options(), *pip)).encode()

    def write(self, target: Path) -> None:
        """Write the root file system to `target`, a tar file."""
        with tempfile.TemporaryDirectory(prefix="slipway-pip-") as folder:
            self._write(target, self._pip(Path(folder)))

    def _pip(self, folder: Path) -> list[str]:
        """Shell lines that install the Python packages; what pip must know of this machine does not stay."""
        if not self.pip:
            return []
        for name, content in secrets(os.environ, Path.home()).items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_bytes(content)
        packages = " ".join(map(shlex.quote, self.pip))
        install = (
            "set -eu; [ ! -f /run/secrets/env ] || . /run/secrets/env; "
            f"python3 -m venv {self.environment}; "
            f"{self.environment}/bin/pip install --quiet --no-cache-dir --disable-pip-version-check {packages}"
        )
        return [
            f'mkdir -p "$1/run/secrets" && cp -a {folder}/. "$1/run/secrets"',
            f'chroot "$1" sh -c {shlex.quote(install)}',
            'rm -rf "$1/run/secrets"',
        ]

    def _write(self, target: Path, pip: list[str]) -> None:
        copies = [f"--customize-hook=upload {source} {place}" for source, place in self.copies]
        command = [
            str(find("mmdebstrap") or "mmdebstrap"), "--mode=root", "--variant=minbase", "--quiet",
            f"--include={','.join(self.packages)}", *_options(),
            *copies, *(f"--customize-hook={line}" for line in (*pip, *self.then)), SUITE, str(target),
        ]  # fmt: skip
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PlatformError(
                f"mmdebstrap {SUITE}",
                f"failed: {done.stderr.strip()[-1500:]}",
                "It needs Debian's package archive in reach: see what it says, then start again.",
            )


def _options() -> list[str]:
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
    return [
        *excluded,
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    ]
