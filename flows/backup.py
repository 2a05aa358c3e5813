"""The platform of a cluster -> a folder or S3: databases, Secrets, and what registered versions refer to.

Not a flow itself, as `deploy` is none: the server that would have to run it is what is kept.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tasks import backup as kept
from tasks import (
    backup_places,
    backup_secrets,
    databases,
    dumps,
    lease,
    platform,
    registered,
    secrets,
)
from tasks.backup import File, Manifest
from tasks.backup_places import Bucket, Folder
from tasks.errors import PlatformError
from tasks.kubernetes import Cluster, client
from tasks.platform_lock import LOCK, PlatformLock, load_lock
from tasks.reach import Server, reached
from tasks.settings import settings
from tasks.tracking import Version


@dataclass(frozen=True)
class BackedUp:
    """What is in the backup at `place`."""

    place: str
    versions: tuple[str, ...]
    files: int
    size: int


@dataclass(frozen=True)
class Store:
    """The platform's, with the administrator's keys. `key` closes the dumps that lie there for a moment."""

    bucket: Bucket
    key: str


def backup(destination: str, say: Callable[[str], None], file: Path = LOCK) -> BackedUp:
    """Write a backup to `destination`, which must be empty. The platform goes on working meanwhile."""
    lock = load_lock(file)
    passphrase = checked("backup", lock)
    place = backup_places.place(destination)
    kept.check_empty(place)
    cluster = connected(lock)
    platform.check_whole(cluster)
    with lease.held(cluster, "backup"), platform_store(cluster, lock, "MLflow") as store:
        held = backup_secrets.seal(backup_secrets.read(cluster, lock), passphrase)
        files: dict[str, File] = {backup_secrets.FILE: kept.put_bytes(place, backup_secrets.FILE, held)}
        before = registered.versions()
        say(f"databases: {', '.join(databases.names(lock))}")
        files |= dumped(cluster, lock, store, place)
        found = registered.every(before, registered.versions())
        keys = referred(lock, store.bucket, found)
        say(f"{len(found)} versions, {len(keys)} objects")
        for key in keys:
            to = f"{kept.OBJECTS}/{key}"
            files[to] = kept.copy(store.bucket, key, place, to)
        manifest = Manifest(
            made=datetime.now(UTC),
            platform=kept.identity(lock),
            versions=tuple(version.name for version in found),
            files=files,
        )
        kept.put_bytes(place, kept.MANIFEST, manifest.model_dump_json(indent=1).encode())
    return BackedUp(str(place), manifest.versions, len(files), sum(one.size for one in files.values()))


def checked(command: str, lock: PlatformLock) -> str:
    """The passphrase, if there is one worth the name, commands mean the platform of the lock, and it can dump."""
    found = settings()
    if found.platform != "cluster":
        raise PlatformError(
            f"slipway {command}",
            f"is for a cluster, and this is the embedded platform (all of it lies under {found.home})",
            "Copy that folder; or run `slipway bootstrap`, which makes commands mean its cluster.",
        )
    if found.platform_namespace != lock.namespaces.platform:
        raise PlatformError(
            f"slipway {command}",
            f"the lock's platform is in namespace {lock.namespaces.platform}, and commands mean the one in "
            f"{found.platform_namespace}",
            "Run `slipway bootstrap` with the same --lock: commands mean that platform from then on.",
        )
    databases.check_image(lock)
    passphrase = found.backup_passphrase.get_secret_value()
    backup_secrets.check_passphrase(passphrase)
    return passphrase


def connected(lock: PlatformLock) -> Cluster:
    cluster = client(lock.namespaces.platform)
    platform.require(cluster)
    return cluster


def dumped(cluster: Cluster, lock: PlatformLock, store: Store, place: Folder | Bucket) -> dict[str, File]:
    """Every database, in the backup; what lay in the store on the way is gone."""
    with on_the_way(store, databases.names(lock)) as keys:
        databases.dump(cluster, lock)
        return {
            to: kept.copy(store.bucket, key, place, to, partial(dumps.open_, key=store.key))
            for key, to in keys.items()
        }


@contextmanager
def on_the_way(store: Store, names: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Where the dumps lie in the store for as long as the block lasts -> their names in a backup."""
    keys = {f"{dumps.ON_THE_WAY}/{name}.dump": f"{kept.DATABASES}/{name}.dump" for name in names}
    try:
        yield keys
    finally:
        for key in keys:
            store.bucket.delete(key)


def referred(lock: PlatformLock, bucket: Bucket, found: tuple[Version, ...]) -> list[str]:
    """Keys of every object that the versions refer to."""
    needed = registered.referred(found, lock.store.bucket)
    logged = {key for run in needed.runs for key in bucket.at(run)}
    return sorted({*kept.objects(needed.needed, bucket.at), *logged})


@contextmanager
def platform_store(cluster: Cluster, lock: PlatformLock, *servers: Server) -> Iterator[Store]:
    """The platform's store; `servers` answer too."""
    key, secret = secrets.administrator(cluster, lock)
    with reached(*servers, "store") as found:
        place = backup_places.bucket_at(found.s3_endpoint, lock.store.region, lock.store.bucket, key, secret)
        yield Store(place, secret)
