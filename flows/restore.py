"""A backup -> the platform that bootstrap made: as it was when the backup was made, champions serving.

Not a flow itself: it stops the server that would have to run it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows.backup import check_platform, on_the_way, platform_store
from flows.deploy import deploy
from flows.trigger import trigger
from tasks import backup as kept
from tasks import backup_places, databases, removal, secrets, standstill, tracking
from tasks.errors import SpecError
from tasks.platform_lock import LOCK, load_lock
from tasks.reach import reached
from tasks.settings import settings


@dataclass(frozen=True)
class Restored:
    """`champions` serve again; `left` have no deployment of the flow release, and are released by hand."""

    place: str
    versions: tuple[str, ...]
    champions: tuple[str, ...]
    left: tuple[str, ...]


def restore(source: str, say: Callable[[str], None], file: Path = LOCK) -> Restored:
    """Make the platform what the backup at `source` says; what it has learnt since is replaced.

    Everything is read and checked first. Stopped anywhere and run again, it begins anew.
    """
    check_platform("restore")
    lock = load_lock(file)
    place = backup_places.place(source)
    cluster = removal.connect(lock)
    say("checking the backup")
    manifest = kept.read(place, lock.store.bucket)
    passphrase = settings().backup_passphrase.get_secret_value()
    held = kept.unseal(kept.get_bytes(place, kept.SECRETS), passphrase)
    say("stopping the servers")
    stopped = standstill.stop(cluster)
    for each, data in held.items():
        cluster.apply(secrets.manifest(each, data))
    standstill.restart_data(cluster)
    with platform_store(cluster, lock) as store:
        say(f"{len(manifest.files)} files")
        for name in manifest.files:
            if name.startswith(f"{kept.OBJECTS}/"):
                kept.copy(place, name, store, name.removeprefix(f"{kept.OBJECTS}/"))
        for name in on_the_way():
            kept.copy(place, f"{kept.DATABASES}/{name.rsplit('/', 1)[1]}", store, name)
        say("databases")
        databases.restore(cluster, lock)
        for name in on_the_way():
            store.delete(name)
    standstill.start(cluster, stopped)
    say("work pools and deployments")
    with reached("Prefect") as found:
        standstill.free_locks(found.prefect_url)
    deploy(say, images=False, file=file)
    serves = {one: serve(*one, say) for one in manifest.champions.items()}
    done = tuple(f"{model} version {number}" for (model, number), well in serves.items() if well)
    left = tuple(f"{model} version {number}" for (model, number), well in serves.items() if not well)
    return Restored(str(place), manifest.versions, done, left)


def serve(model: str, number: int, say: Callable[[str], None]) -> bool:
    """Release the champion again, as it was: also held. False if no deployment does that."""
    with reached("MLflow"):
        held = tracking.hold(model)
    try:
        trigger("release", model, say=say, version=number)
    except SpecError:
        return False
    if held is not None:
        with reached("MLflow"):
            tracking.set_hold(model, held)
    return True
