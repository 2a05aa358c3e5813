"""Runs the stand-in operator in the foreground: python -m infra.devcluster.seldon_standin --kubeconfig PATH

Says one line on standard output once SeldonDeployments can be applied; its log goes to standard error.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import httpx2
from lightkube import Client, KubeConfig

from . import certificate, controller, installation, webhook

log = logging.getLogger("seldon-standin")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="seldon-standin", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument(
        "--state", type=Path, help="folder that keeps the webhook's certificate over restarts"
    )
    parser.add_argument("--address", default="10.111.0.1", help="the API server reaches the webhook here")
    parser.add_argument("--port", type=int, default=9443)
    parser.add_argument(
        "--status-lag",
        type=float,
        default=2.0,
        help="seconds for which status keeps its old verdict after a change (the real one is late, too)",
    )
    parser.add_argument("--resync", type=float, default=15.0, help="seconds between rounds of everything")
    return parser.parse_args()


def client_of(kubeconfig: Path) -> Client:
    return Client(config=KubeConfig.from_file(kubeconfig), field_manager="seldon-standin", trust_env=False)


def install_patiently(chosen: argparse.Namespace, authority: bytes, stop: threading.Event) -> None:
    """Until it worked: the API server may still be starting."""
    while not stop.is_set():
        try:
            installation.install(client_of(chosen.kubeconfig), chosen.address, chosen.port, authority)
            return
        except (httpx2.HTTPError, TimeoutError) as error:
            log.warning("not installed yet: %s", error)
            stop.wait(1.0)


def end_loudly(happened: threading.ExceptHookArgs) -> None:
    """A thread that nobody expected to end takes the process with it: half an operator is none."""
    log.critical("unexpected error; ending", exc_info=happened.exc_value)
    logging.shutdown()
    os._exit(1)


def main() -> None:
    chosen = arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    stop = threading.Event()
    threading.excepthook = end_loudly
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("a stand-in for Seldon Core's operator: it has no executor, no routing and no explainers")
    state = chosen.state or Path(mkdtemp(prefix="seldon-standin-"))
    papers = certificate.ensured(state, chosen.address)
    webhook.serve(chosen.address, chosen.port, papers)
    install_patiently(chosen, papers.pem, stop)
    controller.Controller(
        client=partial(client_of, chosen.kubeconfig), status_lag=chosen.status_lag, resync=chosen.resync
    ).start()
    if not stop.is_set():
        sys.stdout.write(f"seldon-standin is ready (webhook https://{chosen.address}:{chosen.port})\n")
        sys.stdout.flush()
    stop.wait()
    log.info("stopped")


if __name__ == "__main__":
    main()
