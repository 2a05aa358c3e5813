"""The validating webhook: an HTTPS server that answers the API server's admission reviews."""

import json
import logging
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from .certificate import Certificate
from .names import Manifest
from .validation import problems

PATH = "/validate-machinelearning-seldon-io-v1-seldondeployment"
MISSPELT_GROUP = "machinelearing.seldon.io"
"""As the real operator's refusals spell it."""
log = logging.getLogger("seldon-standin")


def answered(review: Manifest) -> Manifest:
    """The review with its verdict. A refusal looks like one of the API server's own: 422, reason Invalid."""
    request = review["request"]
    spec = (request.get("object") or {}).get("spec") or {}
    found = problems(spec)
    response: Manifest = {"uid": request["uid"], "allowed": not found}
    if found:
        causes = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
        response["status"] = {
            "status": "Failure",
            "message": f'SeldonDeployment.{MISSPELT_GROUP} "{spec.get("name", "")}" is invalid: {causes}',
            "reason": "Invalid",
            "details": {
                "name": spec.get("name", ""),
                "group": MISSPELT_GROUP,
                "kind": "SeldonDeployment",
                "causes": [_cause(each) for each in found],
            },
            "code": 422,
        }
    return {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}


def _cause(problem: str) -> dict[str, str]:
    place, _, message = problem.partition(": ")
    return {"reason": "FieldValueInvalid", "field": place, "message": message}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.split("?")[0] != PATH:
            self.send_error(404)
            return
        try:
            answer = answered(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("not an admission review: %r", error)
            self.send_error(400)
            return
        if not answer["response"]["allowed"]:
            log.info("refused: %s", answer["response"]["status"]["message"])
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, port: int, certificate: Certificate) -> None:
        super().__init__((address, port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate.certificate, certificate.key)
        # the handshake is the connection's own thread's work: a client that never speaks blocks only that
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        log.debug("connection from %s ended", client_address, exc_info=True)


def serve(address: str, port: int, certificate: Certificate) -> Server:
    server = Server(address, port, certificate)
    threading.Thread(target=server.serve_forever, name="webhook", daemon=True).start()
    return server
