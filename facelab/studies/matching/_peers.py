"""The libraries people use, each at its best documented settings, behind one call: search(queries) → ids."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from facelab.core.machine import cores
from facelab.studies.matching._faiss_process import FaissProcess, blas_of, unit


@dataclass(frozen=True)
class Contender:
    """A library or a method, prepared for one gallery."""

    name: str
    search: Callable[[np.ndarray], np.ndarray | None]
    """search(queries) returns (n, k) ids, or None where it finds no neighbours."""
    exact: bool = True
    note: str = ""
    prepare_s: float | None = None
    most: float = np.inf
    """Multiply-adds of a search above which it is left out, for the time it would take."""
    scores: int = 0
    """Bytes that it holds per pair of query and gallery row."""
    warm: Callable[[np.ndarray], object] = len
    """Called once before a batch is timed: compiles what needs compiling, chooses between settings."""
    timer: Callable[[np.ndarray, int], float] | None = None
    """timer(queries, times) returns seconds per search; for those who measure in their own process."""
    blas: str = ""
    """The BLAS that it uses, with version and kernel."""
    close: Callable[[], object] = tuple
    """Called when all is measured."""


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k smallest scores a row, best first (argpartition, then a sort of k)."""
    if k < scores.shape[1]:
        ids = np.argpartition(scores, k - 1, axis=1)[:, :k]
    else:
        ids = np.broadcast_to(np.arange(k), scores.shape)
    order = np.argsort(np.take_along_axis(scores, ids, axis=1), axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1)


def numpy_peer(gallery: np.ndarray, k: int, metric: str, threads: int) -> Contender:
    """|g|² - 2qg by one sgemm, then argpartition; norms and unit rows are prepared beforehand."""
    rows = (
        gallery / np.linalg.norm(gallery, axis=1, keepdims=True) if metric == "cosine" else gallery
    )
    norms = np.einsum("ij,ij->i", gallery, gallery)

    def search(queries):
        scores = queries @ rows.T
        if metric == "sqeuclidean":
            scores *= -2
            scores += norms
        else:
            np.negative(scores, out=scores)
        return _best(scores, k)

    return Contender("numpy", search, blas=blas_of("numpy"))


def scipy_peer(gallery: np.ndarray, k: int, metric: str, threads: int) -> Contender:
    """scipy.spatial.distance.cdist (float64 inside), then argpartition."""
    from scipy.spatial.distance import cdist

    named = cast("Literal['sqeuclidean', 'cosine']", metric)
    return Contender("scipy cdist", lambda queries: _best(cdist(queries, gallery, named), k))


def sklearn_peer(gallery: np.ndarray, k: int, metric: str, threads: int) -> Contender:
    """scikit-learn's NearestNeighbors(algorithm="brute"): its fused reduction (ArgKmin)."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric, n_jobs=threads).fit(
        gallery
    )
    return Contender(
        "scikit-learn",
        lambda queries: model.kneighbors(queries, return_distance=False),
        blas=blas_of("scipy.libs"),
    )


def faiss_peer(gallery: np.ndarray, k: int, metric: str, threads: int) -> Contender:
    """FAISS IndexFlat in its own process, by the fastest OpenBLAS kernel and the faster of its two ways."""
    process = FaissProcess(gallery, k, metric, threads)
    return Contender(
        "FAISS Flat",
        process.search,
        warm=process.warm,
        timer=process.seconds,
        prepare_s=process.prepare_s,
        blas=process.blas,
        close=process.close,
    )


def faiss_hnsw(gallery: np.ndarray, k: int, metric: str, threads: int) -> Contender:
    """FAISS HNSW (M 32 and efConstruction 40, its defaults; efSearch 64): approximate."""
    import faiss

    index = faiss.IndexHNSWFlat(gallery.shape[1], 32, _faiss_kind(metric))
    index.hnsw.efSearch = max(64, 2 * k)
    return _approximate(
        "FAISS HNSW", index, gallery, k, metric, threads, f"M 32, efSearch {index.hnsw.efSearch}"
    )


def faiss_ivf(gallery: np.ndarray, k: int, metric: str, threads: int) -> Contender:
    """FAISS IVF-Flat with √m lists, an eighth of them visited: approximate."""
    import faiss

    lists, kind, d = max(1, int(len(gallery) ** 0.5)), _faiss_kind(metric), gallery.shape[1]
    quantizer = faiss.IndexFlatL2(d) if kind == faiss.METRIC_L2 else faiss.IndexFlatIP(d)
    index = faiss.IndexIVFFlat(quantizer, d, lists, kind)
    index.cp.min_points_per_centroid = 1  # a small gallery is no reason for a warning
    index.cp.max_points_per_centroid = (
        64  # 39 to 256 by FAISS; k-means of a million rows took most of a minute
    )
    index.nprobe = max(1, lists // 8)
    return _approximate(
        "FAISS IVF", index, gallery, k, metric, threads, f"{lists} lists, {index.nprobe} visited"
    )


def _faiss_kind(metric: str) -> int:
    import faiss

    return faiss.METRIC_L2 if metric == "sqeuclidean" else faiss.METRIC_INNER_PRODUCT


def _approximate(
    name: str, index: Any, gallery: np.ndarray, k: int, metric: str, threads: int, note: str
) -> Contender:
    """Fill a FAISS index on all cores, as it is filled once, and return it searching on `threads`."""
    import faiss

    prepared = unit if metric == "cosine" else np.asarray
    faiss.omp_set_num_threads(cores())
    index.train(prepared(gallery))
    index.add(prepared(gallery))
    faiss.omp_set_num_threads(threads)
    return Contender(
        name, lambda queries: index.search(prepared(queries), k)[1], exact=False, note=note
    )


def usearch_peer(gallery: np.ndarray, k: int, metric: str, threads: int) -> Contender:
    """USearch's exact brute-force search."""
    from usearch.compiled import MetricKind
    from usearch.index import search

    kind = {"sqeuclidean": MetricKind.L2sq, "ip": MetricKind.IP, "cosine": MetricKind.Cos}[metric]

    def run(queries):
        found = search(gallery, queries, k, kind, exact=True, threads=threads)
        return np.asarray(found.keys).reshape(len(queries), -1).astype(np.int64)

    return Contender("USearch exact", run)


