"""The platform of a cluster -> a folder or S3: databases, Secrets, and what registered versions refer to.

Not a flow itself, as `deploy` is none: the server that would have to run it is what is kept.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks import backup as kept
from tasks import backup_places, databases, dumps, registered, removal, secrets
from tasks.backup import File, Manifest
from tasks.backup_places import Bucket
from tasks.errors import PlatformError
from tasks.kubernetes import Cluster
from tasks.platform_lock import LOCK, PlatformLock, load_lock
from tasks.reach import Server, reached
from tasks.settings import settings


@dataclass(frozen=True)
class BackedUp:
    """What is in the backup at `place`."""

    place: str
    versions: tuple[str, ...]
    files: int
    size: int


def backup(destination: str, say: Callable[[str], None], file: Path = LOCK) -> BackedUp:
    """Write a backup to `destination`, which must be empty. The platform goes on working meanwhile."""
    check_platform("backup")
    lock = load_lock(file)
    passphrase = settings().backup_passphrase.get_secret_value()
    kept.check_passphrase(passphrase)
    place = backup_places.place(destination)
    kept.check_empty(place)
    cluster = removal.connect(lock)
    held = secrets.read(cluster, secrets.places(lock))
    files: dict[str, File] = {kept.SECRETS: kept.put_bytes(place, kept.SECRETS, kept.seal(held, passphrase))}
    say("databases")
    databases.dump(cluster, lock)
    with platform_store(cluster, lock, "MLflow") as store:
        for name in on_the_way():
            to = f"{kept.DATABASES}/{name.rsplit('/', 1)[1]}"
            files[to] = kept.copy(store, name, place, to)
            store.delete(name)
        found = registered.versions()
        referred = registered.referred(found, lock.store.bucket)
        keys = kept.objects(referred.needed, store.at)
        keys += [key for run in sorted(referred.runs) for key in store.at(run)]
        say(f"{len(found)} versions, {len(keys)} objects")
        for key in keys:
            to = f"{kept.OBJECTS}/{key}"
            files[to] = kept.copy(store, key, place, to)
        manifest = Manifest(
            made=datetime.now(UTC),
            bucket=lock.store.bucket,
            champions=registered.champions(found),
            versions=tuple(version.name for version in found),
            files=files,
        )
    kept.put_bytes(place, kept.MANIFEST, manifest.model_dump_json(indent=1).encode())
    return BackedUp(str(place), manifest.versions, len(files), sum(one.size for one in files.values()))


def check_platform(command: str) -> None:
    if settings().platform != "cluster":
        raise PlatformError(
            f"slipway {command}",
            f"is for a cluster, and this is the embedded platform (all of it lies under {settings().home})",
            "Copy that folder; or run `slipway bootstrap`, which makes commands mean its cluster.",
        )


def on_the_way() -> list[str]:
    """Where the Jobs leave and find the dumps in the platform's store."""
    return [f"{dumps.ON_THE_WAY}/{name}.dump" for name in kept.NAMES]


@contextmanager
def platform_store(cluster: Cluster, lock: PlatformLock, *servers: Server) -> Iterator[Bucket]:
    """The platform's store with the administrator's keys; `servers` answer too."""
    place = secrets.Place(lock.namespaces.platform, secrets.S3_ADMIN)
    keys = secrets.read(cluster, (place,))[place]
    with reached(*servers, "store") as found:
        yield backup_places.bucket_at(
            found.s3_endpoint,
            lock.store.region,
            lock.store.bucket,
            keys[secrets.KEY],
            keys[secrets.KEY_SECRET],
        )
