"""Work-stealing threads: each idle thread takes the next piece."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.machine import cores
from facelab.core.narrow import is_whole

Piece = TypeVar("Piece")
_POOLS: dict[tuple[int, int], ThreadPoolExecutor] = {}
_POOLS_LOCK = threading.Lock()


def pool(threads: int) -> ThreadPoolExecutor:
    """Return this process's shared pool of `threads` workers (a forked child makes its own)."""
    key = (os.getpid(), threads)
    with _POOLS_LOCK:
        if key not in _POOLS:
            _POOLS[key] = ThreadPoolExecutor(threads, thread_name_prefix="facelab-matching")
        return _POOLS[key]


def check_threads(threads: Any) -> int:
    """Return the number of threads to use; None means every core this process may use."""
    if threads is None:
        return cores()
    if not is_whole(threads) or threads < 1:
        raise BadInputError(
            "threads must be an integer from 1", got=repr(threads), fix="None uses every core"
        )
    return int(threads)


def share(
    threads: int,
    pieces: Iterable[Piece],
    job: Callable[[int, Piece], object],
    *,
    until: Callable[[], bool] | None = None,
) -> None:
    """Call job(worker, piece) for every piece on `threads` threads, this one among them as worker 0.

    Each thread takes the next piece when it has done its last one; `until()` true ends that early. An error, Ctrl-C
    included, ends it too, and is raised when every thread is done.
    """
    left, broken = iter(pieces), list[BaseException]()

    def work(worker: int) -> None:
        try:
            for (
                piece
            ) in left:  # next() of a list's iterator is one step: no other thread can enter it
                job(worker, piece)
                if broken or (until is not None and until()):
                    return
        except BaseException as e:
            broken.append(e)
            raise

    helpers = [pool(threads - 1).submit(work, worker) for worker in range(1, threads)]
    try:
        work(0)
    finally:
        for helper in helpers:
            if not helper.cancel():
                helper.exception()
    for helper in helpers:
        if not helper.cancelled():
            helper.result()


def spans(first: int, last: int, count: int) -> list[tuple[int, int]]:
    """Return [first, last) cut into at most `count` spans of nearly equal length, none empty.

    >>> spans(0, 10, 3), spans(0, 2, 3)
    ([(0, 3), (3, 7), (7, 10)], [(0, 1), (1, 2)])
    """
    count = max(1, min(count, last - first))
    edges = np.linspace(first, last, count + 1).round().astype(int).tolist()
    return list(pairwise(edges)) if last > first else []


def run_spans(
    threads: int, first: int, last: int, job: Callable[[int, int], object], *, least: int = 1
) -> None:
    """Call job(a, b) for spans that make up [first, last): one on one thread, else a few for each thread to take.

    No more spans than threads are made where they would be shorter than `least`.
    """
    count = max(threads, min(4 * threads, (last - first) // least)) if threads > 1 else 1
    share(threads, spans(first, last, count), lambda _, span: job(*span))


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_BLAS_LOCK = threading.RLock()


@contextmanager
def one_blas_thread() -> Generator[None]:
    """Hold numpy's BLAS to one thread: ours divide the work, and figures say how many there were."""
    with _BLAS_LOCK, _controller().limit(limits=1, user_api="blas"):
        yield
