"""Addresses inside a cluster, reached from outside through the Kubernetes API: `kubectl port-forward`."""

import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tasks.errors import PlatformError
from tasks.programs import find_program

START_SECONDS = 30.0
"""How long kubectl may take until it listens."""
PAUSE = 0.5
"""Seconds until a forward that broke is opened again."""
LISTENS = re.compile(r"^Forwarding from 127\.0\.0\.1:(\d+) ->")


@contextmanager
def forwarded(namespace: str, target: str, port: int, here: int = 0) -> Iterator[str]:
    """Base URL on local port `here` (0: a free one) of `target` ("service/NAME" or "pod/NAME") in `namespace`.

    Raises PlatformError if it cannot be opened. One that breaks later, because its pod went away, is opened
    again on the same port, so that what asks again succeeds. It ends with the block, and with this process.
    """
    forward = Forward(namespace, target, port, here)
    forward.start()
    try:
        yield f"http://127.0.0.1:{forward.local_port}"
    finally:
        forward.stop()


@dataclass
class Forward:
    """One kubectl at a time, watched by a thread that starts the next one."""

    namespace: str
    target: str
    port: int
    here: int = 0
    """The local port that is wanted, 0 for any."""
    local_port: int = 0
    """0 until kubectl said which one it took."""
    said: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    _process: "subprocess.Popen[str] | None" = None
    _settled: threading.Event = field(default_factory=threading.Event)
    """The first kubectl listens, or has ended."""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        command = self.command()  # raises here if there is no kubectl
        self._thread = threading.Thread(target=self._watch, args=(command,), name=self.target, daemon=True)
        self._thread.start()
        settled = self._settled.wait(START_SECONDS)
        if self.local_port:
            return
        self.stop()
        seen = self.said[-1] if self.said else "kubectl said nothing"
        raise PlatformError(
            f"{self.target} in namespace {self.namespace}",
            f"cannot be reached through the Kubernetes API ({seen})"
            if settled
            else f"kubectl did not listen within {START_SECONDS:g} s ({seen})",
            "`slipway status` says what runs; KUBECONFIG names the cluster.",
        )

    def stop(self) -> None:
        with self._lock:
            self._stopping.set()
            process = self._process
        if process is not None:
            process.terminate()
        self._thread.join()

    def command(self) -> list[str]:
        kubectl = [
            find_program("kubectl"),
            "port-forward",
            "--address",
            "127.0.0.1",
            "--namespace",
            self.namespace,
        ]
        # The kernel ends kubectl when the thread that started it is gone: also after a SIGKILL.
        setpriv = shutil.which("setpriv")
        return [*([setpriv, "--pdeathsig", "TERM"] if setpriv else []), *kubectl, self.target]

    def _watch(self, command: list[str]) -> None:
        while not self._stopping.is_set():
            with self._lock:
                if self._stopping.is_set():
                    break
                self._process = subprocess.Popen(
                    [*command, f"{self.local_port or self.here or ''}:{self.port}"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                )  # fmt: skip
            self._listen(self._process)
            if not self.local_port:
                break
            self._stopping.wait(PAUSE)
        self._settled.set()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        """Read what kubectl says until it ends."""
        with process:
            for line in process.stdout or ():
                if (listens := LISTENS.match(line)) is not None:
                    self.local_port = int(listens[1])
                    self._settled.set()
                elif line.strip() and not line.startswith(("Forwarding", "Handling")):
                    self.said.append(line.strip())
