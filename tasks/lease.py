"""One bootstrap, teardown, backup or restore of a platform at a time: a Lease in its namespace says which.

The holder renews it every few seconds and deletes it at its end, so that an unchanged bootstrap leaves nothing
written. One that was killed no longer renews: whoever comes next watches it for as long as the Lease says, and
then takes it over; on the machine of the dead holder, which knows that it is dead, at once. Only what is seen to
happen counts, no clock of another machine. A holder that finds its Lease
taken, because its machine slept, is stopped rather than left to run beside another one.
"""

import logging
import os
import pwd
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tasks.errors import PlatformError
from tasks.kubernetes import LEASE, NAMESPACE, Cluster, Conflict, Manifest
from tasks.secrets import MADE_BY

NAME = "slipway-bootstrap"
DURATION = 30
"""Seconds without a renewal after which somebody else may take the Lease over."""
RENEW = 5.0
"""Seconds between two renewals."""
LOOK = 1.0
"""Seconds between two looks at the Lease of somebody else."""
LOST = signal.SIGUSR1
"""Ends the body's work like Ctrl-C, whose own signal a process in the background does not hear."""
PROCESS = "slipway.io/process"
"""Annotation of the Lease: its holder's process, for those on the same machine."""
Step = Literal["create", "take", "mine", "watch", "refuse"]


@contextmanager
def held(cluster: Cluster, what: str) -> Iterator[None]:
    """Hold the platform of the cluster's namespace while `what` is at work on it.

    Raises PlatformError, naming the holder and since when, as soon as another one is seen to be alive. Without
    the namespace there is no platform, and nothing to hold. For the main thread, which alone can be stopped.
    """
    me = identity(what)
    if not acquire(cluster, me):
        yield
        return
    holding = Holding(cluster, me)
    before = signal.signal(LOST, signal.default_int_handler)
    holding.start()
    try:
        yield
    except KeyboardInterrupt:
        if holding.lost:
            raise PlatformError(
                f"{what} of the platform in namespace {cluster.namespace}",
                f"was stopped: {holding.lost}",
                "See who is at work on it, and run this again: it goes on from here.",
            ) from None
        raise
    finally:
        holding.end()
        signal.signal(LOST, before)


