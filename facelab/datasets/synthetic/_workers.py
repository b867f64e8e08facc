"""Spread work over processes; results come in the order of the jobs, a bounded number at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any, TypeVar

from facelab.core.errors import FacelabError
from facelab.core.isolated import protect_children
from facelab.core.lifetime import end_with, watch_children

Job = TypeVar("Job")
Result = TypeVar("Result")


def available_cores() -> int:
    """Return how many processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def parallel(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Yield `work(job)` for each job in order, with `workers` processes (1: in this process).

    joblib's loky processes neither fork a process that holds threads nor need a guarded `__main__`, so that notebooks
    and plain scripts may call this. Numerical libraries get one thread per process. Where the system gives no
    semaphores (`/dev/shm` is full or missing), joblib warns, and the work is done in this process. Raises FacelabError
    where a process is ended from outside, as the system does for want of memory.
    """
    workers = min(workers, len(jobs))
    if workers > 1:
        from joblib import parallel as machinery

        untyped: Any = machinery  # joblib states no types, and what its defaults suggest is wrong
        workers = workers if untyped.mp else 1
    if workers <= 1:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            yield from map(work, jobs)
        return
    from joblib import delayed, parallel_config

    batch = max(1, min(16, len(jobs) // (8 * workers)))
    protect_children()
    watch_children()
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = untyped.Parallel(
            n_jobs=workers, return_as="generator", batch_size=batch, pre_dispatch=4 * workers
        )
        owned = _Owned(work, os.getpid())
        try:
            yield from pool(delayed(owned)(job) for job in jobs)
        except BrokenExecutor as e:
            raise FacelabError(
                "a worker process ended before its work was done",
                got=str(e).partition("\n")[0][:200],
                fix="the system ends processes where memory or time runs out: ask for fewer workers, or free some",
            ) from None


class _Owned:
    """Does work in a process that ends with its owner, even where the guard between them is killed."""

    def __init__(self, work: Callable[[Any], Any], owner: int):
        self._work, self._owner = work, owner

    def __call__(self, job: Any) -> Any:
        end_with(self._owner)
        return self._work(job)
