"""A backup -> the platform that bootstrap made: as it was when the backup was made, champions serving.

Not a flow itself: it stops the server that would have to run it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flows import trigger
from flows.backup import checked, connected, on_the_way, platform_store
from flows.deploy import deploy
from tasks import backup as kept
from tasks import backup_places, backup_secrets, databases, dumps, lease, registered, standstill, tracking
from tasks.backup import Manifest
from tasks.backup_places import Bucket, Folder
from tasks.errors import PlatformError, SlipwayError, SpecError
from tasks.kubernetes import Cluster
from tasks.platform_lock import LOCK, PlatformLock, load_lock
from tasks.reach import reached
from tasks.releasing import FORCED
from tasks.tracking import Version


@dataclass(frozen=True)
class Restored:
    """`champions` serve again; `left` have no deployment of the flow release, and are released by hand."""

    place: str
    versions: tuple[str, ...]
    champions: tuple[str, ...]
    left: tuple[str, ...]
    next_step: str = ""
    """What is still to be done; nothing without a hub."""


def restore(source: str, say: Callable[[str], None], file: Path = LOCK) -> Restored:
    """Make the platform what the backup at `source` says; what it has learnt since is replaced.

    Everything is read and checked first. Stopped anywhere and run again, it begins anew.
    """
    lock = load_lock(file)
    passphrase = checked("restore", lock)
    place = backup_places.place(source)
    cluster = connected(lock)
    say("checking the backup")
    manifest = kept.read(place, lock)
    sealed = kept.get_bytes(place, backup_secrets.FILE)
    held = backup_secrets.unseal(sealed, passphrase, backup_secrets.places(lock))
    with lease.held(cluster, "restore"):
        say("stopping the servers")
        with standstill.standstill(cluster, lock, say) as stopped:
            backup_secrets.write(cluster, lock, held)
            standstill.restart_data(cluster)
            bring_back(cluster, lock, manifest, place, say)
            standstill.start(cluster, stopped, standstill.SERVERS)
            with reached("Prefect") as found:
                standstill.free_locks(found.prefect_url)
                standstill.end_runs(found.prefect_url)
            say("work pools and deployments")
            deploy(say, images=False, file=file)
            standstill.start(cluster, stopped, standstill.CLIENTS)
        with reached("MLflow"):
            champions = registered.champions(registered.versions())
        done, left = serve_all(champions, say)
    return Restored(str(place), manifest.versions, done, left, HUB if stopped.hub else "")


HUB = "JupyterHub is stopped, for its chart knows other passwords: run `slipway bootstrap`, which starts it."


def bring_back(
    cluster: Cluster,
    lock: PlatformLock,
    manifest: Manifest,
    place: Folder | Bucket,
    say: Callable[[str], None],
) -> None:
    """Objects, then databases: no database ever refers to what is not there."""
    with platform_store(cluster, lock) as store:
        say(f"{len(manifest.files)} files")
        for name in manifest.files:
            if name.startswith(f"{kept.OBJECTS}/"):
                kept.copy(place, name, store.bucket, name.removeprefix(f"{kept.OBJECTS}/"))
        say(f"databases: {', '.join(manifest.databases)}")
        with on_the_way(store, manifest.databases) as keys:
            for key, name in keys.items():
                kept.copy(place, name, store.bucket, key, partial(dumps.close, key=store.key))
            databases.restore(cluster, lock, manifest.databases)


def serve_all(
    champions: tuple[Version, ...], say: Callable[[str], None]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that serve, and those that no deployment releases. PlatformError if one failed, after the others."""
    served: dict[str, bool] = {}
    failed: list[str] = []
    for one in champions:
        try:
            served[one.name] = serve(one, say)
        except SlipwayError as error:
            say(f"{one.name} does not serve: {error}")
            failed.append(one.name)
    if failed:
        raise PlatformError(
            ", ".join(failed),
            "restored like everything else of the backup, but does not serve again, for the reason said above",
            "Correct that, then `slipway release MODEL --version N`.",
        )
    return tuple(name for name, well in served.items() if well), tuple(
        name for name, well in served.items() if not well
    )


def serve(champion: Version, say: Callable[[str], None]) -> bool:
    """Release the champion again, as it was: also held, or forced. False if no deployment does that.

    A release ends a hold, so that one is set again after it; killed in between, only another restore knows of it.
    """
    model, forced = champion.model, champion.tags.get(FORCED)
    with reached("MLflow", "Prefect"):
        held = tracking.hold(model)
        try:
            trigger.check("release", model)
        except SpecError:
            return False
    how: dict[str, Any] = {} if forced is None else {"force": True, "reason": forced}
    try:
        trigger.trigger("release", model, say=say, version=champion.number, **how)
    finally:
        if held is not None:
            with reached("MLflow"):
                tracking.set_hold(model, held)
    return True
