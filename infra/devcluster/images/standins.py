"""The stand-ins: what each is made of, under the name that a user's cluster would pull."""

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.devcluster.images import archive
from infra.devcluster.images.archive import Settings
from infra.devcluster.images.debian import Debian
from infra.devcluster.layout import cache
from infra.devcluster.programs import BUILDS, Say, ensure, program

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class OneProgram:
    """An image of one program of ours and nothing else. `root` are folders, with mode and owner."""

    build: str
    program: str
    place: str
    folders: tuple[tuple[str, int, int], ...] = (("tmp", 0o1777, 0),)

    def inputs(self) -> bytes:
        return repr((BUILDS[self.build].key(), self)).encode()

    def write(self, target: Path) -> None:
        with archive.layer_writer(target) as layer:
            for name, mode, owner in self.folders:
                layer.folder(name, mode, owner)
            layer.file("etc/passwd", b"root:x:0:0:root:/:/sbin/nologin\n", 0o644)
            layer.file(self.place, program(self.build, self.program))


@dataclass(frozen=True)
class StandIn:
    reference: str
    content: OneProgram | Debian
    settings: Settings

    @property
    def archive(self) -> Path:
        # `repr` of the parts that decide the bytes, so that a change of any of them makes a new archive
        inputs = repr((self.reference, self.settings)).encode() + self.content.inputs()
        name = self.reference.rsplit("/", 1)[1].replace(":", "-")
        return cache() / "images" / f"{name}-{hashlib.sha256(inputs).hexdigest()[:16]}.tar"


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POSTGRES = "/usr/lib/postgresql/15/bin"

PAUSE = StandIn(
    "registry.k8s.io/pause:3.10",
    OneProgram("node", "pause", "pause", folders=()),
    Settings(entrypoint=("/pause",), user="65535:65535"),
)
COREDNS = StandIn(
    "registry.k8s.io/coredns/coredns:v1.12.4",
    OneProgram("coredns", "coredns", "coredns"),
    Settings(entrypoint=("/coredns",), user="65532:65532"),
)
PYTHON = StandIn(
    "docker.io/library/python:3.11-slim",
    Debian(
        packages=("python3", "python3-venv", "python3-pip", "ca-certificates", "tzdata"),
        then=(
            # The official image has its Python, and a pip that installs, in /usr/local/bin.
            'ln -s /usr/bin/python3 "$1/usr/local/bin/python3"',
            'ln -s /usr/bin/python3 "$1/usr/local/bin/python"',
            'ln -s /usr/bin/pip3 "$1/usr/local/bin/pip"',
            'rm -f "$1/usr/lib/python3.11/EXTERNALLY-MANAGED"',
        ),
    ),
    Settings(command=("python3",), environment={"PATH": _PATH, "LANG": "C.UTF-8"}),
)
POSTGRES = StandIn(
    "docker.io/library/postgres:15",
    Debian(
        packages=("postgresql-common", "tzdata"),
        then=(
            "sed -i 's/^#create_main_cluster.*/create_main_cluster = false/' "
            '"$1/etc/postgresql-common/createcluster.conf"',
            'chroot "$1" apt-get install --yes -qq --no-install-recommends postgresql-15',
            'chroot "$1" usermod --uid 999 --home /var/lib/postgresql postgres',
            'chroot "$1" groupmod --gid 999 postgres',
            'rm -rf "$1/var/lib/postgresql" "$1/var/log/postgresql"',
            'install -d -m 1777 -o 999 -g 999 "$1/var/lib/postgresql/data"',
            'install -d -m 3777 -o 999 -g 999 "$1/var/run/postgresql" "$1/run/postgresql"',
            'install -d "$1/docker-entrypoint-initdb.d"',
            'chown -R 999:999 "$1/var/lib/postgresql"',
            'chmod 755 "$1/usr/local/bin/docker-entrypoint.sh"',
        ),
        copies=((_HERE / "postgres" / "docker-entrypoint.sh", "/usr/local/bin/docker-entrypoint.sh"),),
    ),
    Settings(
        entrypoint=("docker-entrypoint.sh",),
        command=("postgres",),
        environment={
            "PATH": f"{_PATH}:{_POSTGRES}",
            "PGDATA": "/var/lib/postgresql/data",
            "LANG": "C.UTF-8",
            "PG_MAJOR": "15",
        },
        stop_signal="SIGINT",
    ),
)
SEAWEEDFS = StandIn(
    "docker.io/chrislusf/seaweedfs:4.53",
    OneProgram("seaweedfs", "weed", "usr/bin/weed", folders=(("tmp", 0o1777, 0), ("data", 0o1777, 0))),
    Settings(entrypoint=("/usr/bin/weed", "-logtostderr=true"), environment={"PATH": _PATH}),
)
RCLONE = StandIn(
    "docker.io/seldonio/rclone-storage-initializer:1.17.1",
    OneProgram("rclone", "rclone", "usr/local/bin/rclone"),
    Settings(entrypoint=("rclone", "copy"), environment={"PATH": _PATH, "RCLONE_VERBOSE": "1"}, user="8888"),
)

_STARTED = ("start.sh", "start-singleuser.sh")
NOTEBOOK = StandIn(
    "quay.io/jupyter/minimal-notebook:2026-03-23",
    Debian(
        packages=(
            "python3", "python3-venv", "ca-certificates", "tzdata", "tini", "git", "curl", "procps", "util-linux",
        ),
        pip=("jupyterhub==5.5.*", "jupyterlab==4.*", "notebook==7.*"),
        environment="/opt/conda",
        copies=tuple((_HERE / "notebook" / name, f"/usr/local/bin/{name}") for name in _STARTED),
        then=(
            'mkdir "$1/usr/local/bin/before-notebook.d"',
            *(f'chmod 755 "$1/usr/local/bin/{name}"' for name in _STARTED),
            'chroot "$1" useradd --create-home --shell /bin/bash --uid 1000 --gid 100 jovyan',
        ),
    ),
    Settings(
        entrypoint=("tini", "-g", "--", "start.sh"),
        command=("start-singleuser.sh",),
        environment={
            "PATH": f"/opt/conda/bin:{_PATH}", "CONDA_DIR": "/opt/conda", "LANG": "C.UTF-8", "SHELL": "/bin/bash",
            "NB_USER": "jovyan", "NB_UID": "1000", "NB_GID": "100", "HOME": "/home/jovyan",
        },
        user="1000",
        workdir="/home/jovyan",
    ),
)  # fmt: skip

OF_THE_NODE = (PAUSE, COREDNS)
"""Without these nothing starts."""
OF_THE_PLATFORM = (PYTHON, POSTGRES, RCLONE, SEAWEEDFS)
BASES = (PYTHON, NOTEBOOK)
"""What Dockerfiles start from."""


def ensure_archives(stand_ins: Iterable[StandIn], say: Say) -> None:
    """Make the archives that are not in the cache."""
    for stand_in in stand_ins:
        target = stand_in.archive
        if target.exists():
            continue
        if isinstance(stand_in.content, OneProgram):
            ensure([stand_in.content.build], say)
        say(f"Making the image {stand_in.reference} (once; kept in {cache()})")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as scratch:
            layer, whole = Path(scratch) / "layer.tar", Path(scratch) / "image.tar"
            stand_in.content.write(layer)
            archive.write(whole, stand_in.reference, layer, stand_in.settings)
            whole.rename(target)
        _forget_older(target)


def _forget_older(target: Path) -> None:
    for older in target.parent.glob(f"{target.name[:-21]}-{'[0-9a-f]' * 16}.tar"):
        if older != target:
            older.unlink()
