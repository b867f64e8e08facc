"""From files to a result in one call: what `facelab match search` does, with each step's time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facelab.core import machine
from facelab.core.compiled import Compiling
from facelab.core.errors import BadInputError, at
from facelab.matching import _vectors as arrays
from facelab.matching._cluster import search_cluster
from facelab.matching._files import file_of, open_vectors, with_faces
from facelab.matching._results import Matches, RangeMatches, check_suffix
from facelab.matching._types import DEFAULT_POLICY, Metric

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class FileSearch:
    """A search from file to file.

    Attributes
    ----------
    found : Matches or RangeMatches
    queries, gallery, dimensions : int
        Number of queries, of gallery rows, and length of a vector.
    compile_s : float or None
        Seconds to compile the search or to load it from the cache; None on a cluster, whose workers do so.
    prepare_s : float or None
        Seconds to read the gallery once: norms, checks, codes. None on a cluster.
    search_s : float
        Seconds of the search itself; on a cluster of everything.
    peak_memory_above_base_mb : float or None
        Peak of the process's memory above what it held before the gallery was opened.
    rows : (n,) int64 or None
        The row number of each query, where rows without a face were left out.
    left_out : (int, int)
        Queries and gallery rows without a face, which the archive marks as failed.
    """

    found: Matches | RangeMatches
    queries: int
    gallery: int
    dimensions: int
    compile_s: float | None
    prepare_s: float | None
    search_s: float
    peak_memory_above_base_mb: float | None
    rows: NDArray[np.int64] | None = None
    left_out: tuple[int, int] = (0, 0)

    def save(self, path: str | Path) -> Path:
        """Write the result to a file, as `found.save` does; queries and ids are row numbers of the files."""
        return self.found.save(path, queries=self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as plain JSON; the result itself is `found.to_dict()`."""
        found = self.found
        facts: dict[str, Any] = {
            "queries": self.queries,
            "gallery": self.gallery,
            "dimensions": self.dimensions,
            "metric": str(found.metric),
            "compile_s": self.compile_s,
            "prepare_s": self.prepare_s,
            "seconds": self.search_s,
            "peak_memory_above_base_mb": self.peak_memory_above_base_mb,
            "left_out": dict(zip(("queries", "gallery"), self.left_out)),
        }
        if isinstance(found, Matches):
            return {**facts, "k": found.ids.shape[1], "method": found.method}
        return {
            **facts,
            "threshold": found.threshold,
            "cosine_of_unit_vectors": Metric(found.metric).to_cosine(found.threshold),
            "rows_within": len(found.ids),
        }

    def text(self) -> str:
        """Return one line: what was searched, how, and how long each step took."""
        found = self.found
        shape = f"{self.queries} queries × {self.gallery} rows × {self.dimensions}"
        steps = {"compiling": self.compile_s, "preparing": self.prepare_s}
        took = "".join(f", {name} {s:.2f} s" for name, s in steps.items() if s is not None)
        took = f"search {self.search_s:.3f} s{took}"
        if any(self.left_out):
            queries, rows = self.left_out
            took += f"; {queries} queries and {rows} gallery rows without a face left out (marked failed)"
        if isinstance(found, Matches):
            top = f"top {found.ids.shape[1]} by {found.metric} ({found.method})"
        else:
            sign = ">=" if Metric(found.metric).is_similarity else "<="
            top = f"{len(found.ids)} rows with {found.metric} {sign} {found.threshold:g}"
            if sign == "<=":
                cosine = Metric(found.metric).to_cosine(found.threshold)
                top += f" (cosine {cosine:.4g} for vectors of length 1)"
        return f"{shape}: {top}; {took}"


def _gallery_for(gallery: str | Path, queries: str | Path, wanted: NDArray[Any]) -> NDArray[Any]:
    """Open the gallery and check that the queries can be searched among it."""
    rows = open_vectors(gallery, "the gallery")
    with at(f"{queries}, {gallery}"):
        arrays.check_same_width(wanted, rows, ("the queries", "the gallery"))
    with at(str(queries)):
        arrays.check_finite(wanted, "the queries")
    return rows


