"""What a backup holds: the databases, the Secrets under a passphrase, and what registered versions refer to.

`manifest.json` is written last and names every other file with its size and sha256: without it there is no backup,
and a restore begins only after each of them was read whole.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tasks import databases
from tasks.backup_places import Bucket, Folder
from tasks.errors import PlatformError, SpecError
from tasks.fields import differing, shown
from tasks.platform_lock import PlatformLock

MANIFEST, OBJECTS, DATABASES = "manifest.json", "objects", "databases"
FORMAT = 1


class File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str


def inside(name: str) -> str:
    """Pure: the name of a file in a backup, if it leads nowhere else."""
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"{name!r} is outside of the backup")
    return name


class Manifest(BaseModel):
    """What is in a backup. `platform`: whose it is, by the addresses that versions and Secrets name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    made: datetime
    platform: dict[str, Any]
    versions: tuple[str, ...]
    files: dict[Annotated[str, AfterValidator(inside)], File]

    @property
    def databases(self) -> tuple[str, ...]:
        """Names of those that were dumped."""
        return tuple(Path(name).stem for name in self.files if name.startswith(f"{DATABASES}/"))


def identity(lock: PlatformLock) -> dict[str, Any]:
    """Pure: what a platform must have in common with the one that a backup is of."""
    return lock.model_dump(mode="json", include={"namespaces", "store", "postgres"})


def check_empty(place: Folder | Bucket) -> None:
    """Refuse a place that holds anything: no backup is ever mixed with another."""
    if place.names():
        raise SpecError(str(place), "is not empty", "Name a new folder or prefix for each backup.")


def facts(path: Path) -> File:
    with path.open("rb") as file:
        return File(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


@contextmanager
def scratch() -> Iterator[Path]:
    """A file of this process's, for what is on its way."""
    with tempfile.TemporaryDirectory(prefix="slipway-backup-") as folder:
        yield Path(folder) / "file"


def copy(
    source: Folder | Bucket,
    name: str,
    target: Folder | Bucket,
    to: str,
    change: Callable[[Path, Path], None] | None = None,
) -> File:
    """Copy one file, as `change` writes it from one path to another, and say what it is then."""
    with scratch() as path:
        source.get(name, path)
        made = path if change is None else path.with_name("changed")
        if change is not None:
            change(path, made)
        target.put(to, made)
        return facts(made)


def put_bytes(place: Folder | Bucket, name: str, data: bytes) -> File:
    with scratch() as path:
        path.write_bytes(data)
        place.put(name, path)
        return facts(path)


def get_bytes(place: Folder | Bucket, name: str) -> bytes:
    with scratch() as path:
        place.get(name, path)
        return path.read_bytes()


def read(place: Folder | Bucket, lock: PlatformLock) -> Manifest:
    """The backup's manifest, after every file that it names was read whole. Raises PlatformError."""
    if MANIFEST not in place.names():
        raise PlatformError(
            str(place), f"holds no {MANIFEST}: it is no backup, or one that did not end", "Name another."
        )
    try:
        manifest = Manifest.model_validate_json(get_bytes(place, MANIFEST))
    except ValidationError as error:
        raise PlatformError(
            f"{place}/{MANIFEST}", f"cannot be read ({said(error)})", "Name another backup."
        ) from error
    if manifest.format != FORMAT:
        raise PlatformError(
            str(place),
            f"has the format {manifest.format}, and this is {FORMAT}",
            "Use the Slipway that made it.",
        )
    check_fits(str(place), manifest, lock)
    check(place, manifest.files)
    return manifest


def said(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def check_fits(place: str, manifest: Manifest, lock: PlatformLock) -> None:
    """Pure. Raises PlatformError naming what the platform does not have in common with the backup's."""
    for path, theirs, ours in differing(manifest.platform, identity(lock)):
        raise PlatformError(
            place,
            f"is of a platform whose {path} is {shown(theirs)}, and here it is {shown(ours)}",
            "Set it in infra/platform.yaml, or the file of --lock, and run `slipway bootstrap` first.",
        )
    for name in set(manifest.databases) - set(databases.names(lock)):
        raise PlatformError(
            place,
            f"holds the database {name}, which this platform does not have",
            "Enable JupyterHub in infra/platform.yaml, and run `slipway bootstrap` first.",
        )


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
                "Bring it back, or delete the version.",
            )
        found.update(there)
    return sorted(found)
