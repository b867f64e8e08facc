"""The harness: everyone on the same data in interleaved rounds, every distance recomputed in float64."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from facelab.core import machine, timing
from facelab.core.errors import BadInputError
from facelab.core.records import Record
from facelab.matching import arrays, oracle, peers
from facelab.matching.matcher import Matcher
from facelab.matching.pairs import pairwise

VERSIONS = ("numpy", "scipy", "scikit-learn", "faiss-cpu", "usearch", "numkong", "numba")
TIE = 2e-6
"""Float64 distances closer than this (relative to the larger of the distance and 1 of unit vectors) are a float32
tie: peers that compute in float32 may order them either way. 2e-6 is some thirty float32 roundings."""
PAIRWISE = ("scalar", "scalar-strict", "scalar4", "autovec", "simd", "blocked", "blas")
SLOW_PAIRS = 2_000_000_000
"""Multiply-adds above which scipy (float64, one core) and NumKong's cdist are left out, and said to be."""


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

    @property
    def seconds(self) -> float:
        """Return the median time of a call."""
        return float(np.median(self.samples))


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


@contextmanager
def threads_for_all(threads: int):
    """Hold every BLAS and OpenMP library of this process to a number of threads."""
    from threadpoolctl import threadpool_limits
    with threadpool_limits(threads):
        yield


def judge(ids, truth: np.ndarray, queries: np.ndarray, gallery: np.ndarray, metric: str) -> tuple[bool, float]:
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


def search_benchmark(gallery: np.ndarray, queries: np.ndarray, k: int, *, metric: str = "sqeuclidean",
                     threads: int = 1, repeats: int = 7, budget_s: float = 20.0, names=None, data: str = "",
                     methods=("exhaustive", "screened")) -> list[Row]:
    """Time facelab's paths and the installed peers on one search, interleaved, and judge every answer.

    `names` chooses peers (default: the exact ones). The truth is facelab's exhaustive path, itself checked against
    float64 on a sample of queries. Returns one `Row` each.
    """
    n, (m, d) = len(queries), gallery.shape
    shape = {"queries": n, "gallery": m, "dimension": d, "k": k, "metric": metric, "data": data}
    case = f"search/{n}x{m}x{d}"
    chosen = [p for p in peers.installed(names if names is not None else peers.EXACT)
              if n * m * d <= SLOW_PAIRS or p not in ("scipy", "numkong")]
    with threads_for_all(threads):
        contenders, exact, notes = {}, {}, {}
        for method in methods:
            matcher = Matcher(gallery, metric, method, threads)
            contenders[f"facelab {method}"] = lambda matcher=matcher: matcher.search(queries, k).ids
            exact[f"facelab {method}"] = True
        for name in chosen:
            peer = peers.MAKERS[name][0](gallery, k, metric, threads)
            contenders[peer.name] = lambda peer=peer: peer.search(queries)
            exact[peer.name], notes[peer.name] = peer.exact, peer.note
        answers = {name: run() for name, run in contenders.items()}
        samples = timing.interleave(contenders, repeats=repeats, warmup=0, budget_s=budget_s)
    truth = _truth(gallery, queries, k, metric)
    rows = []
    for name in contenders:
        right, recall = judge(answers[name], truth, queries, gallery, metric)
        rows.append(Row(case, name, samples[name], right or not exact[name], None, recall, exact[name], threads,
                        shape, notes.get(name, "")))
    return rows


def _truth(gallery, queries, k, metric) -> np.ndarray:
    """Return exact ids: by the exhaustive path, which must agree with float64 on up to four queries in full."""
    found = Matcher(gallery, metric, "exhaustive").search(queries, k).ids
    few = np.linspace(0, len(queries) - 1, min(4, len(queries))).astype(int)
    if not judge(found[few], oracle.top_k(queries[few], gallery, k, metric)[1], queries[few], gallery, metric)[0]:
        raise BadInputError("the exhaustive search disagrees with float64", fix="this is a bug of facelab: report it")
    return found


