"""Sources and their snapshots: what a run reads is listed, fingerprinted and pinned first.

A local file is identified by the sha256 of its content, an S3 object by ETag, size and version id. The hash
of a local file is remembered under its path, size, times and inode, so that an unchanged one costs a `stat`.
"""

import hashlib
import importlib
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tasks import store
from tasks.errors import PreparationError, SourceError, SpecError
from tasks.settings import settings
from tasks.spec import ModelSpec

Format = Literal["parquet", "csv"]
SUFFIXES: dict[str, Format] = {".parquet": "parquet", ".csv": "csv"}
SETTLED = 1.0
"""Seconds: a file changed more recently is hashed again, as a second write could keep its time stamps."""


@dataclass(frozen=True)
class FileVersion:
    """One file as it was when the snapshot was taken; `size` in bytes, `version` a hash or S3's identity."""

    uri: str
    size: int
    version: str


@dataclass(frozen=True)
class SourceFiles:
    uri: str
    format: Format
    files: tuple[FileVersion, ...]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of the files' names below `uri` and their content; the place itself does not count."""
        names = [(os.path.relpath(f.uri, os.path.dirname(self.uri)), f.version) for f in self.files]
        whole = len(self.files) == 1 and self.files[0].uri == self.uri
        content = [version for _, version in names] if whole else [*map(list, names)]
        return hashlib.sha256(json.dumps([self.format, content]).encode()).hexdigest()


