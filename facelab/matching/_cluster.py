"""A search over the workers of a Dask scheduler, each with some of the gallery's rows."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.matching import _vectors as arrays
from facelab.matching._files import open_vectors, search_file
from facelab.matching._results import Matches
from facelab.matching._search._merge import merge
from facelab.matching._types import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray


def search_shard(
    gallery: str,
    queries: NDArray[Any],
    k: int,
    metric: str,
    method: str,
    threads: int | None,
    rows: tuple[int, int],
) -> tuple[NDArray[np.float32], NDArray[np.int64], str]:
    """Run one shard on a worker: module-level, so that it can be sent there. Returns (distances, ids, method)."""
    found = search_file(
        gallery, queries, k, metric=metric, method=method, threads=threads, rows=rows
    )
    return found.distances, found.ids, found.method


def _distributed() -> Any:
    """Import the package; raise UnsupportedError where it is not installed."""
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise UnsupportedError(
            "a cluster needs the package distributed", fix="pip install facelab[cluster]"
        ) from None


def search_cluster(
    gallery: str | Path,
    queries: NDArray[Any],
    k: int,
    *,
    scheduler: str,
    shards: int | None = None,
    metric: str = "sqeuclidean",
    method: str = "auto",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Matches:
    """Search a gallery file over the workers of a Dask scheduler.

    Each of `shards` row ranges is searched by one worker, and the lists are merged by (distance, id): the result is
    that of one machine, bit for bit.

    Parameters
    ----------
    gallery : str or Path
        A file that `open_vectors` reads; every worker must see it under this path.
    queries : (n, d) array of float32, float16 or int8
    k : int
    scheduler : str
        Address, for example "tcp://host:8786".
    shards : int, optional
        Row ranges; two per worker if left out.
    metric, method, threads
        As for `Matcher`; threads per worker.
    progress : callable, optional
        Called with (rows done, rows in all).

    Returns
    -------
    Matches

    Raises
    ------
    BadInputError
        The scheduler does not answer or has no workers, or the input cannot be searched.
    UnsupportedError
        The package distributed is not installed.
    """
    distributed = _distributed()
    path = Path(gallery).resolve()
    total = len(open_vectors(path, "the gallery"))
    arrays.check_k(k, total, where=path)
    try:
        client = distributed.Client(scheduler, timeout="10s")
    except (OSError, ValueError) as e:
        raise BadInputError(
            "the scheduler does not answer",
            where=scheduler,
            got=str(e)[:120],
            fix="start one with `dask scheduler` and give its address, tcp://host:8786",
        ) from None
    with client:
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        if workers == 0:
            raise BadInputError(
                "the scheduler has no workers", where=scheduler, fix="start one with `dask worker`"
            )
        spans = _ranges(total, shards or 2 * workers)
        sent = client.scatter(queries, broadcast=True)
        futures = [
            client.submit(
                search_shard, str(path), sent, k, metric, method, threads, span, pure=False
            )
            for span in spans
        ]
        parts: list[tuple[np.ndarray, np.ndarray, str]] = []
        for done, future in enumerate(distributed.as_completed(futures), 1):
            parts.append(future.result())
            if progress is not None:
                progress(done * total // len(spans), total)
    measure = Metric.of(metric)
    sign = np.float32(-1 if measure is Metric.IP else 1)
    keys, ids = merge([(sign * distances, found) for distances, found, _ in parts], k)
    path_taken = f"{parts[0][2]}, {len(spans)} shards on {workers} workers"
    return Matches(sign * keys, ids, path_taken, metric=str(measure))


def _ranges(total: int, shards: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, total, min(total, shards) + 1).round().astype(int)
    return [(int(a), int(b)) for a, b in pairwise(edges) if b > a]
