"""A stand-in for Google: it lets in whoever is named by the code, and tells what Google tells of them."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

CLIENT, SECRET = "client-of-the-test", "secret-of-the-test"
PEOPLE: dict[str, dict[str, Any]] = {
    "anna": {"email": "anna.kowalska@example.com", "verified_email": True, "hd": "example.com"},
    "mallory": {"email": "mallory@elsewhere.com", "verified_email": True, "hd": "elsewhere.com"},
    "impostor": {"email": "anna.kowalska@example.com", "verified_email": True},
}


class Google(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """A code becomes a token, for the client that knows its secret."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        basic = f"Basic {base64.b64encode(f'{CLIENT}:{SECRET}'.encode()).decode()}"
        known = self.headers.get("Authorization") == basic or form.get("client_secret") == [SECRET]
        code = form.get("code", [""])[0]
        if self.path != "/oauth2/v4/token" or not known or code not in PEOPLE:
            self.answer(401, {"error": "invalid_grant"})
        else:
            self.answer(200, {"access_token": code, "token_type": "Bearer", "expires_in": 3600})

    def do_GET(self) -> None:
        """Who a token is of."""
        name = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self.path.startswith("/oauth2/v1/userinfo") or name not in PEOPLE:
            self.answer(401, {"error": "invalid_token"})
        else:
            self.answer(200, PEOPLE[name])

    def answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


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
