"""FAISS's flat index at its best on this machine: in its own process, with the fastest OpenBLAS kernel.

The OpenBLAS that faiss-cpu brings knows no recent processor and falls back to a generic kernel on it. Which kernel it
takes is read once, when it is loaded, from OPENBLAS_CORETYPE: so each kernel needs a process. The process measures its
own calls; what it costs to ask it is not a part of a figure.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facelab.core import lifetime, timing
from facelab.core.errors import FacelabError
from facelab.core.fresh import THREAD_VARIABLES
from facelab.core.isolated import module_command
from facelab.core.machine import cpu_features
from facelab.core.safety.scratch import ScratchFolder

Vectors = NDArray[np.float32]
CORES: dict[str, frozenset[str]] = {
    "": frozenset(),
    "Haswell": frozenset({"avx2", "fma"}),
    "Zen": frozenset({"avx2", "fma"}),
    "SkylakeX": frozenset({"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"}),
}
"""OPENBLAS_CORETYPE → what the processor must have for it; "" is what OpenBLAS chooses by itself."""
PROBE_ROWS, PROBE_QUERIES, PROBE_DIMENSION = 8_000, 600, 512
"""The search on which kernels are compared: a hundredth of a second to a tenth."""
FLAT_PROBE = 10_000
"""Gallery rows on which FAISS's two ways are compared."""


class FaissProcessError(FacelabError):
    """The process of FAISS failed or ended."""


def unit(x: Vectors) -> Vectors:
    """Return the rows at length 1 (zero rows stay zero)."""
    lengths = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)
    return np.ascontiguousarray(x / lengths, np.float32)


class FlatIndex:
    """IndexFlat with its norms kept, by its own switch to BLAS or by BLAS always, whichever is faster.

    FAISS 1.15 takes BLAS from 128 000 numbers in the queries (250 of 512); from 20 queries it is faster with it.
    `faiss.cvar.distance_compute_blas_threshold` is its documented setting.
    """

    def __init__(self, gallery: Vectors, metric: str):
        rows = unit(gallery) if metric == "cosine" else gallery
        self.metric = metric
        self.index, self.probe = self._flat(rows), self._flat(rows[:FLAT_PROBE])
        self.by_blas: dict[int, bool] = {}

    def _flat(self, rows: Vectors) -> Any:
        import faiss

        l2, d = self.metric == "sqeuclidean", rows.shape[1]
        index: Any = faiss.IndexFlatL2(d) if l2 else faiss.IndexFlatIP(d)
        index.add(rows)
        if l2:
            index.sync_l2norms()
        return index

    def search(self, queries: Vectors, k: int) -> NDArray[np.int64]:
        """Return (n, k) ids, by the way that `warm` found faster for this many queries."""
        queries = unit(queries) if self.metric == "cosine" else queries
        way = search_by_blas if self.by_blas.get(len(queries)) else search_by_default
        return way(self.index, queries, k)

    def warm(self, queries: Vectors, k: int) -> None:
        """Compare both ways on some rows."""
        ways: dict[str, Callable[..., Any]] = {
            "default": search_by_default,
            "blas": search_by_blas,
        }
        least = min(k, self.probe.ntotal)
        seconds = timing.interleave(
            {
                name: functools.partial(way, self.probe, queries, least)
                for name, way in ways.items()
            },
            repeats=5,
        )
        faster = np.median(seconds["blas"]) < np.median(seconds["default"])
        self.by_blas[len(queries)] = bool(faster)


def search_by_default(index: Any, queries: Vectors, k: int) -> NDArray[np.int64]:
    """Search as FAISS does by itself."""
    return index.search(queries, k)[1]


def search_by_blas(index: Any, queries: Vectors, k: int) -> NDArray[np.int64]:
    """Search with BLAS whatever the number of queries; FAISS's global switch is left as it was."""
    import faiss

    own = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 1
    try:
        return search_by_default(index, queries, k)
    finally:
        faiss.cvar.distance_compute_blas_threshold = own


