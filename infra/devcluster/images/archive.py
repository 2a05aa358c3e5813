"""OCI archives of one layer, written so that the same input gives the same digest."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tasks.errors import PlatformError

_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_BLOCK = 1 << 20
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Settings:
    """What a container of the image starts with."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = "/"
    stop_signal: str = ""

    def document(self) -> dict[str, Any]:
        given = {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command),
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "User": self.user,
            "WorkingDir": self.workdir,
            "StopSignal": self.stop_signal,
        }
        return {name: value for name, value in given.items() if value}


def write(target: Path, reference: str, layer: Path, settings: Settings) -> None:
    """An archive of the image `reference` whose one layer is the tar file `layer`."""
    layer_digest, layer_size = _digest(layer)
    config = _json({
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": settings.document(),
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        "history": [{"created_by": "slipway devcluster"}],
    })  # fmt: skip
    manifest = _json({
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, config),
        "layers": [{"mediaType": _LAYER, "digest": layer_digest, "size": layer_size}],
    })  # fmt: skip
    named = {"org.opencontainers.image.ref.name": reference, "io.containerd.image.name": reference}
    index = _json({
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": [{**_descriptor(_MANIFEST, manifest), "annotations": named}],
    })  # fmt: skip
    with tarfile.open(target, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(archive, "index.json", index)
        for blob in (config, manifest):
            _add(archive, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        with layer.open("rb") as content:
            entry = tarfile.TarInfo(f"blobs/sha256/{layer_digest.removeprefix('sha256:')}")
            entry.size = layer_size
            archive.addfile(entry, content)


def manifest_digest(archive: Path) -> str:
    """The digest of the one image in an OCI archive."""
    try:
        with tarfile.open(archive) as opened:
            file = opened.extractfile("index.json")
            manifests = json.load(file)["manifests"] if file else []
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise PlatformError(str(archive), f"is no OCI archive ({error})", "Build it again.") from error
    if len(manifests) != 1:
        raise PlatformError(
            str(archive), f"holds {len(manifests)} images", "Write one image into an archive."
        )
    return str(manifests[0]["digest"])


@contextmanager
def layer_writer(target: Path) -> Iterator["LayerWriter"]:
    with tarfile.open(target, "w") as opened:
        yield LayerWriter(opened)


class LayerWriter:
    """A layer of a few files, for images that are one program."""

    def __init__(self, opened: tarfile.TarFile) -> None:
        self._tar = opened

    def file(self, name: str, content: Path | bytes, mode: int = 0o755) -> None:
        entry = tarfile.TarInfo(name)
        entry.mode = mode
        if isinstance(content, bytes):
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))
        else:
            entry.size = content.stat().st_size
            with content.open("rb") as opened:
                self._tar.addfile(entry, opened)

    def folder(self, name: str, mode: int = 0o755, owner: int = 0) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self._tar.addfile(entry)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {
        "mediaType": kind,
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "size": len(content),
    }


def _digest(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as content:
        while block := _read(content):
            digest.update(block)
            size += len(block)
    return f"sha256:{digest.hexdigest()}", size


def _read(content: IO[bytes]) -> bytes:
    return content.read(_BLOCK)


def _json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
