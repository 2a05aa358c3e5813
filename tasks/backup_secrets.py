"""The platform's Secrets in a backup: those that bootstrap generated, under a passphrase.

The certificate of Seldon Core's webhook is not among them: it belongs to the webhook that is there.
"""

import base64
import json
import os
from typing import TYPE_CHECKING

from tasks import hub_secrets, secrets
from tasks.errors import PlatformError, SpecError
from tasks.kubernetes import Cluster
from tasks.platform_lock import PlatformLock
from tasks.secrets import KEY, KEY_SECRET, POSTGRES, Found, Place

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

FILE = "secrets.json"
LEAST = 12
"""Characters of a passphrase."""
OF_THE_STORE = (KEY, KEY_SECRET, "config.json")
Held = dict[Place, dict[str, str]]


def places(lock: PlatformLock) -> tuple[Place, ...]:
    """Pure: every Secret of the platform, and of its notebooks."""
    return tuple(dict.fromkeys((*secrets.places(lock), *hub_secrets.places(lock))))


def generated(lock: PlatformLock, found: Found) -> Held:
    """Pure: what of the Secrets is bootstrap's; what the user brings (`external`) is theirs to keep."""
    kept = {
        place: {key: value for key, value in data.items() if not (lock.store.external and of_the_store(key))}
        for place, data in found.items()
        if not (lock.postgres.external and place.name == POSTGRES)
    }
    return {place: data for place, data in kept.items() if data}


def of_the_store(key: str) -> bool:
    return key in OF_THE_STORE or key.startswith("RCLONE_")


def read(cluster: Cluster, lock: PlatformLock) -> Held:
    return generated(lock, secrets.read(cluster, places(lock)))


def write(cluster: Cluster, lock: PlatformLock, held: Held) -> None:
    """Make the platform's Secrets what `held` says; what a newer Slipway has beside that stays, or is made."""
    there = secrets.read(cluster, tuple(held))
    for place, data in held.items():
        cluster.apply(secrets.manifest(place, {**there.get(place, {}), **data}))
    secrets.make_secrets(cluster, lock)
    hub_secrets.make_hub_secrets(cluster, lock)


def check_passphrase(passphrase: str) -> None:
    if len(passphrase) < LEAST:
        raise SpecError(
            "SLIPWAY_BACKUP_PASSPHRASE",
            "is not set" if not passphrase else f"has fewer than {LEAST} characters",
            "Set it: it encrypts the platform's passwords in the backup. Keep it somewhere else.",
        )


def seal(found: Found, passphrase: str) -> bytes:
    """The Secrets, readable with the passphrase only."""
    salt = os.urandom(16)
    plain = json.dumps([[place.namespace, place.name, dict(data)] for place, data in sorted(found.items())])
    token = _fernet(passphrase, salt).encrypt(plain.encode())
    return json.dumps({"salt": base64.b64encode(salt).decode(), "sealed": token.decode()}).encode()


def unseal(sealed: bytes, passphrase: str, known: tuple[Place, ...]) -> Held:
    """PlatformError if the passphrase is another one, the file was altered, or it holds what is not `known`."""
    from cryptography.fernet import InvalidToken

    try:
        document = json.loads(sealed)
        salt, token = base64.b64decode(document["salt"]), document["sealed"].encode()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlatformError(
            f"{FILE} of the backup", f"cannot be read ({type(error).__name__})", "Name another backup."
        ) from None
    try:
        plain = _fernet(passphrase, salt).decrypt(token)
    except InvalidToken:
        raise PlatformError(
            f"{FILE} of the backup",
            "cannot be read with this passphrase",
            "Set SLIPWAY_BACKUP_PASSPHRASE to the one that the backup was made with.",
        ) from None
    held = {Place(space, name): data for space, name, data in json.loads(plain)}
    foreign = sorted(set(held) - set(known))
    if foreign:
        raise PlatformError(
            f"{FILE} of the backup",
            f"holds {foreign[0]}, which is none of this platform's",
            "Name a backup of this platform; the lock says which namespaces it has.",
        )
    return held


def _fernet(passphrase: str, salt: bytes) -> "Fernet":
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    key = Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(passphrase.encode())
    return Fernet(base64.urlsafe_b64encode(key))