class FaissProcess:
    """A FAISS flat index in its own process; close it, or use it in a `with` block.

    core: an OPENBLAS_CORETYPE; None for the fastest one here (`fastest_core`).
    """

    def __init__(
        self, gallery: Vectors, k: int, metric: str, threads: int, *, core: str | None = None
    ):
        self.k = k
        self._folder = ScratchFolder(prefix="facelab-faiss-")
        self._sent: dict[int, tuple[Vectors, str]] = {}
        self._files = 0
        self._process = _start(fastest_core() if core is None else core, threads)
        try:
            path = self._write("gallery", gallery)
            answer = _ask(self._process, do="index", path=path, metric=metric, threads=threads)
        except BaseException:
            self.close()
            raise
        self.blas: str = answer["blas"]
        self.prepare_s: float = answer["seconds"]

    def __enter__(self) -> FaissProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self, queries: Vectors) -> None:
        """Let FAISS choose its way for this many queries."""
        _ask(self._process, do="warm", path=self._send(queries), k=self.k)

    def search(self, queries: Vectors) -> NDArray[np.int64]:
        """Return (n, k) ids."""
        ids = str(Path(self._folder.name) / "ids.npy")
        _ask(self._process, do="search", path=self._send(queries), k=self.k, ids=ids)
        return np.load(ids)

    def seconds(self, queries: Vectors, times: int) -> float:
        """Return the mean seconds of this many searches in a row, measured where they run."""
        path = self._send(queries)
        return _ask(self._process, do="time", path=path, k=self.k, times=times)["seconds"]

    def close(self) -> None:
        """End the process and remove its files."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._folder.cleanup()

    def _send(self, queries: Vectors) -> str:
        """Return the file that holds these queries; written once for an array."""
        known = self._sent.get(len(queries))
        if known is None or known[0] is not queries:
            self._files += 1
            known = queries, self._write(f"queries-{self._files}", queries)
            self._sent[len(queries)] = known
        return known[1]

    def _write(self, name: str, rows: Vectors) -> str:
        path = Path(self._folder.name) / f"{name}.npy"
        np.save(path, rows)
        return str(path)


def _start(core: str, threads: int) -> subprocess.Popen[str]:
    env = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    env.pop("OPENBLAS_CORETYPE", None)
    if core:
        env["OPENBLAS_CORETYPE"] = core
    return lifetime.Popen(
        module_command("facelab.studies.matching._faiss_process"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=env,
    )


def _ask(process: subprocess.Popen[str], **request: Any) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except OSError:
        line = ""
    answer = json.loads(line) if line else {"error": f"exit code {process.poll()}"}
    if "error" in answer:
        raise FaissProcessError(
            "FAISS failed in its own process",
            where=request.get("do"),
            got=answer["error"],
            fix="leave FAISS out: --peer numpy; or install it again: pip install faiss-cpu",
        )
    return answer


@functools.cache
def core_seconds() -> dict[str, tuple[float, str]]:
    """Return, per kernel that this processor can run, the seconds of a search and the kernel that was taken."""
    found: dict[str, tuple[float, str]] = {}
    for core, needed in CORES.items():
        if not needed <= cpu_features():
            continue
        process = _start(core, 1)
        try:
            answer = _ask(process, do="probe")
            found[core] = answer["seconds"], answer["blas"]
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(30)
            if process.stdout is not None:
                process.stdout.close()
    return found


def fastest_core() -> str:
    """Return the OPENBLAS_CORETYPE by which FAISS's BLAS path is fastest here."""
    seconds = core_seconds()
    return min(seconds, key=lambda core: seconds[core][0])


def blas_of(library: str) -> str:
    """Return version and kernel of the loaded BLAS whose file name contains `library`, or "".

    >>> blas_of("a library that nobody loads")
    ''
    """
    from threadpoolctl import threadpool_info

    for info in threadpool_info():
        if info["user_api"] == "blas" and library in info["filepath"]:
            name = {"openblas": "OpenBLAS"}.get(info["internal_api"], info["internal_api"])
            return f"{name} {info.get('version')} {info.get('architecture', '')}".strip()
    return ""


class _Server:
    """What the process does: one answer per line of standard input."""

    def __init__(self) -> None:
        self.index: FlatIndex | None = None
        self.queries: dict[str, Vectors] = {}

    def answer(self, do: str, **request: Any) -> dict[str, Any]:
        """Do what a request names."""
        return getattr(self, f"do_{do}")(**request)

    def do_index(self, path: str, metric: str, threads: int) -> dict[str, Any]:
        """Build the index."""
        import faiss

        faiss.omp_set_num_threads(threads)
        gallery = np.load(path)
        Path(path).unlink()
        started = time.perf_counter()
        self.index = FlatIndex(gallery, metric)
        return {"seconds": time.perf_counter() - started, "blas": blas_of("libopenblaso")}

    def do_probe(self) -> dict[str, Any]:
        """Time a search by BLAS."""
        import faiss

        faiss.omp_set_num_threads(1)
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((PROBE_ROWS, PROBE_DIMENSION), dtype=np.float32)
        index = FlatIndex(rows, "sqeuclidean").index
        queries = rows[:PROBE_QUERIES]
        seconds = timing.interleave({"blas": lambda: search_by_blas(index, queries, 10)}, repeats=5)
        return {"seconds": float(seconds["blas"].min()), "blas": blas_of("libopenblaso")}

    def do_warm(self, path: str, k: int) -> dict[str, Any]:
        """Choose the way for these queries."""
        self._built().warm(self._queries(path), k)
        return {}

    def do_search(self, path: str, k: int, ids: str) -> dict[str, Any]:
        """Write the ids to a file."""
        np.save(ids, self._built().search(self._queries(path), k))
        return {}

    def do_time(self, path: str, k: int, times: int) -> dict[str, Any]:
        """Time searches in a row."""
        index, queries = self._built(), self._queries(path)
        started = time.perf_counter()
        for _ in range(times):
            index.search(queries, k)
        return {"seconds": (time.perf_counter() - started) / times}

    def _built(self) -> FlatIndex:
        if self.index is None:
            raise FaissProcessError("no index yet", fix="ask for an index first")
        return self.index

    def _queries(self, path: str) -> Vectors:
        if path not in self.queries:
            self.queries[path] = np.load(path)
        return self.queries[path]


def main() -> None:
    """Serve until standard input ends, as it does with the parent."""
    server = _Server()
    for line in sys.stdin:
        try:
            answer = server.answer(**json.loads(line))
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
