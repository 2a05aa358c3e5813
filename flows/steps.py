"""How the plain functions of `tasks/` become Prefect tasks."""

import os
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectConcurrentFuture
from prefect.task_runners import ThreadPoolTaskRunner

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Step(Protocol[P, R_co]):
    """A Prefect task of a plain function: call it, or submit it to run beside others."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> PrefectConcurrentFuture[Any]: ...


def step(function: Callable[P, R_co], name: str, **options: Any) -> Step[P, R_co]:
    """`function` as a task that keeps its result in memory only.

    Prefect's own caching would hash the frames that steps hand on; what is worth keeping is found in the
    store by its key instead.
    """
    options.setdefault("task_run_name", name)
    made = task(name=name, persist_result=False, cache_policy=NO_CACHE, **options)(function)
    return cast("Step[P, R_co]", made)


def cores() -> Any:
    """A task runner with one thread for each core that this process may use."""
    return ThreadPoolTaskRunner(max_workers=len(os.sched_getaffinity(0)))
