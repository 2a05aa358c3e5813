"""A stand-in for Google: its page asks nobody anything, and lets in whoever `login_hint` names.

The rest is what Google does: a code for one use, for the client that knows the secret and began; then who it is.
`python identity_provider.py` serves it for others, in a pod for instance.
"""

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT, SECRET = "client-of-the-test", "secret-of-the-test"
PORT = 8080
PAGE, CODE, WHO = "/o/oauth2/v2/auth", "/oauth2/v4/token", "/oauth2/v1/userinfo"
"""Where people are sent; where a code becomes a token; who a token is of."""
PEOPLE: dict[str, dict[str, Any]] = {
    "anna": {"email": "anna.kowalska@example.com", "verified_email": True, "hd": "example.com"},
    "ben": {"email": "ben@example.com", "verified_email": True, "hd": "example.com"},
    "mallory": {"email": "mallory@elsewhere.com", "verified_email": True, "hd": "elsewhere.com"},
    "impostor": {"email": "anna.kowalska@example.com", "verified_email": True},
}


class Google(BaseHTTPRequestHandler):
    codes: ClassVar[dict[str, dict[str, str]]] = {}
    """Given and not used: what was asked with."""
    tokens: ClassVar[dict[str, str]] = {}
    """Whose each is."""

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if place.path == PAGE:
            self.send_back({key: values[0] for key, values in parse_qs(place.query).items()})
            return
        name = self.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if place.path != WHO or name is None:
            self.answer(401, {"error": "invalid_token"})
        else:
            self.answer(200, PEOPLE[name])

    def do_POST(self) -> None:
        """A code becomes a token."""
        form = {
            key: values[0]
            for key, values in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()
        }
        asked = self.codes.pop(form.get("code", ""), None)
        if self.path != CODE or asked is None or not (self.is_client(form) and began(asked, form)):
            self.answer(401, {"error": "invalid_grant"})
            return
        token = secrets.token_hex()
        self.tokens[token] = asked["login_hint"]
        self.answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    def send_back(self, asked: dict[str, str]) -> None:
        if asked.get("client_id") != CLIENT or asked.get("login_hint") not in PEOPLE:
            self.answer(400, {"error": "invalid_request"})
            return
        code = secrets.token_hex()
        self.codes[code] = asked
        self.send_response(302)
        back = urlencode({"code": code, "state": asked["state"]})
        self.send_header("Location", f"{asked['redirect_uri']}?{back}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def is_client(self, form: dict[str, str]) -> bool:
        basic = f"Basic {base64.b64encode(f'{CLIENT}:{SECRET}'.encode()).decode()}"
        return self.headers.get("Authorization") == basic or form.get("client_secret") == SECRET

    def answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def began(asked: dict[str, str], form: dict[str, str]) -> bool:
    """Pure: whether who brings the code is who asked for it: address and challenge are theirs."""
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return asked["redirect_uri"] == form.get("redirect_uri") and asked.get("code_challenge") == challenge


@contextmanager
def running() -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Google)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", PORT), Google).serve_forever()
