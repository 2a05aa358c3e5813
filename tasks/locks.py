"""One retrain, one release per model at a time: a Prefect global concurrency limit with a lease.

Prefect renews the lease while its holder lives and frees it when the holder dies (it accepts no lease under
60 s). A holder that cannot renew, because the server forgot it, is stopped rather than left to run beside
another one.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from tasks.errors import PlatformError
from tasks.settings import settings

if TYPE_CHECKING:
    from tenacity import RetryCallState

Kind = Literal["retrain", "release", "housekeeping"]
POLL = 1.0
"""Seconds between two attempts; Prefect's own waiting time grows with each refusal, up to 30 s."""


class Locked(Exception):
    """Somebody else holds the lock now."""


@contextmanager
def one_at_a_time(kind: Kind, model: str) -> Iterator[None]:
    """Hold the lock `kind`-`model`; wait for its present holder, `settings().lock_timeout` seconds at most.

    Raises PlatformError if it is still held then, or if the Prefect server does not answer. Leaving the block
    frees the lock; so does the death of this process, `settings().lock_lease` seconds later.
    """
    # What Prefect throws into the body when it cannot renew the lease; it has no public name.
    from prefect._internal.concurrency.cancellation import CancelledError
    from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    name = limit_name(kind, model)
    wait = settings().lock_timeout
    ensure_limit(name)
    attempts = Retrying(
        retry=retry_if_exception_type(Locked),
        stop=stop_after_delay(wait),
        wait=wait_fixed(POLL),
        before_sleep=_say_once,
    )
    with ExitStack() as held:
        try:
            attempts(_acquire, held, name)
        except RetryError as error:
            raise PlatformError(
                f"{kind} of {model}",
                f"another one has been running for longer than {wait:g} s (Prefect concurrency limit {name})",
                "Wait for it, or cancel it in the Prefect UI, and run this again.",
            ) from error
        try:
            yield
        except CancelledError as stopped:
            raise PlatformError(
                f"{kind} of {model}",
                f"could not keep its lock (Prefect concurrency limit {name}), so another one may have begun",
                "Read the Prefect server's log, and run this again.",
            ) from stopped


def _say_once(attempt: "RetryCallState") -> None:
    """A word at the first refusal: the wait may be as long as a whole run, or a dead holder's lease."""
    if attempt.attempt_number == 1:
        logging.getLogger("prefect").warning(
            "waiting for another run that holds the Prefect concurrency limit %s", attempt.args[1]
        )


def limit_name(kind: Kind, model: str) -> str:
    """Name of the concurrency limit, as the Prefect UI shows it."""
    return f"{kind}-{model}"


def _acquire(held: ExitStack, name: str) -> None:
    """Enter the lock in `held`, or raise Locked at once."""
    import httpx
    from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
    from prefect.concurrency.sync import concurrency

    try:
        held.enter_context(
            concurrency(name, max_retries=0, strict=True, lease_duration=settings().lock_lease)
        )
    except ConcurrencySlotAcquisitionError as error:
        cause = error.__cause__
        if isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code == httpx.codes.LOCKED:
            raise Locked(name) from error
        raise PlatformError(
            f"Prefect concurrency limit {name}", f"cannot be had ({error})", "Read the Prefect server's log."
        ) from error


def ensure_limit(name: str) -> None:
    """Create the limit, for one holder, unless it exists."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    try:
        with get_client(sync_client=True) as client:
            try:
                client.read_global_concurrency_limit_by_name(name)
            except ObjectNotFound:
                with suppress(ObjectAlreadyExists):
                    client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    except httpx.HTTPError as error:
        raise PlatformError(
            "Prefect server", f"does not answer ({error})", "Start the platform with `slipway up`."
        ) from error
