"""How the plain functions of `tasks/` become Prefect tasks."""

import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

P = ParamSpec("P")
R = TypeVar("R")

CORES = len(os.sched_getaffinity(0))
"""Cores that this process may use: as many candidates are trained at once."""


def step(function: Callable[P, R], name: str, **options: Any) -> Task[P, R]:
    """`function` as a task that keeps its result in memory only.

    Prefect's own caching would hash the frames that steps hand on; what is worth keeping is found in the
    store by its key instead.
    """
    return task(function, name=name, persist_result=False, cache_policy=NO_CACHE, **options)
