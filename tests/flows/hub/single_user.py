"""A stand-in for a user's server: it keeps the token that the hub gave it where the test finds it, and answers."""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class Well(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "5")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


where = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
Path(os.environ["TOKENS"], f"token-{os.environ['JUPYTERHUB_USER']}").write_text(
    os.environ["JUPYTERHUB_API_TOKEN"]
)
HTTPServer((where.hostname or "127.0.0.1", where.port or 0), Well).serve_forever()
