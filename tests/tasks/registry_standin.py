"""Stands in for a registry of images: as much of its API as housekeeping uses, in this process."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "cleaner", "s3cret"
TOKEN = "t0ken"


@dataclass
class StandIn:
    """`tags`: repository -> tag -> digest. `asks`: what it wants to see of who comes."""

    asks: Literal["nothing", "basic", "bearer"] = "nothing"
    deletes: int = 202
    keeps_tags: bool = False
    """Whether a tag outlives the digest that it stands for, until it is deleted itself."""
    page: int = 2
    says: bytes = b""
    """What it, or what is before it, answers instead."""
    host: str = ""
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def push(self, repository: str, tag: str, **manifest: Any) -> str:
        content = json.dumps({"of": tag, **manifest}).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.content[digest] = content
        self.tags.setdefault(repository, {})[tag] = digest
        return digest

    def lets_in(self, said: str) -> bool:
        wanted = {
            "nothing": said,
            "basic": f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}",
            "bearer": f"Bearer {TOKEN}",
        }
        return said == wanted[self.asks]

    def challenge(self) -> str:
        if self.asks == "basic":
            return 'Basic realm="registry"'
        return f'Bearer realm="http://{self.host}/token",service="registry"'


@contextmanager
def running(registry: StandIn) -> Iterator[StandIn]:
    class Handler(BaseHTTPRequestHandler):
        def reply(self, status: int, content: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def answer(self) -> None:
            url = urlsplit(self.path)
            if registry.says and (url.path == "/token" or registry.lets_in("")):
                return self.reply(200, registry.says)
            if url.path == "/token":
                known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                asked = parse_qs(url.query)["scope"][0].endswith(":pull,delete")
                good = asked and self.headers["Authorization"] == f"Basic {known}"
                return self.reply(200 if good else 401, json.dumps({"token": TOKEN}).encode())
            if not registry.lets_in(self.headers.get("Authorization", "")):
                return self.reply(401, WWW_Authenticate=registry.challenge())
            if found := re.fullmatch(r"/v2/(.+)/tags/list", url.path):
                return self.list_tags(found[1], parse_qs(url.query).get("last", [""])[0])
            if found := re.fullmatch(r"/v2/(.+)/manifests/(.+)", url.path):
                return self.manifest(found[1], found[2])
            return self.reply(200)

        def list_tags(self, repository: str, last: str) -> None:
            if repository not in registry.tags:
                return self.reply(404)
            left = sorted(tag for tag in registry.tags[repository] if tag > last)
            names, more = left[: registry.page], left[registry.page :]
            following = f'</v2/{repository}/tags/list?last={names[-1]}>; rel="next"' if more else ""
            content = json.dumps({"name": repository, "tags": names}).encode()
            return self.reply(200, content, **({"Link": following} if following else {}))

        def manifest(self, repository: str, reference: str) -> None:
            tags = registry.tags.get(repository, {})
            digest = tags.get(reference, reference)
            if digest not in tags.values():
                return self.reply(404)
            if self.command == "GET":
                return self.reply(200, registry.content[digest], Docker_Content_Digest=digest)
            if registry.deletes == 202 and reference in tags:
                del tags[reference]
            elif registry.deletes == 202:
                registry.deleted.append(digest)
                left = {tag: each for tag, each in tags.items() if each != digest or registry.keeps_tags}
                registry.tags[repository] = left
            return self.reply(registry.deletes)

        do_GET = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    registry.host = f"127.0.0.1:{server.server_port}"
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
