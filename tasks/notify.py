"""Who hears of a scheduled run that failed or is held: a webhook, an e-mail address, or both.

The addresses, with their passwords, come from Secrets that the user makes, and go into blocks of the Prefect
server, which keeps them encrypted; the automation (`automations.py`) names the blocks.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
from pydantic import SecretStr

from tasks.errors import PlatformError
from tasks.kubernetes import Cluster
from tasks.platform_lock import PlatformLock
from tasks.prefect_api import ask
from tasks.secrets import Data, Found, Place, read
from tasks.settings import Settings, settings

WEBHOOK, EMAIL = "slipway-webhook", "slipway-email"
"""Names of the blocks."""
TYPE = "slack-webhook"
"""Prefect's one kind of block that hands any address to Apprise, which writes none into a log. Its custom webhook
logs the whole address when a request fails, and repeats the request."""
JSON = {"http": "json", "https": "jsons"}
"""What Apprise calls a request with a JSON body."""
TEXT = {":message": "text", ":title": "", ":version": "", ":type": "", ":attachments": ""}
"""Of the body only the message stays, as `text`: what Slack, Mattermost, Teams and Google Chat take."""
MODES = ("starttls", "ssl", "insecure")

Addresses = Mapping[str, SecretStr]
"""By name of the block, in Apprise's words."""


@dataclass(frozen=True)
class Blocks:
    """Id of each block that is there, by name, and what was written to bring them there."""

    ids: Mapping[str, str]
    written: tuple[str, ...]


def addresses(cluster: Cluster, lock: PlatformLock) -> Addresses:
    """What the Secrets that the lock names hold. PlatformError naming what is missing or wrong."""
    return wanted(lock, read(cluster, tuple(places(lock).values())))


def own_addresses(found: Settings) -> Addresses:
    """Pure: the same for the embedded platform."""
    made = {}
    if webhook := found.notify_webhook.get_secret_value():
        made[WEBHOOK] = SecretStr(webhook_address("SLIPWAY_NOTIFY_WEBHOOK", webhook))
    if email := found.notify_email.get_secret_value():
        made[EMAIL] = SecretStr(email)
    return made


def places(lock: PlatformLock) -> dict[str, Place]:
    """Pure: where the address of each block is kept."""
    named = {WEBHOOK: lock.notify.webhook, EMAIL: lock.notify.email}
    return {block: Place(lock.namespaces.platform, secret) for block, secret in named.items() if secret}


def wanted(lock: PlatformLock, there: Found) -> Addresses:
    """Pure: the addresses, from what the Secrets hold."""
    made = {}
    for block, place in places(lock).items():
        if place not in there:
            raise PlatformError(
                str(place), "is not there, and notify in infra/platform.yaml names it", HOW[block]
            )
        data = there[place]
        made[block] = (
            webhook_address(str(place), given(place, data, "url", WEBHOOK))
            if block == WEBHOOK
            else (email_address(place, data))
        )
    return {block: SecretStr(address) for block, address in made.items()}


def webhook_address(about: str, url: str) -> str:
    """Pure: an http(s) address as Apprise writes one that takes JSON; any other is Apprise's already."""
    parts = urlsplit(url.strip())
    if not parts.scheme or not parts.netloc:
        raise PlatformError(f"{about}: url", "is no address", HOW[WEBHOOK])
    if parts.scheme not in JSON:
        return url.strip()
    asked = {f"-{key}": value for key, value in parse_qsl(parts.query, keep_blank_values=True)}
    return parts._replace(scheme=JSON[parts.scheme], query=urlencode({**asked, **TEXT}), fragment="").geturl()


def email_address(place: Place, data: Data) -> str:
    """Pure: the server, and whom it is to send mail to, as Apprise writes it."""
    mode = data.get("mode", MODES[0])
    if mode not in MODES:
        raise PlatformError(f"{place}: mode", f"is none of {', '.join(MODES)}", HOW[EMAIL])
    server, sender, to = (given(place, data, key, EMAIL) for key in ("server", "from", "to"))
    user, password = (quote(data.get(key, ""), safe="") for key in ("user", "password"))
    login = f"{user}:{password}@" if user else ""
    host = server.partition(":")[0]  # named twice: else Apprise corrects it for the providers that it knows
    asked = {"from": sender, "to": to, "mode": mode, "format": "text", "smtp": host}
    scheme = "mailto" if mode == "insecure" else "mailtos"
    return f"{scheme}://{login}{server}/?{urlencode(asked)}"


def given(place: Place, data: Data, key: str, block: str) -> str:
    if not data.get(key, "").strip():
        raise PlatformError(f"{place}: {key}", "is missing", HOW[block])
    return data[key].strip()


HOW = {
    WEBHOOK: "Make it with the key `url`: an https address that takes JSON with a `text`, or one of Apprise's.",
    EMAIL: "Make it with the keys `server` (HOST:PORT), `from`, `to`, and `user`, `password`, "
    f"`mode` ({', '.join(MODES)}) where they are needed.",
}


def differing(api: str, told: Addresses) -> dict[str, str]:
    """By block, what is not as it should be."""
    wrong = {}
    for block in (WEBHOOK, EMAIL):
        there, address = _find(api, block), told.get(block)
        if address is None:
            fault = "is to go" if there else ""
        elif there is None:
            fault = "is not there"
        else:
            fault = "" if there["data"].get("url") == address.get_secret_value() else "has another address"
        if fault:
            wrong[block] = fault
    return wrong


def ids(api: str, told: Addresses) -> dict[str, str]:
    """Of the wanted blocks that are there."""
    found = {block: _find(api, block) for block in told}
    return {block: there["id"] for block, there in found.items() if there}


def ensure(api: str, told: Addresses) -> Blocks:
    """Bring the blocks to these addresses, and remove those of none."""
    wrong = differing(api, told)
    for block in wrong:
        if block in told:
            asyncio.run(_save(api, block, told[block]))
    return Blocks(ids(api, told), tuple(wrong))


def remove(api: str, told: Addresses) -> None:
    """Delete the blocks that nobody is told by, once no automation names them."""
    for block in {WEBHOOK, EMAIL} - set(told):
        if there := _find(api, block):
            ask("DELETE", f"{api}/block_documents/{there['id']}").raise_for_status()


def _find(api: str, block: str) -> dict[str, Any] | None:
    url = f"{api}/block_types/slug/{TYPE}/block_documents/name/{block}?include_secrets=true"
    answer = ask("GET", url)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def _save(api: str, block: str, address: SecretStr) -> None:
    """By Prefect's client, which also tells a server that has never seen it what such a block is."""
    from prefect.blocks.notifications import SlackWebhook
    from prefect.client.orchestration import PrefectClient

    login = settings().prefect_auth.get_secret_value() or None
    async with PrefectClient(api, auth_string=login, httpx_settings={"trust_env": False}) as client:
        await SlackWebhook(url=address).asave(block, overwrite=True, client=client)