@dataclass(frozen=True)
class Snapshot:
    """An immutable view of the sources that one run reads."""

    sources: dict[str, SourceFiles]

    @cached_property
    def fingerprint(self) -> str:
        content = {name: source.fingerprint for name, source in self.sources.items()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def source_uris(spec: ModelSpec, overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Where each source lies. `overrides` (relative to the working directory) replace the spec's."""
    overrides = overrides or {}
    if unknown := sorted(set(overrides) - set(spec.sources)):
        raise SpecError(
            f"source {unknown[0]!r}",
            f"model {spec.name} has no such source",
            f"Name one of: {', '.join(spec.sources)}.",
        )
    uris = {name: store.resolve(uri, spec.path.parent) for name, uri in spec.sources.items()}
    return uris | {name: store.resolve(uri, Path.cwd()) for name, uri in overrides.items()}


def take_snapshot(spec: ModelSpec, overrides: Mapping[str, str] | None = None) -> Snapshot:
    """List and fingerprint every source. Raises SourceError for one that is missing, empty or unreadable."""
    return Snapshot({name: _files(uri) for name, uri in source_uris(spec, overrides).items()})


def check_unchanged(snapshot: Snapshot, *, objects: bool = False) -> None:
    """Raises SourceError if a local file is no longer the one in the snapshot.

    With `objects` also for an S3 object; without, those were read pinned (see `local_files`).
    """
    for source in snapshot.sources.values():
        check_files(source)
        if objects:
            in_s3 = [file for file in source.files if store.is_s3(file.uri)]
            with ThreadPoolExecutor(8) as pool:
                now = list(pool.map(object_version, [file.uri for file in in_s3]))
            for file, found in zip(in_s3, now, strict=True):
                if found != file:
                    raise changed(file.uri)


def check_files(source: SourceFiles) -> None:
    for file in source.files:
        if not store.is_s3(file.uri) and file_version(file.uri) != file:
            raise changed(file.uri)


def changed(uri: str) -> SourceError:
    return SourceError(uri, "changed while this run read it", "Let its writer finish, then run again.")


def seed_sources(spec: ModelSpec) -> bool:
    """Let the spec's `seed` function write the sources if one of them is missing; whether it did.

    The function is called with a mapping source name -> URI, and writes what is missing there.
    """
    uris = source_uris(spec)
    missing = {name: uri for name, uri in uris.items() if not store.exists(uri)}
    if spec.seed is None or not missing:
        return False
    seed = _function(spec, spec.seed)
    try:
        seed(missing)
    except Exception as error:
        raise PreparationError(
            f"seed {spec.seed}",
            f"{type(error).__name__}: {error}",
            "Correct the function, or provide the sources.",
        ) from error
    return True


def _function(spec: ModelSpec, path: str) -> Callable[[dict[str, str]], None]:
    module, _, name = path.partition(":")
    try:
        function: Callable[[dict[str, str]], None] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SpecError(f"{spec.path}: seed", f"{path!r}: {error}", "Write it as module:function.") from error
    return function


def local_files(source: SourceFiles) -> list[Path]:
    """The source's files on this machine; S3 objects are fetched, each at the snapshot's very version.

    Raises SourceError if an object is no longer the one fingerprinted.
    """
    if not any(store.is_s3(file.uri) for file in source.files):
        return [Path(file.uri) for file in source.files]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(_local, source.files))


def _local(file: FileVersion) -> Path:
    if not store.is_s3(file.uri):
        return Path(file.uri)
    name = hashlib.sha256(json.dumps([file.uri, file.version]).encode()).hexdigest()[:40]
    path = cache_folder() / f"{name}{Path(file.uri).suffix.lower()}"
    if not cached(path):
        _download(file, path)
    return path


def cache_folder() -> Path:
    """Where copies of immutable versions of sources lie on this machine."""
    folder = settings().home / "cache" / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cached(path: Path) -> bool:
    """Whether the copy is there. Using one keeps it; those unused for a week are removed."""
    for other in path.parent.iterdir():
        with suppress(FileNotFoundError):  # another process removed it first
            if other.stat().st_mtime < time.time() - 7 * 86_400 and other != path:
                other.unlink()
    if not path.exists():
        return False
    os.utime(path)
    return True


def _download(file: FileVersion, path: Path) -> None:
    from botocore.exceptions import ClientError

    identity = json.loads(file.version)
    bucket, key = store.split_s3(file.uri)
    pin = {"VersionId": identity["version"]} if identity["version"] else {}
    beside = path.with_suffix(f".{os.getpid()}-{time.monotonic_ns()}")
    with store.reading(file.uri):
        try:
            body = store.client().get_object(Bucket=bucket, Key=key, IfMatch=identity["etag"], **pin)["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] in (
                "PreconditionFailed",
                "NoSuchVersion",
                "NoSuchKey",
                "412",
                "404",
            ):
                raise changed(file.uri) from error
            raise
        try:
            with store.writing(str(path)), beside.open("wb") as target:
                for chunk in body.iter_chunks(1 << 20):
                    target.write(chunk)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _files(uri: str) -> SourceFiles:
    found = [f for f in store.list_files(uri) if not _hidden(f, uri)]
    if not found:
        seen = "holds no files" if store.exists(uri) else "does not exist"
        raise SourceError(uri, seen, "Write the source there, or correct the spec's 'sources'.")
    formats = {SUFFIXES.get(Path(f).suffix.lower()) for f in found}
    if len(formats) != 1 or None in formats:
        suffixes = ", ".join(sorted({Path(f).suffix or "no suffix" for f in found}))
        raise SourceError(uri, f"holds files with {suffixes}", "Give .parquet or .csv files, of one kind.")
    version = object_version if store.is_s3(uri) else file_version
    with ThreadPoolExecutor(8) as pool:
        files = tuple(pool.map(version, found))
    if empty := next((f.uri for f in files if f.size == 0), None):
        raise SourceError(empty, "is empty (0 bytes)", "Write the source again.")
    return SourceFiles(uri, formats.pop() or "parquet", files)


def _hidden(file: str, uri: str) -> bool:
    """Whether the file, or a folder below `uri` that holds it, starts with `_` or `.` (as in Spark)."""
    below = file.removeprefix(uri).strip("/")
    return any(part.startswith(("_", ".")) for part in below.split("/"))


def object_version(uri: str) -> FileVersion:
    bucket, key = store.split_s3(uri)
    with store.reading(uri):
        head = store.client().head_object(Bucket=bucket, Key=key)
    version = head.get("VersionId")
    identity = {"etag": head["ETag"], "version": None if version == "null" else version}
    return FileVersion(uri, head["ContentLength"], json.dumps(identity))


def file_version(uri: str) -> FileVersion:
    """The local file's content hash. Raises SourceError if it changes while it is hashed."""
    with store.reading(uri):
        stamp = _stamp(uri)
        remembered = settings().home / "hashes" / hashlib.sha256(uri.encode()).hexdigest()[:40]
        known = _remembered(remembered)
        if known is not None and known["stamp"] == stamp:
            return FileVersion(uri, stamp["size"], known["version"])
        with open(uri, "rb") as file:
            version = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        if _stamp(uri) != stamp:
            raise changed(uri)
    if max(stamp["mtime_ns"], stamp["ctime_ns"]) < time.time_ns() - SETTLED * 1e9:
        store.write_bytes(str(remembered), json.dumps({"stamp": stamp, "version": version}).encode())
    return FileVersion(uri, stamp["size"], version)


def _stamp(uri: str) -> dict[str, int]:
    stat = os.stat(uri)
    return {
        "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns, "inode": stat.st_ino,
        "device": stat.st_dev,
    }  # fmt: skip


def _remembered(path: Path) -> dict[str, Any] | None:
    """A remembered hash, or None if there is none that can be read (then the file is hashed again)."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return found if {"stamp", "version"} <= found.keys() else None


def describe(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as JSON, for lineage."""
    return {"fingerprint": snapshot.fingerprint, **asdict(snapshot)}
