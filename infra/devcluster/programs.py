"""The cluster's own programs: built from Go modules that go.sum locks, and kept by the hash of what went in."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.devcluster.layout import PACKAGE, cache
from tasks.errors import PlatformError

Say = Callable[[str], None]
MODULES = PACKAGE / "go"


@dataclass(frozen=True)
class Build:
    """Programs of one module that are built together. `stamp` is what the linker writes into them, with
    VERSION standing for the version of `versioned` in go.mod."""

    name: str
    module: str
    packages: tuple[str, ...]
    versioned: str = ""
    stamp: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return MODULES / self.module

    def sources(self) -> list[Path]:
        """What decides the result: the locks, and the packages that are ours."""
        own = [self.folder / package for package in self.packages if package.startswith(".")]
        return [
            self.folder / "go.mod",
            self.folder / "go.sum",
            *sorted(go for at in own for go in at.glob("*.go")),
        ]

    def flags(self) -> list[str]:
        found = re.search(
            rf"^\s*(?:require )?{re.escape(self.versioned)} (v\S+)", self._go_mod(), re.MULTILINE
        )
        version = found[1] if self.versioned and found else ""
        stamps = [f"-X {variable.replace('VERSION', version)}" for variable in self.stamp]
        return ["-trimpath", "-ldflags", " ".join(["-s", "-w", *stamps])]

    def key(self) -> str:
        digest = hashlib.sha256(repr((self.packages, self.flags())).encode())
        for path in self.sources():
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()[:16]

    def output(self) -> Path:
        return cache() / "programs" / f"{self.name}-{self.key()}"

    def _go_mod(self) -> str:
        return (self.folder / "go.mod").read_text()


_KUBERNETES = tuple(
    f"k8s.io/kubernetes/cmd/{name}"
    for name in (
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
    )
)  # fmt: skip
_KUBERNETES_STAMP = tuple(
    f"k8s.io/component-base/version.{variable}"
    for variable in ("gitVersion=VERSION", "gitMajor=1", "gitMinor=34", "gitTreeState=clean")
)

BUILDS = {
    build.name: build
    for build in (
        Build("kubernetes", "kubernetes", _KUBERNETES, "k8s.io/kubernetes", _KUBERNETES_STAMP),
        Build("node", "kubernetes", ("./pause", "./provisioner")),
        Build("etcd", "etcd", (".",)),
        Build("coredns", "coredns", (".",)),
        Build("kube-router", "kube-router", ("github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",)),
        Build(
            "helm", "helm", ("helm.sh/helm/v4/cmd/helm",),
            "helm.sh/helm/v4", ("helm.sh/helm/v4/internal/version.version=VERSION",),
        ),
        Build("rclone", "rclone", (".",)),
        Build("seaweedfs", "seaweedfs", ("github.com/seaweedfs/seaweedfs/weed",)),
    )
}  # fmt: skip
"""In the order in which a first start needs them."""


def program(build: str, name: str) -> Path:
    """The built program `name` of `build`."""
    return BUILDS[build].output() / name


def ensure(names: Iterable[str], say: Say) -> None:
    """Build what is not in the cache."""
    missing = [BUILDS[name] for name in names if not BUILDS[name].output().is_dir()]
    for build in missing:
        say(f"Building {build.name} from its Go module (once; kept in {cache()})")
        _build(build)


def _build(build: Build) -> None:
    target = build.output()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        command = ["go", "build", *build.flags(), "-o", f"{made}/", *build.packages]
        done = subprocess.run(
            command,
            cwd=build.folder,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PlatformError(
                f"go build of {build.name}",
                f"failed: {done.stderr.strip()[-1500:]}",
                f"Run `go build` in {build.folder}, with the Go module proxy in reach, and mend what it says.",
            )
        if target.exists():  # somebody else was faster
            return
        made.rename(target)
    for older in target.parent.glob(f"{build.name}-{'[0-9a-f]' * 16}"):
        if older != target and not _running_from(older):
            shutil.rmtree(older)


def _running_from(folder: Path) -> bool:
    import psutil

    return any(
        (process.info["exe"] or "").startswith(f"{folder}/") for process in psutil.process_iter(["exe"])
    )