def identity(what: str) -> str:
    """Who this is, for people; the last part tells two runs of one user apart."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # of a container, where it has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}: {what} {secrets.token_hex(4)}"


def acquire(cluster: Cluster, me: str) -> bool:
    """Make the Lease ours; False if there is no namespace. Raises PlatformError if its holder is alive."""
    first, began = "", time.monotonic()
    while True:
        there = cluster.get(LEASE, NAME)
        if there is None and cluster.get(NAMESPACE, cluster.namespace) is None:
            return False
        if there is not None and not first:
            first, began = version(there), time.monotonic()
            if next_step(there, me, first, 0) == "watch":
                say(f"{description(there)}: watched for {duration(there)} s, in case it was killed")
        step = next_step(there, me, first, time.monotonic() - began)
        if step == "mine":
            return True
        if step == "create":
            cluster.create(manifest(me, cluster.namespace, datetime.now(UTC)))
        elif step == "take" and there is not None:
            take(cluster, there, me)
        elif step == "refuse" and there is not None:
            raise PlatformError(
                f"platform in namespace {cluster.namespace}",
                f"is being worked on: {description(there)} (Lease {NAME})",
                "Wait for its end, and run this again.",
            )
        else:
            time.sleep(LOOK)


def next_step(there: Manifest | None, me: str, first: str, waited: float) -> Step:
    """What to do about the Lease. `first`: its version `waited` seconds ago, when it was first seen."""
    if there is None:
        return "create"
    if holder(there) == me:
        return "mine"
    if not holder(there) or died(str(there["metadata"].get("annotations", {}).get(PROCESS, ""))):
        return "take"
    if version(there) != first:
        return "refuse"
    return "take" if waited >= duration(there) else "watch"


def take(cluster: Cluster, there: Manifest, me: str) -> None:
    """Take over a Lease that nobody holds any more, unless somebody was quicker: the next look tells."""
    change = manifest(me, cluster.namespace, datetime.now(UTC))
    change["metadata"]["resourceVersion"] = version(there)
    change["spec"]["leaseTransitions"] = int(there["spec"].get("leaseTransitions") or 0) + 1
    try:
        cluster.merge(LEASE, NAME, change)
    except Conflict:
        return
    if holder(there):
        say(f"{description(there)}, and no longer renews its Lease: taken over")


@dataclass
class Holding:
    """A Lease that is ours, renewed by a thread until `end`."""

    cluster: Cluster
    me: str
    lost: str = ""
    """Why it is no longer ours."""
    _ended: threading.Event = field(default_factory=threading.Event)
    _gone: bool = False

    def start(self) -> None:
        self._renewed = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name=NAME, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Give it back: renewed once more it is ours beyond doubt, so deleting it takes nobody else's away."""
        self._ended.set()
        self._thread.join()
        try:
            if not self.lost and self._renew():
                self.cluster.delete(LEASE, NAME)
        except PlatformError as error:
            say(f"Lease {NAME} could not be given back, and runs out after {DURATION} s ({error})")

    def _keep(self) -> None:
        while not self._ended.wait(RENEW) and self._tried():
            pass

    def _tried(self) -> bool:
        """Renew; False if there is nothing to renew any more."""
        try:
            if self._renew():
                return True
        except PlatformError as error:
            if time.monotonic() - self._renewed < DURATION:
                return True  # not reached for a moment, or written to meanwhile
            self.lost = f"its Lease could not be renewed for {DURATION} s ({error})"
        if self.lost:
            signal.pthread_kill(threading.main_thread().ident or 0, LOST)
        return False

    def _renew(self) -> bool:
        """False if the Lease is not ours any more (`lost` says why), or went with its namespace."""
        there = self.cluster.get(LEASE, NAME)
        if there is None:
            if not being_deleted(self.cluster.get(NAMESPACE, self.cluster.namespace)):
                self.lost = f"somebody deleted Lease {NAME}"
            return False
        if holder(there) != self.me:
            self.lost = f"meanwhile {description(there)}"
            return False
        asked = time.monotonic()
        change = {
            "metadata": {"resourceVersion": version(there)},
            "spec": {"renewTime": stamp(datetime.now(UTC))},
        }
        self.cluster.merge(LEASE, NAME, change)
        self._renewed = asked
        return True


def manifest(me: str, namespace: str, now: datetime) -> Manifest:
    """The Lease of this process, if it begins now."""
    spec: dict[str, Any] = {
        "holderIdentity": me,
        "leaseDurationSeconds": DURATION,
        "acquireTime": stamp(now),
        "renewTime": stamp(now),
    }
    metadata = {"name": NAME, "namespace": namespace, "labels": MADE_BY, "annotations": {PROCESS: process()}}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def process() -> str:
    """This process as its machine tells it from all others: boot, namespace of pids, pid, start."""
    return " ".join((*machine(), str(os.getpid()), started(os.getpid())))


def died(mark: str) -> bool:
    """Whether `mark` names a process of this machine that is no more; False if that cannot be told."""
    *where, pid, start = mark.split() if len(mark.split()) == 4 else ("", "", "0", "")
    return tuple(where) == machine() and started(int(pid)) != start


def machine() -> tuple[str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return boot, os.readlink("/proc/self/ns/pid")


def started(pid: int) -> str:
    """When it started, in the kernel's ticks; empty if it has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state in "ZX" else fields[18]


def being_deleted(namespace: Manifest | None) -> bool:
    return namespace is None or "deletionTimestamp" in namespace["metadata"]


def description(there: Manifest) -> str:
    """Pure: who holds it, since when."""
    since = str(there["spec"].get("acquireTime", "")).partition(".")[0].replace("T", " ")
    return f"{holder(there)} is at work since {since} UTC"


def holder(there: Manifest) -> str:
    return str(there["spec"].get("holderIdentity") or "")


def duration(there: Manifest) -> int:
    return int(there["spec"].get("leaseDurationSeconds") or DURATION)


def version(there: Manifest) -> str:
    return str(there["metadata"]["resourceVersion"])


def stamp(moment: datetime) -> str:
    """As Kubernetes writes a MicroTime."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def say(message: str) -> None:
    logging.getLogger("prefect").info("%s", message)
