"""The harness: everyone on the same data in interleaved rounds, every distance recomputed in float64."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facelab.core import fresh, machine, timing
from facelab.core.errors import BadInputError
from facelab.core.records import Record
from facelab.matching import Matcher, open_vectors, oracle, pairwise
from facelab.studies.matching import _peers as peers

VERSIONS = ("numpy", "scipy", "scikit-learn", "faiss-cpu", "usearch", "numkong", "numba")
TIE = 2e-6
"""Float64 distances closer than this (relative to the larger of the distance and 1 of unit vectors) are a float32
tie: peers that compute in float32 may order them either way. 2e-6 is some thirty float32 roundings."""
SGEMM = "sgemm alone"
PAIRWISE = ("scalar", "scalar-strict", "scalar4", "autovec", "simd", "blocked", "blas")
ONE_CALL_S, ONE_CALL_RATIO = 2.0, 2.0
"""A contender whose first call takes longer than both, in seconds and against the fastest, is called once only."""
MOST_ROUNDS, SAMPLE_S = 300, 1e-3
"""Rounds as the budget allows, up to so many; calls of microseconds are repeated within a round until a sample spans
so long."""
SCORES_SHARE = 4
"""Peers that hold all n × m scores are left out where these would take more than 1/4 of the free memory."""


@dataclass
class Row:
    """One contender at one shape: seconds of every round, and how right its answers were."""

    case: str
    name: str
    samples: np.ndarray
    correct: bool
    error: float | None
    recall: float | None
    exact: bool = True
    threads: int = 1
    shape: dict = field(default_factory=dict)
    note: str = ""
    prepare_s: float | None = None

    @property
    def seconds(self) -> float:
        """Return the median time of a call."""
        return float(np.median(self.samples))

    @property
    def warning(self) -> str | None:
        """Return why the time is not to be trusted, or None."""
        return timing.summarise(self.samples).warning or (
            "one call only" if len(self.samples) == 1 else None
        )


@dataclass(frozen=True)
class Contender:
    """Somebody prepared for one gallery: `search(queries)` returns (n, k) ids, or None where it finds no neighbours."""

    name: str
    search: Callable[[np.ndarray], np.ndarray | None]
    exact: bool = True
    note: str = ""
    prepare_s: float | None = None
    most: float = np.inf
    """Multiply-adds of a search above which it is left out, for the time it would take."""
    scores: int = 0
    """Bytes it holds per pair of query and gallery row."""
    warm: Callable[[np.ndarray], object] = len
    """Called once before a batch is timed: compiles what needs compiling, chooses between settings."""


def make_data(kind: str, m: int, n: int, d: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (gallery, queries) float32: "unit" random unit vectors, "identities" clusters of ~5 images a person.

    Queries of "identities" are further images of people in the gallery: within-identity cosine about 0.6, as face
    embeddings have, between identities about 0.
    """
    rng = np.random.default_rng(seed)
    if kind == "unit":
        x = rng.standard_normal((m + n, d), dtype=np.float32)
    elif kind == "identities":
        people = rng.standard_normal((max(1, m // 5), d), dtype=np.float32)
        who = np.concatenate([rng.integers(0, len(people), m), rng.integers(0, len(people), n)])
        x = people[who]
        x += np.float32(0.8) * rng.standard_normal(x.shape, dtype=np.float32)
    else:
        raise BadInputError(f"no synthetic data named {kind!r}", expected="unit, identities")
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x[:m], x[m:]


def split_embeddings(path: str | Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (gallery, queries) from a .npy of float32 embeddings: its last n rows are the queries."""
    x = np.array(open_vectors(path, "the embeddings"))
    if x.dtype != np.float32 or len(x) <= n:
        raise BadInputError(
            "these embeddings cannot be measured",
            where=path,
            got=f"{x.dtype}, {len(x)} rows",
            expected=f"float32, more than {n} rows",
        )
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise BadInputError(
            "there is a NaN or an infinity in the embeddings",
            where=f"{path}, row {row}",
            fix="drop that vector",
        )
    return x[:-n], x[-n:]


@contextmanager
def threads_for_all(threads: int):
    """Hold every BLAS and OpenMP library of this process to a number of threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads):
        yield


def judge(
    ids, truth: np.ndarray, queries: np.ndarray, gallery: np.ndarray, metric: str
) -> tuple[bool, float]:
    """Return (right, recall) of ids (n, k) against the exact ids `truth`; distances are recomputed in float64.

    Right means: in range, no id twice, and at every rank the recomputed distance is the true one up to a tie.
    Recall counts results no farther than the true k-th neighbour (up to a tie).
    """
    ids = np.asarray(ids)
    if ids.shape != truth.shape:
        return False, 0.0
    valid = (ids >= 0) & (ids < len(gallery))
    mine = oracle.of_pairs(queries, gallery, np.where(valid, ids, 0), metric)
    true = oracle.of_pairs(queries, gallery, truth, metric)
    tolerance = TIE * np.maximum(np.abs(true), 1.0)
    unique = np.array([len(set(row.tolist())) == len(row) for row in ids])
    right = bool(valid.all() and unique.all() and (np.abs(mine - true) <= tolerance).all())
    sign = -1 if metric == "ip" else 1
    close = valid & (sign * mine <= (sign * true + tolerance)[:, -1:])
    found = sum(len(set(row[ok].tolist())) for row, ok in zip(ids, close))
    return right, found / ids.size


def search_benchmark(
    gallery: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    metric: str = "sqeuclidean",
    threads: int = 1,
    repeats: int = 7,
    budget_s: float = 20.0,
    names=None,
    data: str = "",
    methods=("exhaustive", "screened"),
    batches=None,
    approximate: bool = False,
) -> list[Row]:
    """Time facelab's paths and the installed peers on one gallery, interleaved, and judge every answer.

    Everybody prepares the gallery once and then searches the first n queries for each n of `batches` (default: all).
    `names` chooses peers and is obeyed; the default, the exact ones and with `approximate` HNSW and IVF too, leaves
    out who would take minutes at a shape (`peers.MOST`) or to build (`peers.LARGEST`). Nobody is called whose scores
    would not fit into memory. A row's truth is facelab's exhaustive path, itself checked against float64 on a sample
    of queries. Returns one `Row` each per batch.
    """
    with threads_for_all(threads):
        most = peers.MOST if names is None else {}
        if names is None:
            names = peers.usual(gallery.size, metric, approximate=approximate)
        elif missing := [name for name in names if not peers.knows(name, metric)]:
            raise BadInputError(
                f"no {metric!r} with {', '.join(missing)}",
                fix="leave it out, or take another metric",
            )
        contenders = prepare(gallery, k, metric, threads, names, methods, most)
        rows = []
        for n in batches or (len(queries),):
            rows += _one_batch(
                contenders, gallery, queries[:n], k, metric, threads, repeats, budget_s, data
            )
    return rows


def prepare(
    gallery: np.ndarray, k: int, metric: str, threads: int, names, methods, most
) -> list[Contender]:
    """Return facelab's methods, the named peers and the plain sgemm, each prepared for the gallery and timed doing so.

    `most` holds the multiply-adds of a search above which a peer is left out.
    """
    found = []
    for method in methods:
        started = time.perf_counter()
        matcher = Matcher(gallery, metric, method, threads)
        found.append(
            Contender(
                f"facelab {method}",
                lambda q, matcher=matcher: matcher.search(q, k).ids,
                prepare_s=time.perf_counter() - started,
                warm=lambda q, matcher=matcher: matcher.warm(len(q), k),
            )
        )
    for name in peers.installed(names):
        started = time.perf_counter()
        peer = peers.MAKERS[name][0](gallery, k, metric, threads)
        found.append(
            Contender(
                peer.name,
                peer.search,
                peer.exact,
                peer.note,
                time.perf_counter() - started,
                most.get(name, np.inf),
                peers.SCORES.get(name, 0),
                peer.warm,
            )
        )
    room: dict[
        int, np.ndarray
    ] = {}  # the product's own array, made once: a search does not return n × m numbers

    def sgemm(q: np.ndarray) -> None:
        n = len(q)
        if n not in room:
            room.clear()
            room[n] = np.empty((n, len(gallery)), np.float32)
        np.matmul(q, gallery.T, out=room[n])

    return [
        *found,
        Contender(
            SGEMM, sgemm, exact=False, note="the product alone, no selection", most=6e10, scores=4
        ),
    ]


def with_threads(threads: int) -> str:
    """Return what a case's name says of threads: nothing of one.

    >>> with_threads(1), with_threads(2)
    ('', ', 2 threads')
    """
    return f", {threads} threads" if threads > 1 else ""


def _one_batch(
    contenders, gallery, queries, k, metric, threads, repeats, budget_s, data
) -> list[Row]:
    n, (m, d) = len(queries), gallery.shape
    shape = {"queries": n, "gallery": m, "dimension": d, "k": k, "metric": metric, "data": data}
    memory = machine.memory_bytes()[1] // SCORES_SHARE
    taking = [c for c in contenders if n * m * d <= c.most and n * m * c.scores <= memory]
    answers, first = {}, {}
    for c in taking:
        c.warm(queries)
        started = time.perf_counter()
        answers[c.name] = c.search(queries)
        first[c.name] = time.perf_counter() - started
    slow = {
        name
        for name, s in first.items()
        if s > ONE_CALL_S and s > ONE_CALL_RATIO * min(first.values())
    }
    a_round = sum(s for name, s in first.items() if name not in slow)
    samples = timing.interleave(
        {c.name: (lambda c=c: c.search(queries)) for c in taking if c.name not in slow},
        repeats=max(repeats, min(MOST_ROUNDS, int(budget_s / a_round))),
        warmup=0,
        budget_s=budget_s,
        least_s=SAMPLE_S,
    )
    samples |= {name: np.array([first[name]]) for name in slow}
    truth = _truth(answers.get("facelab exhaustive"), gallery, queries, k, metric)
    rows, case = [], f"search/{n}x{m}x{d}{with_threads(threads)}"
    for c in taking:
        right, recall = (
            (True, None)
            if answers[c.name] is None
            else judge(answers[c.name], truth, queries, gallery, metric)
        )
        rows.append(
            Row(
                case,
                c.name,
                samples[c.name],
                right or not c.exact,
                None,
                recall,
                c.exact,
                threads,
                shape,
                c.note,
                c.prepare_s,
            )
        )
    return rows


def _truth(found: np.ndarray | None, gallery, queries, k, metric) -> np.ndarray:
    """Return exact ids: by the exhaustive path, which must agree with float64 on up to four queries in full."""
    if found is None:
        found = Matcher(gallery, metric, "exhaustive").search(queries, k).ids
    few = np.linspace(0, len(queries) - 1, min(4, len(queries))).astype(int)
    if not judge(
        found[few], oracle.top_k(queries[few], gallery, k, metric)[1], queries[few], gallery, metric
    )[0]:
        raise BadInputError(
            "the exhaustive search disagrees with float64",
            fix="this is a bug of facelab: report it",
        )
    return found


def pairwise_benchmark(
    a: np.ndarray,
    b: np.ndarray,
    *,
    metric: str = "sqeuclidean",
    threads: int = 1,
    repeats: int = 7,
    budget_s: float = 20.0,
    kernels=PAIRWISE,
) -> list[Row]:
    """Time every pairwise kernel and the plain sgemm call on the same arrays; each row carries its largest error."""
    n, m, d = len(a), len(b), a.shape[1]
    out = np.empty((n, m), np.float32)
    contenders = {k: (lambda k=k: pairwise(a, b, metric, k, threads, out)) for k in kernels}
    contenders[SGEMM] = lambda: np.matmul(a, b.T, out=out)
    shape = {"queries": n, "gallery": m, "dimension": d, "metric": metric}
    with threads_for_all(threads):
        errors = {k: oracle.relative_error(contenders[k](), a, b, metric) for k in kernels}
        samples = timing.interleave(contenders, repeats=repeats, budget_s=budget_s)
    return [
        Row(
            f"pairwise/{n}x{m}x{d}",
            k,
            samples[k],
            errors.get(k, 0.0) <= 1e-5,
            errors.get(k),
            None,
            True,
            threads,
            shape,
        )
        for k in contenders
    ]


def as_record(row: Row, *, run: str, step: str) -> Record:
    """Return a row as a record: median seconds with its interval, the error beside the speed, machine and warning."""
    s = timing.summarise(row.samples)
    note = f"{row.shape} {row.note}".strip() + (
        f"; recall {row.recall:.4f}" if row.recall is not None else ""
    )
    return Record(
        run=run,
        step=step,
        case=row.case,
        metric=f"{row.name}, {row.threads} thread(s)",
        value=s.p50,
        unit="s",
        better="lower",
        lo=s.lo,
        hi=s.hi,
        n=s.n,
        method="median of interleaved rounds",
        error=row.error,
        warning=row.warning,
        passed=row.correct,
        machine={**machine.facts(threads=row.threads, versions=VERSIONS), "blas": blas_facts()},
        note=note,
    )


def blas_facts() -> list[dict]:
    """Return which BLAS each library brought, its version, and for which core its kernels were chosen.

    The environment may override that choice (OPENBLAS_CORETYPE), and each library carries its own copy: a figure
    for "BLAS" means nothing without it.
    """
    from threadpoolctl import threadpool_info

    return [
        {
            "library": i["filepath"].replace("\\", "/").split("/")[-1],
            "version": i.get("version"),
            "core": i.get("architecture"),
        }
        for i in threadpool_info()
        if i["user_api"] == "blas"
    ]


def as_dict(row: Row) -> dict:
    """Return a row as plain JSON."""
    s = timing.summarise(row.samples)
    return {
        "case": row.case,
        "name": row.name,
        "exact": row.exact,
        "correct": row.correct,
        "recall": row.recall,
        "largest_relative_error": row.error,
        "threads": row.threads,
        "prepare_s": row.prepare_s,
        "median_s": s.p50,
        "lo_s": s.lo,
        "hi_s": s.hi,
        "rounds": s.n,
        "warning": row.warning,
        "samples_s": row.samples.tolist(),
        "note": row.note,
    }


def table(rows: list[Row]) -> str:
    """Return rows as a text table, fastest first within a case; the error or recall stands beside the speed."""
    lines = []
    for case in dict.fromkeys(r.case for r in rows):
        lines += [case, f"  {'':<22}{'median':>11}{'× fastest':>11}  answers"]
        mine = sorted((r for r in rows if r.case == case), key=lambda r: r.seconds)
        for r in mine:
            said = (
                f"error {r.error:.1e}"
                if r.error is not None
                else ""
                if r.recall is None
                else ("exact" if r.exact and r.correct else f"recall {r.recall:.3f}")
            )
            said += "" if r.correct else "  WRONG"
            said += f"  ({r.warning.split(':')[0]})" if r.warning else ""
            lines.append(
                f"  {r.name:<22}{r.seconds * 1e3:>9.3f}ms{r.seconds / mine[0].seconds:>11.2f}  {said}"
            )
    return "\n".join(lines)


def streamed_search(m: int, d: int, n: int, k: int, *, threads: int = 1) -> dict:
    """Search a memory-mapped gallery of m × d float32 written for the purpose, in a process of its own.

    Returns `gallery_mb`, `seconds` (preparing and searching, compiling left out) and `above_base_mb`, the peak of the
    process's memory above what it held before it opened the gallery.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, rng = Path(folder) / "gallery.npy", np.random.default_rng(0)
        rows = np.lib.format.open_memmap(path, "w+", np.float32, (m, d))
        for first in range(0, m, 50_000):
            rows[first : first + 50_000] = rng.standard_normal(
                (len(rows[first : first + 50_000]), d), dtype=np.float32
            )
        rows.flush()
        del rows
        answer = fresh.call(
            "facelab.studies.matching._harness:search_own_rows",
            str(path),
            n,
            k,
            threads,
            threads=threads,
        )
    return {**answer.value, "above_base_mb": (answer.peak_rss - answer.base_rss) / 1e6}


def search_own_rows(path: str, n: int, k: int, threads: int) -> dict:
    """Search a gallery file for its own first n rows, each of which must find itself first."""
    gallery = open_vectors(path, "the gallery")
    queries = np.array(gallery[:n])
    Matcher(np.array(gallery[: 2 * n + k]), threads=threads).search(queries, k)  # compiles
    started = time.perf_counter()
    found = Matcher(gallery, threads=threads).search(queries, k)
    seconds = time.perf_counter() - started
    if not (found.ids[:, 0] == np.arange(n)).all():
        raise BadInputError(
            "the streamed search lost rows", fix="this is a bug of facelab: report it"
        )
    return {"gallery_mb": gallery.nbytes / 1e6, "seconds": seconds, "method": found.method}


def memory_per_million(d: int) -> list[dict]:
    """Return the bytes that a million identities of d dimensions cost: the vectors, and what screening adds.

    Screening holds int8 codes (padded to 64) and 28 bytes a row: four float32, one int32, one float64 norm.
    """
    million, codes = 1_000_000, -(-d // 64) * 64
    return [
        {
            "dtype": dtype.name,
            "gallery_mb": million * d * dtype.itemsize / 1e6,
            "screening_adds_mb": million * (codes + 28) / 1e6,
        }
        for dtype in map(np.dtype, (np.float32, np.float16, np.int8))
    ]