def match_files(
    gallery: str | Path,
    queries: str | Path,
    *,
    k: int | None = None,
    threshold: float | None = None,
    metric: str = "sqeuclidean",
    method: str = "auto",
    threads: int | None = None,
    scheduler: str | None = None,
    shards: int | None = None,
    progress: Progress | None = None,
) -> FileSearch:
    """Search the vectors of one file among those of another.

    Parameters
    ----------
    gallery, queries : str or Path
        `F.npy` (the gallery is streamed), `F.npz`, or `F.npz:NAME`.
    k : int, optional
        Neighbours per query; 10 if neither k nor a threshold is given.
    threshold : float, optional
        All rows within it instead: see `Matcher.range_search`.
    metric, method, threads
        As for `Matcher`.
    scheduler, shards : optional
        As for `search_cluster`.
    progress : callable, optional
        Called with (done, total).

    Returns
    -------
    FileSearch

    Raises
    ------
    BadInputError
        A file cannot be read or searched, k is out of range, or both k and a threshold are given.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> vectors = np.eye(4, dtype=np.float32)
    >>> np.save(folder / "gallery.npy", vectors); np.save(folder / "queries.npy", vectors[2:])
    >>> match_files(folder / "gallery.npy", folder / "queries.npy", k=1).found.ids.ravel().tolist()
    [2, 3]
    """
    if threshold is not None and (k is not None or scheduler is not None):
        raise BadInputError(
            "a threshold cannot be combined with k or a scheduler",
            fix="leave k out to get all rows within the threshold; search it on one machine",
        )
    wanted = np.array(open_vectors(queries, "the queries"))
    asked, held = len(wanted), with_faces(queries, wanted)
    wanted = wanted if held is None else wanted[held]
    from facelab.matching._matcher import (
        Matcher,  # here: a file that is not there needs no compiler
    )

    base = machine.rss_bytes()
    rows = _gallery_for(gallery, queries, wanted)
    offered = len(rows)
    faces = None if scheduler is not None else with_faces(gallery, rows)
    rows = rows if faces is None else rows[faces]
    count = 10 if k is None else k
    if threshold is None:
        arrays.check_k(count, len(rows), where=gallery)
    compile_s = prepare_s = peak = None
    if scheduler is not None:
        started = time.perf_counter()
        found: Matches | RangeMatches = search_cluster(
            gallery,
            wanted,
            count,
            scheduler=scheduler,
            shards=shards,
            metric=metric,
            method=method,
            threads=threads,
            progress=progress,
        )
    else:
        compile_s = _compile(rows, wanted, count, threshold, metric, method)
        started = time.perf_counter()
        with at(str(gallery)):
            matcher = Matcher(rows, metric, method, threads)
        prepare_s, started = time.perf_counter() - started, time.perf_counter()
        with Compiling() as compiling:  # few queries whose lists are full need their own code
            if threshold is None:
                found = matcher.search(wanted, count, progress=progress)
            else:
                found = matcher.range_search(wanted, threshold, progress=progress)
        peak = max(0, machine.peak_rss_bytes() - base) / 1e6
        if compiling.seconds:
            compile_s = (compile_s or 0.0) + compiling.seconds
        started += compiling.seconds
    seconds = time.perf_counter() - started
    if faces is not None:
        found.ids[...] = faces[found.ids]
    n, (m, d) = len(wanted), rows.shape
    left = asked - n, offered - m
    return FileSearch(found, n, m, d, compile_s, prepare_s, seconds, peak, held, left)


def _compile(
    rows: arrays.Vectors,
    queries: arrays.Vectors,
    k: int,
    threshold: float | None,
    metric: str,
    method: str,
) -> float | None:
    """Compile what the search of these files needs, so that its time is not taken for the search's."""
    if not len(queries) or not len(rows):
        return None
    from facelab.matching._matcher import compile_search

    mapped = arrays.mapping_of(rows) is not None
    codes = method == "screened" or (method == "auto" and not mapped)
    n = min(len(queries), DEFAULT_POLICY.query_batch)
    short = n * rows.size <= DEFAULT_POLICY.one_call_work
    return compile_search(
        rows.dtype,
        n,
        k,
        method="screened" if codes else "exhaustive",
        metric=metric,
        one_call=not mapped and short,
        by_threshold=threshold is not None,
    )


def check_output(out: str | Path, inputs: list[str]) -> None:
    """Raise BadInputError if a result cannot be written to this file.

    Parameters
    ----------
    out : str or Path
        Its suffix must name a format.
    inputs : list of str
        Files that must not be overwritten.

    Raises
    ------
    BadInputError
        The suffix is unknown, or the file is one of `inputs`.
    """
    path = check_suffix(out)
    if path.resolve() in [file_of(name).resolve() for name in inputs]:
        raise BadInputError(
            "the output would overwrite an input", where=path, fix="give another name"
        )
