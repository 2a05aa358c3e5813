"""What the user brings answers at its address: a connection to each HOST:PORT that is given."""

import socket
import sys

from tasks.checks import run

SECONDS = 10.0


def check() -> str:
    for address in sys.argv[1:]:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), SECONDS).close()
        except OSError as error:
            raise RuntimeError(f"{address} cannot be reached from a pod ({error})") from error
    return f"connected to {', '.join(sys.argv[1:])}"


if __name__ == "__main__":
    run(check)