def numkong_peer(gallery: np.ndarray, k: int, metric: str, threads: int) -> Contender:
    """NumKong (once SimSIMD): its cdist kernels, then argpartition."""
    import numkong

    names: dict[str, Literal["sqeuclidean", "dot", "angular"]]
    names = {"sqeuclidean": "sqeuclidean", "ip": "dot", "cosine": "angular"}
    name = names[metric]

    def search(queries: np.ndarray) -> np.ndarray:
        scores = np.asarray(numkong.cdist(queries, gallery, metric=name, threads=threads))
        return _best(-scores if metric == "ip" else scores, k)

    return Contender("NumKong", search)


MAKERS = {
    "numpy": (numpy_peer, "numpy"),
    "scipy": (scipy_peer, "scipy"),
    "sklearn": (sklearn_peer, "sklearn"),
    "faiss": (faiss_peer, "faiss"),
    "usearch": (usearch_peer, "usearch"),
    "numkong": (numkong_peer, "numkong"),
    "hnsw": (faiss_hnsw, "faiss"),
    "ivf": (faiss_ivf, "faiss"),
}
"""Peer → (maker, module it needs)."""
MOST = {"scipy": 2e8, "numkong": 2e9, "usearch": 5e9, "sklearn": 1e11, "numpy": 1e11}
"""Multiply-adds of a search above which a peer is left out unless asked for by name."""
LARGEST = {"hnsw": 2e7, "ivf": 1.5e8}
"""Numbers in a gallery above which building a peer's index takes minutes: left out likewise."""
SCORES = {"numpy": 24, "scipy": 24, "numkong": 24}
"""Bytes a pair of query and gallery row for those who hold all scores (and argpartition's row numbers)."""
NO_INNER_PRODUCT = ("scipy", "sklearn")
"""Peers without the metric "ip"."""
EXACT = ("numpy", "scipy", "sklearn", "faiss", "usearch", "numkong")
APPROXIMATE = ("hnsw", "ivf")


def installed(names: Any = EXACT) -> list[str]:
    """Return those of the named peers whose library is here."""
    return [n for n in names if importlib.util.find_spec(MAKERS[n][1]) is not None]


def usual(size: int, metric: str, *, approximate: bool) -> list[str]:
    """Return the peers to measure where none are named: they know the metric, and are built within a minute."""
    return [
        name
        for name in EXACT + (APPROXIMATE if approximate else ())
        if size <= LARGEST.get(name, np.inf) and knows(name, metric)
    ]


def knows(name: str, metric: str) -> bool:
    """Return whether a peer has a metric."""
    return metric != "ip" or name not in NO_INNER_PRODUCT
