"""Root file systems of the stand-ins that are a Debian: the tar file that mmdebstrap writes."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.devcluster.preflight import find
from tasks.errors import PlatformError

SUITE = "bookworm"
_LEFT_OUT = ("man", "info", "lintian", "linda", "groff", "locale")
"""Folders of /usr/share that the official slim images leave out too."""


@dataclass(frozen=True)
class Debian:
    """`packages` of a minimal Debian, files copied into it, and shell lines for its root (`$1`) after that."""

    packages: tuple[str, ...]
    then: tuple[str, ...] = ()
    copies: tuple[tuple[Path, str], ...] = ()

    def inputs(self) -> bytes:
        copied = [(source.read_bytes(), target) for source, target in self.copies]
        return repr((SUITE, self.packages, self.then, copied, _options())).encode()

    def write(self, target: Path) -> None:
        """Write the root file system to `target`, a tar file."""
        copies = [f"--customize-hook=upload {source} {place}" for source, place in self.copies]
        command = [
            str(find("mmdebstrap") or "mmdebstrap"), "--mode=root", "--variant=minbase", "--quiet",
            f"--include={','.join(self.packages)}", *_options(),
            *copies, *(f"--customize-hook={line}" for line in self.then), SUITE, str(target),
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
