"""What values cannot say: the chart runs this file in the hub, after its own configuration (`c`).

Names become accounts of the notebook's pod, hub groups are those of `custom.groups`, and what a Spark notebook
started goes when it stops.
"""

from typing import TYPE_CHECKING, Any

from kubespawner.slugs import safe_slug, strip_and_hash
from z2jh import get_config

if TYPE_CHECKING:
    c: Any = None

HOME = "/home/jovyan"
"""Where values.yaml mounts a user's volume."""
LONGEST = 32
"""Characters that the name of an account may have."""
TAKEN = (
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data",
    "backup", "list", "irc", "gnats", "nobody", "sshd", "messagebus", "systemd-network",
)  # fmt: skip
"""Accounts that the image has already."""
LABEL = "slipway.io/driver"
"""Of executors: the notebook's pod that they belong to."""


def account(name: str) -> str:
    """Pure: the hub's slug of a user's name, as an account of the pod."""
    slug: str = strip_and_hash(name, LONGEST) if name in TAKEN else safe_slug(name, max_length=LONGEST)
    return slug


def groups_of(name: str, given: list[str], rules: dict[str, str | list[str]]) -> list[str]:
    """Pure: the groups of a user, those that the identity provider gave among them."""
    own = [group for group, members in rules.items() if members == "everyone" or name in members]
    return sorted({*given, *own})


def after_login(_authenticator: Any, _handler: Any, authentication: dict[str, Any]) -> dict[str, Any]:
    rules = get_config("custom.groups", {})
    groups = groups_of(authentication["name"], authentication.get("groups") or [], rules)
    return {**authentication, "groups": groups}


def before_spawn(spawner: Any) -> None:
    """The user's account, and the volume mounted at its home."""
    name = account(spawner.user.name)
    spawner.environment["NB_USER"] = name
    for mount in spawner.volume_mounts.values():
        if mount["mountPath"] == HOME:
            mount["mountPath"] = f"/home/{name}"


async def after_stop(spawner: Any) -> None:
    """Executors end with their driver; their pods are removed here."""
    space = get_config("custom.executors")
    await spawner.api.delete_collection_namespaced_pod(
        space, label_selector=f"{LABEL}={spawner.pod_name}", grace_period_seconds=0
    )


c.Authenticator.post_auth_hook = after_login
c.Spawner.pre_spawn_hook = before_spawn
c.Spawner.post_stop_hook = after_stop
