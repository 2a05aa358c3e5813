"""A registry of images, by the API that all have (OCI Distribution): what it holds, and deleting from it."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from tasks.errors import PlatformError

HUB, HUB_API, HUB_LOGIN = "docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"
"""Docker's own registry answers under another name, and its login stands under a third."""
KINDS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.manifest.v1",
        "oci.image.index.v1",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
    )
)
TIMEOUT = 30.0
PAGE = 200
Login = tuple[str, str]


class RegistryRefused(PlatformError):
    """The registry does not do what it is asked, or does not answer."""


@dataclass(frozen=True)
class Stored:
    """One image in a registry; `children` are the digests of an index's images, one for each architecture."""

    host: str
    repository: str
    digest: str
    tags: tuple[str, ...]
    children: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}:{', '.join(self.tags)} ({self.digest[:19]})"


def login(document: str, host: str) -> Login | None:
    """Pure: name and password for `host` in what `docker login` writes; None if it has none."""
    known = (json.loads(document) if document.strip() else {}).get("auths") or {}
    found = known.get(HUB_LOGIN if host == HUB else host) or known.get(f"https://{host}") or {}
    if "auth" in found:
        name, _, password = base64.b64decode(found["auth"]).decode().partition(":")
    else:
        name, password = str(found.get("username", "")), str(found.get("password", ""))
    return (name, password) if name else None


class Registry:
    """One registry, as one login may see it. Every method raises RegistryRefused in words.

    `address`: where it answers; without it that is found out.
    """

    def __init__(self, host: str, login: Login | None, address: str = "") -> None:
        self.host, self._login = host, login
        self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=True)
        self._tokens: dict[str, str] = {}
        self._base = address

    def images(self, repository: str) -> list[Stored]:
        """Every image with a tag; none if there is no such repository. What has no tag cannot be listed."""
        tags: dict[str, list[str]] = {}
        children: dict[str, tuple[str, ...]] = {}
        for tag in self._tags(repository):
            answer = self._ask("GET", f"/v2/{repository}/manifests/{tag}", repository)
            if answer.status_code == httpx.codes.NOT_FOUND:  # deleted meanwhile
                continue
            digest = answer.headers.get("Docker-Content-Digest") or digest_of(answer.content)
            tags.setdefault(digest, []).append(tag)
            children[digest] = tuple(
                str(each["digest"]) for each in self._said(answer).get("manifests") or ()
            )
        return [
            Stored(self.host, repository, digest, tuple(sorted(names)), children[digest])
            for digest, names in tags.items()
        ]

    def delete(self, image: Stored) -> None:
        """With all its tags, which not every registry takes away by itself; fine if it is gone."""
        at = f"/v2/{image.repository}/manifests"
        self._ask("DELETE", f"{at}/{image.digest}", image.repository)
        for tag in image.tags:
            if self._ask("GET", f"{at}/{tag}", image.repository).is_success:
                self._ask("DELETE", f"{at}/{tag}", image.repository)

    def _tags(self, repository: str) -> Iterator[str]:
        path = f"/v2/{repository}/tags/list?n={PAGE}"
        while path:
            answer = self._ask("GET", path, repository)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return
            yield from self._said(answer).get("tags") or ()
            path = urljoin(path, answer.links["next"]["url"]) if "next" in answer.links else ""

    def _ask(self, method: str, path: str, repository: str) -> httpx.Response:
        """The answer; 404 is one, every other refusal is raised."""
        try:
            answer = self._request(method, path, repository)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                self._log_in(answer, repository)
                answer = self._request(method, path, repository)
        except httpx.HTTPError as error:
            raise RegistryRefused(
                f"registry {self.host}",
                f"does not answer ({type(error).__name__})",
                "Let the pods of the pool release through to it (`extraEgress` of infra/charts/base).",
            ) from error
        if answer.is_success or answer.status_code == httpx.codes.NOT_FOUND:
            return answer
        raise RegistryRefused(f"registry {self.host}", *refusal(method, repository, answer.status_code))

    def _request(self, method: str, path: str, repository: str) -> httpx.Response:
        token = self._tokens.get(repository)
        headers = {"Accept": KINDS, **({"Authorization": token} if token else {})}
        return self._client.request(method, urljoin(self._address(), path), headers=headers)

    def _address(self) -> str:
        """https, or, where no password would be sent, plain http if that alone answers."""
        if not self._base:
            name = HUB_API if self.host == HUB else self.host
            self._base = f"https://{name}"
            if self._login is None:
                try:
                    self._client.get(f"{self._base}/v2/")
                except httpx.ConnectError:
                    self._base = f"http://{name}"
        return self._base

    def _said(self, answer: httpx.Response) -> dict[str, Any]:
        """What the answer's JSON holds."""
        try:
            found = answer.json()
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
        raise RegistryRefused(
            f"registry {self.host}",
            f"answers with what is no JSON object ({answer.url.host}{answer.url.path})",
            "See whether that is the registry, or a proxy or a login page before it.",
        )

    def _log_in(self, refused: httpx.Response, repository: str) -> None:
        """Do as the registry asks: send the password to it, or get a token from where it says."""
        asked = refused.headers.get("WWW-Authenticate", "")
        kind, said = asked.partition(" ")[0].lower(), dict(re.findall(r'(\w+)="([^"]*)"', asked))
        if kind == "basic" and self._login:
            self._tokens[repository] = f"Basic {base64.b64encode(':'.join(self._login).encode()).decode()}"
        elif kind == "bearer" and "realm" in said:
            near = urlsplit(said["realm"]).netloc == urlsplit(self._address()).netloc
            known = self._login if near or said["realm"].startswith("https://") else None
            wanted = {"scope": f"repository:{repository}:pull,delete"}
            if "service" in said:
                wanted["service"] = said["service"]
            answer = self._client.get(said["realm"], params=wanted, auth=known)
            given = self._said(answer) if answer.is_success else {}
            token = given.get("token") or given.get("access_token")
            if token:
                self._tokens[repository] = f"Bearer {token}"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def refusal(method: str, repository: str, status: int) -> tuple[str, str]:
    """Pure: what was observed, and the next step."""
    does = "delete from" if method == "DELETE" else "look at"
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return (
            f"does not let this login {does} {repository} ({status})",
            "Give the account of registry.pull_secret the right to, or set registry.clean to false.",
        )
    if method == "DELETE" and status in (httpx.codes.METHOD_NOT_ALLOWED, httpx.codes.BAD_REQUEST):
        return (
            f"deletes nothing ({status})",
            "Turn deletion on there, clean it with its own means, or set registry.clean to false.",
        )
    return f"refuses to {does} {repository} ({status})", "See its log."
