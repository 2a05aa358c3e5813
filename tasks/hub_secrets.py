"""What JupyterHub keeps secret, and what its notebooks get.

The hub's own are made once and kept in the Secret slipway-hub; Helm gets them on its standard input, as values for
the markers `@secret:...` (infra/jupyterhub/values.yaml). Notebooks, and the executors of Spark notebooks, get
copies of the identity that the platform keeps for them in slipway-notebook.
"""

from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from tasks.errors import PlatformError
from tasks.kubernetes import Cluster
from tasks.platform_lock import PlatformLock
from tasks.secrets import KEY, KEY_SECRET, NOTEBOOK, POSTGRES, S3, Data, Found, Place, manifest, read, token

HUB = "slipway-hub"
OWN = ("proxy-token", "cookie-secret", "crypt-key", "trigger-token", "password")
LENGTH = 64
"""Hex digits of each: cookies and the key of the authentication state ask for just as many."""
DATABASE = "hub-uri"
UNKNOWN = "0" * LENGTH
"""In place of what a bootstrap will make: charts are also rendered to see what they would be."""


def make_hub_secrets(cluster: Cluster, lock: PlatformLock) -> tuple[Place, ...]:
    """Bring the Secrets around the hub to what they must hold; those that were written. None without a hub."""
    if not lock.enabled("notebooks"):
        return ()
    there = read(cluster, places(lock))
    written = []
    for place, data in wanted(lock, there, lambda: token() + token()).items():
        if there.get(place) != data:
            cluster.apply(manifest(place, data))
            written.append(place)
    return tuple(written)


def places(lock: PlatformLock) -> tuple[Place, ...]:
    names = lock.namespaces
    return (
        Place(names.platform, HUB), Place(names.platform, NOTEBOOK), Place(names.platform, POSTGRES),
        Place(names.notebooks, NOTEBOOK), Place(names.executors, S3),
    )  # fmt: skip


def wanted(lock: PlatformLock, there: Found, make: Callable[[], str]) -> dict[Place, Data]:
    """Pure but for `make`: what each of these Secrets must hold, given what is there."""
    names = lock.namespaces
    hub = Place(names.platform, HUB)
    kept = there.get(hub, {})
    made: dict[Place, Data] = {hub: {**kept, **{key: kept.get(key) or make()[:LENGTH] for key in OWN}}}
    identity = there.get(Place(names.platform, NOTEBOOK))
    if identity:
        made[Place(names.notebooks, NOTEBOOK)] = identity
        made[Place(names.executors, S3)] = {
            key: identity[key] for key in (KEY, KEY_SECRET) if key in identity
        }
    return made


def known(cluster: Cluster, lock: PlatformLock) -> dict[str, str]:
    """What the markers of secrets stand for; none without a hub."""
    return markers(read(cluster, places(lock)), lock) if lock.enabled("jupyterhub") else {}


def markers(there: Found, lock: PlatformLock) -> dict[str, str]:
    """Pure: the same from what the Secrets hold. PlatformError naming the one that the user must give."""
    platform = lock.namespaces.platform
    uri = there.get(Place(platform, POSTGRES), {}).get(DATABASE)
    if not uri and not lock.postgres.external:
        uri = f"postgresql+psycopg2://hub:{UNKNOWN}@{lock.postgres.host}:{lock.postgres.port}/hub"
    if not uri:
        raise PlatformError(
            f"{Place(platform, POSTGRES)}: {DATABASE}",
            "is missing, and the hub keeps its users there",
            f"Create it: the lock says that you bring the database. {DATABASE} is postgresql+psycopg2://user:...@host/hub.",
        )
    own = {f"secret:hub.{key}": there.get(Place(platform, HUB), {}).get(key, UNKNOWN) for key in OWN}
    return {**own, **database(uri)}


def database(uri: str) -> Mapping[str, str]:
    """Pure: the address of the hub's database, and apart from it the password."""
    parts = urlsplit(uri)
    user, host = parts.username or "", parts.netloc.rpartition("@")[2]
    return {
        "secret:hub.database-url": parts._replace(netloc=f"{user}@{host}").geturl(),
        "secret:hub.database-password": unquote(parts.password or ""),
    }
