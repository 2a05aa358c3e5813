"""The object store: folders on this machine, or S3 through boto3.

A URI is an absolute path or `s3://bucket/key`; `store://a/b` in a spec stands for `a/b` under the settings'
store root. Writes are atomic: a reader sees the old object, or the whole new one.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Any
from urllib.parse import urlsplit

from tasks.errors import SlipwayError, SourceError
from tasks.settings import settings

DAY = 86_400
"""Seconds."""


def resolve(uri: str, base: Path) -> str:
    """The absolute URI that `uri` means; relative paths are looked up in `base`."""
    if uri.startswith("store://"):
        return join(settings().store_root, uri.removeprefix("store://"))
    if is_s3(uri):
        return uri.rstrip("/")
    scheme, separator, _ = uri.partition("://")
    if separator:
        raise SourceError(uri, f"has the scheme {scheme!r}", "Use a path, store:// or s3://.")
    path = Path(uri).expanduser()
    return os.path.normpath(path if path.is_absolute() else base.absolute() / path)


def is_s3(uri: str) -> bool:
    return uri.startswith("s3://")


def join(uri: str, *parts: str) -> str:
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])


def host_and_port(endpoint: str) -> tuple[str, int]:
    """Pure: where the server of an http(s) address listens."""
    url = urlsplit(endpoint)
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def split_s3(uri: str) -> tuple[str, str]:
    """`s3://bucket/a/b` -> `("bucket", "a/b")`."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


@lru_cache(maxsize=4)
def s3(endpoint: str | None) -> Any:
    """A boto3 client (thread-safe), one for each endpoint."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=10)
    return boto3.client("s3", endpoint_url=endpoint, config=config)


def client() -> Any:
    return s3(settings().s3_endpoint)


def read_bytes(uri: str) -> bytes:
    """The object's content. Raises SourceError if it is not there or cannot be read."""
    with reading(uri):
        if is_s3(uri):
            bucket, key = split_s3(uri)
            content: bytes = client().get_object(Bucket=bucket, Key=key)["Body"].read()
            return content
        return Path(uri).read_bytes()


def write_bytes(uri: str, data: bytes) -> None:
    """Write the object whole, or not at all. Raises SlipwayError that says how much space is free."""
    with writing(uri):
        if is_s3(uri):
            bucket, key = split_s3(uri)
            client().put_object(Bucket=bucket, Key=key, Body=data)
            return
        path = Path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def read_tail(uri: str, size: int) -> bytes:
    """The last `size` bytes of the object (all of it, if it is smaller)."""
    with reading(uri):
        if is_s3(uri):
            bucket, key = split_s3(uri)
            tail: bytes = client().get_object(Bucket=bucket, Key=key, Range=f"bytes=-{size}")["Body"].read()
            return tail
        with open(uri, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read()


def exists(uri: str) -> bool:
    """Whether there is an object, or a folder with objects, at `uri`."""
    if not is_s3(uri):
        return Path(uri).exists()
    with reading(uri):
        return next(_listed(uri), None) is not None


def list_files(uri: str) -> list[str]:
    """URIs of the objects at `uri` (itself, if it is one) or below it, sorted."""
    return list(sizes(uri))


def sizes(uri: str) -> dict[str, int]:
    """Bytes of every object at `uri` (itself, if it is one) or below it, sorted by URI."""
    with reading(uri):
        if is_s3(uri):
            bucket, _ = split_s3(uri)
            return {
                f"s3://{bucket}/{key}": size for key, size, _ in sorted(_listed(uri)) if not key.endswith("/")
            }
        path = Path(uri)
        if path.is_file():
            return {uri: path.stat().st_size}
        return {str(found): found.stat().st_size for found in sorted(path.rglob("*")) if found.is_file()}


def written(uri: str) -> dict[str, datetime]:
    """When each object at `uri` (itself, if it is one) or below it was last written, sorted by URI."""
    with reading(uri):
        if is_s3(uri):
            bucket, _ = split_s3(uri)
            return {f"s3://{bucket}/{key}": when for key, _, when in sorted(_listed(uri))}
        path, found = Path(uri), {}
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            with suppress(FileNotFoundError):  # a writer's, gone or renamed since it was listed
                stat = file.stat()
                if S_ISREG(stat.st_mode):
                    found[str(file)] = datetime.fromtimestamp(stat.st_mtime, UTC)
        return found


def older(uri: str, seconds: float) -> list[str]:
    """The objects at `uri` or below it that were last written more than `seconds` ago."""
    limit = datetime.now(UTC) - timedelta(seconds=seconds)
    return [file for file, when in written(uri).items() if when < limit]


def _listed(uri: str) -> Iterator[tuple[str, int, datetime]]:
    """Key, bytes and time of the last writing."""
    bucket, key = split_s3(uri)
    for page in client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
        for item in page.get("Contents", ()):
            if item["Key"] == key or key == "" or item["Key"].startswith(key.rstrip("/") + "/"):
                yield item["Key"], item["Size"], item["LastModified"]


def delete(uri: str) -> None:
    """Remove the object or folder; fine if there is none."""
    with writing(uri):
        if is_s3(uri):
            for found in list_files(uri):
                bucket, key = split_s3(found)
                client().delete_object(Bucket=bucket, Key=key)
            return
        path = Path(uri)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=False)
        else:
            path.unlink(missing_ok=True)


