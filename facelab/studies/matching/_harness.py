"""The harness: all contenders on the same data in interleaved rounds, every distance computed again in float64."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core import machine, timing
from facelab.core.errors import BadInputError
from facelab.matching import Matcher, pairwise
from facelab.matching.internals import oracle
from facelab.studies.matching import _peers as peers
from facelab.studies.matching._data import judge
from facelab.studies.matching._faiss_process import blas_of
from facelab.studies.matching._peers import Contender
from facelab.studies.matching._rows import Row, with_threads

SGEMM = "sgemm alone"
PAIRWISE = ("scalar", "scalar-strict", "scalar4", "autovec", "simd", "blocked", "blas")
SLOWER = 10.0
"""A contender whose search takes this many times the fastest one's is timed once."""
ONE_CALL_S, ONE_CALL_RATIO = 2.0, 2.0
"""So is one whose first call takes longer than both, in seconds and against the fastest."""
FIRST_S = 0.02
"""A first call shorter than this is repeated, and the fastest counts: it may have met cold caches."""
ANSWER_S = 0.5
"""The call that answers is the first one where it takes longer than this: cold caches are a small part of it."""
MOST_ROUNDS, SAMPLE_S = 300, 1e-3
"""Rounds as the budget allows, up to this many; short calls are repeated until a sample spans this many seconds."""
SCORES_SHARE = 4
"""Peers that hold all n × m scores are left out where these would take more than 1/4 of the free memory."""


