"""Clients that ask a model for one row all the while, over REST and gRPC, and keep every answer."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from tasks.errors import ServingError
from tasks.golden import Golden, differences
from tasks.inference import PROTOCOLS, Answer, Client, Protocol
from tasks.serving import Endpoint

PAUSE = 0.004
"""Seconds between two requests of one client: steady traffic, not a contest for two processors."""


@dataclass
class Load:
    """Use it in a `with`. `known`: golden rows by version; an answer must equal those of its version."""

    endpoint: Endpoint
    known: dict[int, Golden]
    answers: list[Answer] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(protocol,)) for protocol in PROTOCOLS]
        for thread in self._threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.wait_for_more()
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int = 10) -> None:
        """Return when each protocol has `count` more answers (or an error was met)."""
        seen = len(self.answers)
        deadline = time.monotonic() + 30
        while not self.errors and time.monotonic() < deadline:
            new = [answer.protocol for answer in self.answers[seen:]]
            if all(new.count(protocol) >= count for protocol in PROTOCOLS):
                return
            time.sleep(0.01)

    def _ask(self, protocol: Protocol) -> None:
        row = next(iter(self.known.values())).only(0)
        with Client(self.endpoint, timeout=10) as client:
            while not self._stop.wait(PAUSE):
                try:
                    self.answers.append(client.ask(protocol, row))
                except ServingError as error:
                    self.errors.append(str(error))

    def versions(self, protocol: Protocol) -> list[int]:
        """Which version answered, in order, repetitions left out."""
        order: list[int] = []
        for answer in self.answers:
            number = answer.served.number if answer.served else -1
            if answer.protocol == protocol and order[-1:] != [number]:
                order.append(number)
        return order

    def check(self, versions: Sequence[int]) -> None:
        """No request failed; `versions` answered, in that order; each answer was that version's own."""
        assert not self.errors, self.errors[:3]
        for protocol in PROTOCOLS:
            assert self.versions(protocol) == list(versions), protocol
        for answer in self.answers:
            assert answer.served is not None
            golden = self.known[answer.served.number].only(0)
            assert differences(golden, answer.labels, answer.probability, answer.classes) == []