def copy_to_s3(source: str, uri: str) -> None:
    """Copy the object or local file `source` to the S3 address `uri`; within S3 the server does it."""
    bucket, key = split_s3(uri)
    with writing(uri):
        if is_s3(source):
            there, name = split_s3(source)
            client().copy({"Bucket": there, "Key": name}, bucket, key)
        else:
            client().upload_file(source, bucket, key)


def upload(folder: Path, uri: str) -> None:
    """Copy every file of the local `folder` to below the S3 address `uri`."""
    bucket, prefix = split_s3(uri)
    with writing(uri):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            client().upload_file(str(path), bucket, join(prefix, path.relative_to(folder).as_posix()))


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Turns what the file system or boto3 raises into a SourceError that names `uri`."""
    try:
        yield
    except OSError as error:
        seen = "does not exist" if isinstance(error, FileNotFoundError) else _words(error)
        raise SourceError(uri, seen, "Check the address and the rights to read it.") from error
    except _boto_errors() as error:
        raise SourceError(uri, _words(error), "Check the address, the keys and the S3 endpoint.") from error


@contextmanager
def writing(uri: str) -> Iterator[None]:
    """Turns what fails while writing into a SlipwayError that names `uri`, and the free space if it ran out."""
    try:
        yield
    except SlipwayError:
        raise
    except Exception as error:
        if isinstance(error, OSError) or is_full(error):
            raise write_error(uri, error) from error
        if isinstance(error, _boto_errors()):
            raise SlipwayError(
                uri, f"cannot be written: {_words(error)}", "Check the address, the keys and the S3 endpoint."
            ) from error
        raise


def is_full(error: BaseException) -> bool:
    """Whether a disk ran full; polars and Spark say so only in words."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error)


def write_error(uri: str, error: BaseException) -> SlipwayError:
    if not is_full(error):
        return SlipwayError(
            uri, f"cannot be written: {_words(error)}", "Check the path and the rights to write."
        )
    return SlipwayError(
        uri,
        f"the disk is full: {free_space(uri) / 1e6:,.1f} MB free",
        "Free space there, or set SLIPWAY_STORE to a store with more; then run again: nothing was left half done.",
    )


def free_space(uri: str) -> int:
    """Bytes free where the local path `uri` is, or would be."""
    path = Path(uri)
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _boto_errors() -> tuple[type[Exception], ...]:
    """boto3's own exceptions, without importing boto3 where it was never used."""
    import sys

    if "boto3" not in sys.modules:
        return ()
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError, S3UploadFailedError


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