@contextlib.contextmanager
def threads_for_all(threads: int) -> Generator[None]:
    """Hold every BLAS and OpenMP library of this process to a number of threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads):
        yield


@dataclass(frozen=True)
class Setting:
    """What all searches of a benchmark have in common."""

    k: int
    metric: str
    threads: int
    repeats: int
    budget_s: float
    data: str


def search_benchmark(
    gallery: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    metric: str = "sqeuclidean",
    threads: int = 1,
    repeats: int = 7,
    budget_s: float = 20.0,
    names: Sequence[str] | None = None,
    data: str = "",
    methods: Sequence[str] = ("exhaustive", "screened"),
    batches: Sequence[int] | None = None,
    approximate: bool = False,
) -> list[Row]:
    """Time facelab's paths and the installed peers on one gallery, interleaved, and judge every answer.

    Everybody prepares the gallery once and then searches the first n queries for each n of `batches`. A contender
    that is ten times slower than the fastest is timed once. A row's truth is facelab's exhaustive path, itself
    checked against float64 on a sample of queries.

    Parameters
    ----------
    gallery, queries : (m, d) and (n, d) float32 arrays
    k : int
        Neighbours per query.
    metric : str
        "sqeuclidean", "ip" or "cosine".
    threads : int
        For everybody.
    repeats : int
        Fewest interleaved rounds.
    budget_s : float
        Seconds per batch.
    names : sequence of str, optional
        Peers, obeyed however slow. The default is the exact ones and with `approximate` HNSW and IVF too, without
        those that would take minutes at a shape (`peers.MOST`) or to build (`peers.LARGEST`).
    data : str
        What the vectors are, for the report.
    methods : sequence of str
        Methods of facelab.
    batches : sequence of int, optional
        Queries per search; all of them if left out.
    approximate : bool
        Also HNSW and IVF.

    Returns
    -------
    list of Row
        One per contender and batch.

    Raises
    ------
    BadInputError
        A named peer lacks the metric.
    """
    setting = Setting(k, metric, threads, repeats, budget_s, data)
    most: Mapping[str, float] = peers.MOST if names is None else {}
    if names is None:
        names = peers.usual(gallery.size, metric, approximate=approximate)
    elif missing := [name for name in names if not peers.knows(name, metric)]:
        raise BadInputError(
            f"{', '.join(missing)} cannot search by {metric!r}",
            fix="leave it out, or take another metric",
        )
    with threads_for_all(threads), contextlib.ExitStack() as stack:
        contenders = prepare(gallery, setting, names, methods, most)
        for contender in contenders:
            stack.callback(contender.close)
        return [
            row
            for n in batches or (len(queries),)
            for row in _one_batch(contenders, gallery, queries[:n], setting)
        ]


def prepare(
    gallery: np.ndarray,
    setting: Setting,
    names: Sequence[str],
    methods: Sequence[str],
    most: Mapping[str, float],
) -> list[Contender]:
    """Return facelab's methods, the named peers and the plain sgemm, each prepared for the gallery and timed doing so.

    `most` holds the multiply-adds of a search above which a peer is left out.
    """
    k, metric, threads = setting.k, setting.metric, setting.threads
    found = [_facelab(gallery, method, setting) for method in methods]
    for name in peers.installed(names):
        started = time.perf_counter()
        peer = peers.MAKERS[name][0](gallery, k, metric, threads)
        took = time.perf_counter() - started
        found.append(
            dataclasses.replace(
                peer,
                prepare_s=took if peer.prepare_s is None else peer.prepare_s,
                most=most.get(name, np.inf),
                scores=peers.SCORES.get(name, 0),
            )
        )
    return [*found, _sgemm(gallery)]


def _facelab(gallery: np.ndarray, method: str, setting: Setting) -> Contender:
    started = time.perf_counter()
    matcher = Matcher(gallery, setting.metric, method, setting.threads)
    return Contender(
        f"facelab {method}",
        lambda queries: matcher.search(queries, setting.k).ids,
        prepare_s=time.perf_counter() - started,
        warm=lambda queries: matcher.warm(len(queries), setting.k),
    )


def _sgemm(gallery: np.ndarray) -> Contender:
    """Return the product alone; its array is made once, as a search does not return n × m numbers."""
    room: dict[int, np.ndarray] = {}

    def multiply(queries: np.ndarray) -> None:
        n = len(queries)
        if n not in room:
            room.clear()
            room[n] = np.empty((n, len(gallery)), np.float32)
        np.matmul(queries, gallery.T, out=room[n])

    note = "the product alone, no selection"
    return Contender(
        SGEMM, multiply, exact=False, note=note, most=6e10, scores=4, blas=blas_of("numpy")
    )


class _Call:
    """A search of some queries, as the timing wants it; measured in its own process where it has one."""

    def __init__(self, contender: Contender, queries: np.ndarray):
        self.contender, self.queries = contender, queries

    def __call__(self) -> object:
        return self.contender.search(self.queries)

    def seconds(self, times: int) -> float:
        """Return the mean seconds of this many calls in a row."""
        if self.contender.timer is not None:
            return self.contender.timer(self.queries, times)
        started = time.perf_counter()
        for _ in range(times):
            self()
        return (time.perf_counter() - started) / times

    def first(self) -> float:
        """Return the seconds of a first call; of the fastest of three where it is short."""
        seconds = self.seconds(1)
        return seconds if seconds > FIRST_S else min(seconds, self.seconds(1), self.seconds(1))


def timed_once(first: Mapping[str, float]) -> set[str]:
    """Return who is not worth more rounds, from the seconds of everybody's first call.

    >>> sorted(timed_once({"a": 0.1, "b": 0.9, "c": 1.1}))
    ['c']
    """
    leader = min(first.values())
    return {
        name
        for name, s in first.items()
        if s > SLOWER * leader or (s > ONE_CALL_S and s > ONE_CALL_RATIO * leader)
    }


def _one_batch(
    contenders: Sequence[Contender], gallery: np.ndarray, queries: np.ndarray, setting: Setting
) -> list[Row]:
    n, (m, d) = len(queries), gallery.shape
    memory = machine.memory_bytes()[1] // SCORES_SHARE
    taking = [c for c in contenders if n * m * d <= c.most and n * m * c.scores <= memory]
    answers: dict[str, np.ndarray | None] = {}
    calls = {c.name: _Call(c, queries) for c in taking}
    first: dict[str, float] = {}
    for c in taking:
        c.warm(queries)
        started = time.perf_counter()
        answers[c.name] = c.search(queries)
        took = time.perf_counter() - started
        first[c.name] = took if took > ANSWER_S else calls[c.name].first()
    once = timed_once(first)
    a_round = sum(s for name, s in first.items() if name not in once)
    samples = timing.interleave(
        {name: call for name, call in calls.items() if name not in once},
        repeats=max(setting.repeats, min(MOST_ROUNDS, int(setting.budget_s / a_round))),
        warmup=0,
        budget_s=setting.budget_s,
        least_s=SAMPLE_S,
    )
    samples |= {name: np.array([first[name]]) for name in once}
    truth = _truth(answers.get("facelab exhaustive"), gallery, queries, setting)
    shape = {"queries": n, "gallery": m, "dimension": d, "k": setting.k}
    shape |= {"metric": setting.metric, "data": setting.data}
    case = f"search/{n}x{m}x{d}{with_threads(setting.threads)}"
    return [
        _row(case, c, samples[c.name], answers[c.name], truth, (queries, gallery), setting, shape)
        for c in taking
    ]


def _row(
    case: Any, c: Any, samples: Any, ids: Any, truth: Any, data: Any, setting: Setting, shape: Any
) -> Row:
    queries, gallery = data
    right, recall = (
        (True, None) if ids is None else judge(ids, truth, queries, gallery, setting.metric)
    )
    return Row(
        case,
        c.name,
        samples,
        right or not c.exact,
        None,
        recall,
        c.exact,
        setting.threads,
        shape,
        c.note,
        c.prepare_s,
        c.blas,
    )


def _truth(
    found: np.ndarray | None, gallery: np.ndarray, queries: np.ndarray, setting: Setting
) -> np.ndarray:
    """Return exact ids: by the exhaustive path, which must agree with float64 on up to four queries in full."""
    k, metric = setting.k, setting.metric
    if found is None:
        found = Matcher(gallery, metric, "exhaustive").search(queries, k).ids
    few = np.linspace(0, len(queries) - 1, min(4, len(queries))).astype(int)
    true = oracle.top_k(queries[few], gallery, k, metric)[1]
    if not judge(found[few], true, queries[few], gallery, metric)[0]:
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
    kernels: Sequence[str] = PAIRWISE,
) -> list[Row]:
    """Time every pairwise kernel and the plain sgemm call on the same arrays; each row carries its largest error."""
    n, m, d = len(a), len(b), a.shape[1]
    out = np.empty((n, m), np.float32)
    contenders: dict[str, Callable[[], np.ndarray]] = {
        k: functools.partial(pairwise, a, b, metric, k, threads, out) for k in kernels
    }
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
            blas=blas_of("numpy") if k in ("blas", SGEMM) else "",
        )
        for k in contenders
    ]