def pairwise_benchmark(a: np.ndarray, b: np.ndarray, *, metric: str = "sqeuclidean", threads: int = 1,
                       repeats: int = 7, budget_s: float = 20.0,
                       kernels=PAIRWISE) -> list[Row]:
    """Time every pairwise kernel and the plain sgemm call on the same arrays; each row carries its largest error."""
    n, m, d = len(a), len(b), a.shape[1]
    out = np.empty((n, m), np.float32)
    contenders = {k: (lambda k=k: pairwise(a, b, metric, k, threads, out)) for k in kernels}
    contenders["sgemm alone"] = lambda: np.matmul(a, b.T, out=out)
    shape = {"queries": n, "gallery": m, "dimension": d, "metric": metric}
    with threads_for_all(threads):
        errors = {k: oracle.relative_error(contenders[k](), a, b, metric) for k in kernels}
        samples = timing.interleave(contenders, repeats=repeats, budget_s=budget_s)
    return [Row(f"pairwise/{n}x{m}x{d}", k, samples[k], errors.get(k, 0.0) <= 1e-5, errors.get(k), None, True, threads,
                shape) for k in contenders]


def as_record(row: Row, *, run: str, step: str) -> Record:
    """Return a row as a record: median seconds with its interval, the error beside the speed, machine and warning."""
    s = timing.summarise(row.samples)
    note = f"{row.shape} {row.note}".strip() + (f"; recall {row.recall:.4f}" if row.recall is not None else "")
    return Record(run=run, step=step, case=row.case, metric=f"{row.name}, {row.threads} thread(s)", value=s.p50,
                  unit="s", better="lower", lo=s.lo, hi=s.hi, n=s.n, method="median of interleaved rounds",
                  error=row.error, warning=s.warning, passed=row.correct,
                  machine={**machine.facts(threads=row.threads, versions=VERSIONS), "blas": blas_facts()}, note=note)


def blas_facts() -> list[dict]:
    """Return which BLAS each library brought, its version, and for which core its kernels were chosen.

    The environment may override that choice (OPENBLAS_CORETYPE), and each library carries its own copy: a figure
    for "BLAS" means nothing without it.
    """
    from threadpoolctl import threadpool_info
    return [{"library": i["filepath"].replace("\\", "/").split("/")[-1], "version": i.get("version"),
             "core": i.get("architecture")} for i in threadpool_info() if i["user_api"] == "blas"]


def as_dict(row: Row) -> dict:
    """Return a row as plain JSON."""
    s = timing.summarise(row.samples)
    return {"case": row.case, "name": row.name, "exact": row.exact, "correct": row.correct, "recall": row.recall,
            "largest_relative_error": row.error, "threads": row.threads, "median_s": s.p50, "lo_s": s.lo, "hi_s": s.hi,
            "rounds": s.n, "warning": s.warning, "samples_s": row.samples.tolist(), "note": row.note}


def table(rows: list[Row]) -> str:
    """Return rows as a text table, fastest first within a case; the error or recall stands beside the speed."""
    lines = []
    for case in dict.fromkeys(r.case for r in rows):
        lines += [case, f"  {'':<22}{'median':>11}{'× fastest':>11}  answers"]
        mine = sorted((r for r in rows if r.case == case), key=lambda r: r.seconds)
        for r in mine:
            said = f"error {r.error:.1e}" if r.error is not None else "" if r.recall is None else (
                "exact" if r.exact and r.correct else f"recall {r.recall:.3f}")
            said += "" if r.correct else "  WRONG"
            said += "  (unstable)" if timing.summarise(r.samples).warning else ""
            lines.append(f"  {r.name:<22}{r.seconds * 1e3:>9.3f}ms{r.seconds / mine[0].seconds:>11.2f}  {said}")
    return "\n".join(lines)


def memory_per_million(d: int) -> list[dict]:
    """Return the bytes that a million identities of d dimensions cost: the vectors, and what screening adds.

    Screening holds int8 codes (padded to 64) and 28 bytes a row: four float32, one int32, one float64 norm.
    """
    million, codes = 1_000_000, -(-d // 64) * 64
    return [{"dtype": dtype.name, "gallery_mb": million * d * dtype.itemsize / 1e6,
             "screening_adds_mb": million * (codes + 28) / 1e6} for dtype in arrays.DTYPES]
