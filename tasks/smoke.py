"""The smoke test of a release: does this address answer as the trained candidate did, and fast enough?"""

import json
import shlex
import statistics
import time

from pydantic import BaseModel, ConfigDict

from tasks.errors import ServingError
from tasks.golden import Golden, differences
from tasks.inference import PROTOCOLS, Answer, Client, Protocol, rest_request
from tasks.serving import Endpoint, Served

WARM, TIMED = 3, 11
"""Single-row requests before, and within, the measurement of the latency, per protocol."""
IN_A_ROW = 5
"""Answers over each protocol that must all come from one version before it is taken for the only one."""
SHOWN = 3
"""Differences that an error message names."""


class SmokeTest(BaseModel):
    """Figures of a passed smoke test. `rest_ms` and `grpc_ms` are medians of one row, in milliseconds."""

    model_config = ConfigDict(frozen=True)

    rows: int
    rest_ms: float
    grpc_ms: float


def smoke_test(endpoint: Endpoint, golden: Golden, served: Served, latency_ms: float) -> SmokeTest:
    """Hold `endpoint` to the golden rows over REST and gRPC, to version, digest and the latency budget.

    Raises ServingError naming protocol, row, what was expected and what came.
    """
    with Client(endpoint) as client:
        for protocol in PROTOCOLS:
            if not client.ready(protocol):
                raise ServingError(client.place(protocol), "is not ready", "See the server's log.")
            check(client, golden, client.ask(protocol, golden), served)
        medians = {protocol: median_ms(client, protocol, golden, served) for protocol in PROTOCOLS}
        for protocol, median in medians.items():
            if median > latency_ms:
                raise ServingError(
                    client.place(protocol),
                    f"needs {median:.1f} ms for one row (median of {TIMED}); the budget is {latency_ms:g} ms",
                    "Make the model smaller, or raise serving.latency_ms in the spec.",
                )
    return SmokeTest(rows=len(golden), rest_ms=round(medians["REST"], 3), grpc_ms=round(medians["gRPC"], 3))


def check(client: Client, golden: Golden, answer: Answer, served: Served) -> None:
    """ServingError if `answer` is not by `served`, or not equal to `golden`."""
    place = client.place(answer.protocol)
    if answer.served != served:
        raise ServingError(
            place,
            f"{answer.served or 'no version at all'} answered, not {served}",
            "Something else serves this name; `slipway live` shows what.",
        )
    found = differences(golden, answer.labels, answer.probability, answer.classes)
    if found:
        more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
        raise ServingError(
            place,
            f"does not answer as the trained candidate did: {'; '.join(found[:SHOWN])}{more}"
            f"{_inputs(golden, found[0])}",
            "The server computes something else than training did: compare both environments' locks.",
        )


def _inputs(golden: Golden, difference: str) -> str:
    """The input of the row that a difference names."""
    words = difference.split(",", 1)[0].split()
    if words[0] != "row" or int(words[1]) >= len(golden):
        return ""
    return f"; input of row {words[1]}: {json.dumps(golden.row(int(words[1])))}"


def median_ms(client: Client, protocol: Protocol, golden: Golden, served: Served) -> float:
    """Median milliseconds of one row over a warm connection; each answer is checked as well."""
    taken: list[float] = []
    for turn in range(WARM + TIMED):
        row = golden.only(turn % len(golden))
        start = time.perf_counter()
        answer = client.ask(protocol, row)
        taken.append((time.perf_counter() - start) * 1000)
        check(client, row, answer, served)
    return statistics.median(taken[WARM:])


def wait_for_only(endpoint: Endpoint, golden: Golden, served: Served, timeout: float) -> None:
    """Return when IN_A_ROW answers over each protocol came from `served` alone: counted, not promised.

    ServingError if another version still answers after `timeout` seconds. A request that fails is an error at
    once: a switch must not lose one.
    """
    deadline = time.monotonic() + timeout
    row = golden.only(0)
    while True:
        with Client(endpoint) as client:
            other = first_other(client, row, served)
            if other is None:
                return
            if time.monotonic() > deadline:
                raise ServingError(
                    client.place(other.protocol),
                    f"{other.served} still answers {timeout:g} s after traffic moved to {served}",
                    "See the server's log, and `slipway live`.",
                )
        # A connection may stay with the server that took it: the next round opens new ones.
        time.sleep(0.05)


def first_other(client: Client, row: Golden, served: Served) -> Answer | None:
    """The first of IN_A_ROW answers over each protocol that is not by `served`, or None."""
    for _ in range(IN_A_ROW):
        for protocol in PROTOCOLS:
            answer = client.ask(protocol, row)
            if answer.served != served:
                return answer
    return None


def curl_line(endpoint: Endpoint, golden: Golden) -> str:
    """A command that asks for one golden row (one without missing values, if there is one) when pasted."""
    complete = [row for row in range(len(golden)) if None not in golden.row(row).values()]
    body = json.dumps(rest_request(golden.only(complete[0] if complete else 0)))
    url, header = shlex.quote(endpoint.infer_url), "'Content-Type: application/json'"
    return f"curl -s --noproxy '*' {url} -H {header} -d {shlex.quote(body)}"
