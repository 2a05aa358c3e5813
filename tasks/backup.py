"""What a backup holds: both databases, the Secrets under a passphrase, and what registered versions refer to.

`manifest.json` is written last and names every other file with its size and sha256: without it there is no backup,
and a restore begins only after each of them was read whole.
"""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks import secrets
from tasks.backup_places import Bucket, Folder
from tasks.errors import PlatformError, SpecError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

MANIFEST, SECRETS, OBJECTS, DATABASES = "manifest.json", "secrets.json", "objects", "databases"
NAMES = ("mlflow", "prefect")
"""The databases."""
FORMAT = 1


class File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str


class Manifest(BaseModel):
    """What is in a backup. `bucket`: gate records are registered with their address in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    made: datetime
    bucket: str
    champions: dict[str, int]
    versions: tuple[str, ...]
    files: dict[str, File]


def check_empty(place: Folder | Bucket) -> None:
    """Refuse a place that holds anything: no backup is ever mixed with another."""
    if place.names():
        raise SpecError(str(place), "is not empty", "Name a new folder or prefix for each backup.")


def check_passphrase(passphrase: str) -> None:
    if len(passphrase) < 12:
        raise SpecError(
            "SLIPWAY_BACKUP_PASSPHRASE",
            "is not set" if not passphrase else "has fewer than 12 characters",
            "Set it: it encrypts the platform's passwords in the backup. Keep it somewhere else.",
        )


def seal(found: secrets.Found, passphrase: str) -> bytes:
    """The Secrets, readable with the passphrase only."""
    salt = os.urandom(16)
    plain = json.dumps([[place.namespace, place.name, dict(data)] for place, data in sorted(found.items())])
    token = _fernet(passphrase, salt).encrypt(plain.encode())
    return json.dumps({"salt": base64.b64encode(salt).decode(), "sealed": token.decode()}).encode()


def unseal(sealed: bytes, passphrase: str) -> dict[secrets.Place, dict[str, str]]:
    """PlatformError if the passphrase is another one, or the file was altered."""
    from cryptography.fernet import InvalidToken

    document = json.loads(sealed)
    try:
        plain = _fernet(passphrase, base64.b64decode(document["salt"])).decrypt(document["sealed"].encode())
    except InvalidToken:
        raise PlatformError(
            f"{SECRETS} of the backup",
            "cannot be read with this passphrase",
            "Set SLIPWAY_BACKUP_PASSPHRASE to the one that the backup was made with.",
        ) from None
    return {secrets.Place(space, name): data for space, name, data in json.loads(plain)}


def _fernet(passphrase: str, salt: bytes) -> "Fernet":
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    key = Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(passphrase.encode())
    return Fernet(base64.urlsafe_b64encode(key))


def facts(path: Path) -> File:
    with path.open("rb") as file:
        return File(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


@contextmanager
def scratch() -> Iterator[Path]:
    """A file of this process's, for what is on its way."""
    with tempfile.TemporaryDirectory(prefix="slipway-backup-") as folder:
        yield Path(folder) / "file"


def copy(source: Folder | Bucket, name: str, target: Folder | Bucket, to: str) -> File:
    """Copy one file, and say what it was."""
    with scratch() as path:
        source.get(name, path)
        target.put(to, path)
        return facts(path)


def put_bytes(place: Folder | Bucket, name: str, data: bytes) -> File:
    with scratch() as path:
        path.write_bytes(data)
        place.put(name, path)
        return facts(path)


def get_bytes(place: Folder | Bucket, name: str) -> bytes:
    with scratch() as path:
        place.get(name, path)
        return path.read_bytes()


def read(place: Folder | Bucket, bucket: str) -> Manifest:
    """The backup's manifest, after every file that it names was read whole. Raises PlatformError."""
    if MANIFEST not in place.names():
        raise PlatformError(
            str(place), f"holds no {MANIFEST}: it is no backup, or one that did not end", "Name another."
        )
    try:
        manifest = Manifest.model_validate_json(get_bytes(place, MANIFEST))
    except ValidationError as error:
        raise PlatformError(
            f"{place}/{MANIFEST}", f"cannot be read ({error})", "Name another backup."
        ) from error
    if manifest.format != FORMAT:
        raise PlatformError(
            str(place),
            f"has the format {manifest.format}, and this is {FORMAT}",
            "Use the Slipway that made it.",
        )
    if manifest.bucket != bucket:
        raise PlatformError(
            str(place),
            f"is of the bucket {manifest.bucket}, and the platform's is {bucket}: gate records name theirs",
            "Set `store.bucket` in infra/platform.yaml, and bootstrap.",
        )
    check(place, manifest.files)
    return manifest


def check(place: Folder | Bucket, files: Mapping[str, File]) -> None:
    for name, wanted in files.items():
        with scratch() as path:
            place.get(name, path)
            if facts(path) != wanted:
                raise PlatformError(
                    f"{place}/{name}", "is not what the backup's manifest says", "Name another backup."
                )


def objects(keys: Iterable[str], listed: Callable[[str], list[str]]) -> list[str]:
    """Every object at or below `keys`. PlatformError for a key where there is none: a backup would lack it."""
    found: set[str] = set()
    for key in sorted(set(keys)):
        there = listed(key)
        if not there:
            raise PlatformError(
                f"object {key}",
                "is gone, and a registered version refers to it",
                "Restore it, or delete the version.",
            )
        found.update(there)
    return sorted(found)
