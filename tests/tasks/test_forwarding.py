"""Forwards through `kubectl port-forward`, with a stand-in for kubectl that listens where it says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from tasks.errors import PlatformError
from tasks.forwarding import Forward, forwarded
from tasks.settings import ROOT

KUBECTL = """#!{python}
import http.server, os, pathlib, sys
namespace, target, ports = sys.argv[5], sys.argv[6], sys.argv[7]
pathlib.Path({pids!r}).open("a").write(f"{{os.getpid()}}\\n")
if target == "service/absent":
    sys.exit('Error from server (NotFound): services "absent" not found')
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{{namespace}} {{target}} {{ports.split(':')[1]}}".encode())
    def log_message(self, *arguments):
        print("Handling connection for", ports, flush=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(ports.split(":")[0] or 0)), Handler)
print(f"Forwarding from 127.0.0.1:{{server.server_port}} -> 4200", flush=True)
server.serve_forever()
"""


@pytest.fixture
def kubectls(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """The ids of the stand-ins that were started, in order; they lie in `<home>/bin`."""
    pids = tmp_path / "pids"
    program = home / "bin" / "kubectl"
    program.parent.mkdir(parents=True)
    program.write_text(KUBECTL.format(python=sys.executable, pids=str(pids)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return lambda: [int(pid) for pid in pids.read_text().split()]


def ask(url: str) -> str:
    return httpx.get(url, trust_env=False, timeout=5).text


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_two_at_once_each_with_a_port_of_its_own(kubectls: Callable[[], list[int]]) -> None:
    with forwarded("a", "service/x", 4200) as first, forwarded("b", "service/y", 80) as second:
        assert ask(first) == "a service/x 4200"
        assert ask(second) == "b service/y 80"
    assert all(gone(pid) for pid in kubectls())
    with pytest.raises(httpx.ConnectError):
        ask(first)


def test_one_that_broke_is_opened_again_at_the_same_address(kubectls: Callable[[], list[int]]) -> None:
    with forwarded("a", "service/x", 4200) as url:
        os.kill(kubectls()[0], signal.SIGKILL)
        wait_for(lambda: len(kubectls()) == 2)
        wait_for(lambda: answers(url))
    assert all(gone(pid) for pid in kubectls())


def answers(url: str) -> bool:
    try:
        return ask(url) == "a service/x 4200"
    except httpx.TransportError:
        return False


def test_a_service_that_is_not_there_is_named(kubectls: Callable[[], list[int]]) -> None:
    with pytest.raises(PlatformError, match=r"service/absent in namespace a: cannot be reached.*not found"):
        Forward("a", "service/absent", 4200).start()


def test_no_kubectl_says_where_it_was_looked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PlatformError, match=f"kubectl: is neither on PATH nor in {home}/bin"):
        Forward("a", "service/x", 4200).start()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
def test_it_does_not_outlive_a_process_that_was_killed(kubectls: Callable[[], list[int]]) -> None:
    code = (
        "import time; from tasks.forwarding import forwarded\n"
        "with forwarded('a', 'service/x', 4200) as url: print(url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert ask(url) == "a service/x 4200"
        parent.kill()
    (pid,) = kubectls()
    wait_for(lambda: gone(pid))
