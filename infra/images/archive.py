"""An image as an OCI archive: its digest and labels, and what its size is made of."""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.errors import PlatformError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
WHITEOUT = ".wh."


@dataclass(frozen=True)
class Entry:
    """One file of one layer. Path without leading slash; bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class Image:
    digest: str
    revision: str
    layers: tuple[tuple[Entry, ...], ...]


def read(archive: Path, with_layers: bool = True) -> Image:
    """The one image of an archive. Raises PlatformError."""
    try:
        with tarfile.open(archive, "r:") as opened:
            digest, manifest = find_manifest(opened, _json(opened, "index.json"))
            config = _json(opened, blob(manifest["config"]["digest"]))
            labels = config.get("config", {}).get("Labels") or {}
            layers = tuple(_entries(opened, one["digest"]) for one in manifest["layers"] if with_layers)
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise PlatformError(
            str(archive), f"is no OCI archive of one image ({error!r})", "Delete it, then run `make images`."
        ) from error
    return Image(digest, labels.get("org.opencontainers.image.revision", ""), layers)


def blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def find_manifest(opened: tarfile.TarFile, index: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The manifest of the image, through an index in an index, past attestations."""
    for one in index["manifests"]:
        if one.get("platform", {}).get("os") == "unknown":
            continue
        content = _json(opened, blob(one["digest"]))
        return find_manifest(opened, content) if "manifests" in content else (str(one["digest"]), content)
    raise ValueError("no manifest")


def _json(opened: tarfile.TarFile, name: str) -> dict[str, Any]:
    member = opened.extractfile(name)
    if member is None:
        raise ValueError(f"{name} is not a file")
    found: dict[str, Any] = json.load(member)
    return found


def _entries(opened: tarfile.TarFile, digest: str) -> tuple[Entry, ...]:
    member = opened.extractfile(blob(digest))
    if member is None:
        raise ValueError(f"{digest} is not a file")
    with tarfile.open(fileobj=member, mode="r:*") as layer:
        return tuple(Entry(one.name.removeprefix("./"), one.size) for one in layer if not one.isdir())


def pack(folder: Path, archive: Path) -> None:
    """Write an OCI archive from what containers-image calls a `dir`: manifest.json and blobs by their hash."""
    content = (folder / "manifest.json").read_bytes()
    manifest = json.loads(content)
    described: dict[str, Any] = {
        "mediaType": MANIFEST,
        "digest": f"sha256:{sha256(content).hexdigest()}",
        "size": len(content),
    }
    with tarfile.open(archive, "w") as opened:
        _add(opened, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(opened, "index.json", json.dumps({"schemaVersion": 2, "manifests": [described]}).encode())
        _add(opened, blob(described["digest"]), content)
        for digest in dict.fromkeys(one["digest"] for one in (manifest["config"], *manifest["layers"])):
            opened.add(folder / digest.partition(":")[2], blob(digest))


def _add(opened: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    opened.addfile(entry, io.BytesIO(content))


def unpacked(layers: Iterable[Iterable[Entry]]) -> dict[str, int]:
    """Pure: size of each file that the layers leave, later ones over earlier ones."""
    found: dict[str, int] = {}
    for layer in layers:
        for entry in layer:
            path = PurePosixPath(entry.path)
            if not path.name.startswith(WHITEOUT):
                found[entry.path] = entry.size
                continue
            hidden = (
                path.parent if path.name == ".wh..wh..opq" else path.with_name(path.name[len(WHITEOUT) :])
            )
            for one in [one for one in found if one == str(hidden) or one.startswith(f"{hidden}/")]:
                del found[one]
    return found


def part_of(path: str) -> str:
    """Pure: the part of an image that a file belongs to: a Python package, ours, Java, or the base."""
    parts = PurePosixPath(path).parts
    if "site-packages" in parts:
        name = (*parts[parts.index("site-packages") + 1 :], "")[0]
        name = name.removesuffix(".libs").partition(".cpython")[0]
        return "pyspark" if name.startswith("pyspark") else name.strip("_").partition("_runtime")[0]
    if parts[:1] == ("opt",) and len(parts) > 1:
        return f"/opt/{parts[1]}"
    return "base"


def parts(sizes: dict[str, int]) -> list[tuple[str, int]]:
    """Pure: size of each part, the largest first."""
    found: dict[str, int] = {}
    for path, size in sizes.items():
        found[part_of(path)] = found.get(part_of(path), 0) + size
    return sorted(found.items(), key=lambda one: (-one[1], one[0]))


def size_line(sizes: dict[str, int], limit: int | None, shown: int = 12) -> str:
    """Pure: the sum in MB (10^6 bytes), the limit, and what makes up most of it."""
    total = sum(sizes.values()) / 1e6
    all_parts = parts(sizes)
    told = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in all_parts[:shown])
    rest = sum(size for _, size in all_parts[shown:]) / 1e6
    wanted = f" (wanted: at most {limit})" if limit is not None else ""
    return f"{total:.0f} MB unpacked{wanted}: {told}, {len(all_parts[shown:])} others {rest:.0f}"
