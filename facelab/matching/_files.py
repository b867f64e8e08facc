"""Searches from file to file: galleries larger than memory, on this machine or over the shards of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

from facelab.core.array_files import map_npy
from facelab.core.errors import BadInputError, UnsupportedError, at
from facelab.core.files import atomic_path
from facelab.matching import _vectors as arrays


def open_vectors(path: str | Path, name: str) -> np.ndarray:
    """Return the vectors of a `.npy` file, memory-mapped. Raises BadInputError for anything else, pickles included."""
    path = Path(path)
    x = map_npy(path, name, fix="write one 2-D float32, float16 or int8 array with np.save")
    if (
        x.dtype.newbyteorder("=") in arrays.DTYPES
        and x.ndim == 2
        and not (x.flags.c_contiguous and x.dtype.isnative)
    ):
        raise BadInputError(
            f"{name} is not laid out row by row in this machine's byte order",
            where=path,
            expected="C order, native bytes",
            got=f"{x.dtype.str}, Fortran order: {x.flags.fnc}",
            fix="np.save(path, np.ascontiguousarray(x, x.dtype.newbyteorder('=')))",
        )
    with at(path):
        return arrays.check_vectors(x, name)


def search_file(
    gallery: str | Path,
    queries: np.ndarray,
    k: int,
    *,
    metric: str = "sqeuclidean",
    method: str = "auto",
    threads: int | None = None,
    rows: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
):
    """Search rows [first, last) of a gallery file, streaming, and return the `Matches` with row numbers of the file.

    k may exceed the rows of a shard: as many as there are come back.
    """
    from facelab.matching._matcher import Matcher

    x = open_vectors(gallery, "the gallery")
    first, last = rows or (0, len(x))
    with at(f"{gallery}, rows from {first}" if first else gallery):
        matcher = Matcher(x[first:last], metric, method, threads)
    found = matcher.search(queries, min(k, last - first), progress=progress)
    found.ids[...] += first
    return found


def search_shard(
    gallery: str,
    queries: np.ndarray,
    k: int,
    metric: str,
    method: str,
    threads: int | None,
    rows: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, str]:
    """Run one shard on a worker: module-level, so that it can be sent there. Returns (distances, ids, method)."""
    found = search_file(
        gallery, queries, k, metric=metric, method=method, threads=threads, rows=rows
    )
    return found.distances, found.ids, found.method


def search_cluster(
    gallery: str | Path,
    queries: np.ndarray,
    k: int,
    *,
    scheduler: str,
    shards: int | None = None,
    metric: str = "sqeuclidean",
    method: str = "auto",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
):
    """Search a gallery file over the workers of a Dask scheduler; every worker must see the file under its path.

    The gallery is cut into `shards` row ranges (default two a worker), each searched whole by one worker, and the
    lists are merged by (distance, id): the result is that of one machine, bit for bit.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise UnsupportedError(
            "a cluster needs the package distributed", fix="pip install facelab[cluster]"
        ) from None
    from facelab.matching.search._streaming import Matches, merge

    path = Path(gallery).resolve()
    total = len(open_vectors(path, "the gallery"))
    arrays.check_k(k, total, where=path)
    try:
        client = Client(scheduler, timeout="10s")
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
        count = min(total, shards or 2 * workers)
        edges = np.linspace(0, total, count + 1).round().astype(int)
        spans = [(int(a), int(b)) for a, b in pairwise(edges) if b > a]
        sent = client.scatter(queries, broadcast=True)
        futures = [
            client.submit(
                search_shard, str(path), sent, k, metric, method, threads, span, pure=False
            )
            for span in spans
        ]
        parts = []
        for done, future in enumerate(as_completed(futures), 1):
            parts.append(future.result())
            if progress is not None:
                progress(done * total // len(spans), total)
    sign = -1 if arrays.metric_name(metric) == "ip" else 1
    keys, ids = merge([(sign * distances, found) for distances, found, _ in parts], k)
    return Matches(sign * keys, ids, f"{parts[0][2]}, {len(spans)} shards on {workers} workers")


def save_matches(path: str | Path, found, *, metric: str) -> Path:
    """Write `ids`, `distances` and the `metric`'s name to an .npz file, atomically."""
    path = Path(path)
    with atomic_path(path) as tmp, tmp.open("wb") as f:
        np.savez(f, ids=found.ids, distances=found.distances, metric=np.array(metric))
    return path
