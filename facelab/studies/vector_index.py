"""Notebook 18: ids, changes without a rebuild, kills at every step, histories under faults, and three stores."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import FacelabError, UnsupportedError
from facelab.core.isolated import module_command
from facelab.core.lifetime import run
from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder
from facelab.core.timing import interleave
from facelab.index import Collection, PostgresStore, ValkeyStore
from facelab.index.internals import VectorStore, vector_id
from facelab.matching import Matcher
from facelab.serving import postgres_connections
from facelab.serving.internals import local_postgres, local_valkey, valkey_clients
from facelab.studies.index_histories import memory_folder

PREFIX_BYTES = 128


def unit_vectors(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Return random float32 vectors of length 1, (count, dimension)."""
    rows = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def prefix_id(vector: np.ndarray) -> str:
    """Return a hash of a vector's first 128 bytes: the counter-example, 32 of 512 numbers."""
    return hashlib.sha256(vector.tobytes()[:PREFIX_BYTES]).hexdigest()[:32]


@dataclass(frozen=True)
class IdRow(Result):
    """How often two vectors of a pair got one id, by each rule; `equal` says whether they should have."""

    pairs: str
    n: int
    equal: bool
    prefix: int
    whole: int


def id_pairs(count: int = 2000, dimension: int = 512, seed: int = 0) -> list[IdRow]:
    """Return what each rule makes of pairs that are equal in value, or differ in one way.

    Parameters
    ----------
    count : int
        Pairs of each kind.
    dimension : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    first = unit_vectors(count, dimension, seed)
    at = rng.integers(0, dimension, count)
    one, tail = first.copy(), first.copy()
    one[np.arange(count), at] = np.nextafter(one[np.arange(count), at], np.float32(2))
    half = dimension // 2
    tail[:, half:] = unit_vectors(count, dimension, seed + 1)[:, half:]
    zeros, signs = first.copy(), first.copy()
    zeros[:, 0], signs[:, 0] = 0.0, -0.0
    kinds: dict[str, tuple[np.ndarray, np.ndarray, bool]] = {
        "stored as float64": (first, first.astype(np.float64), True),
        "0 and -0": (zeros, signs, True),
        "one number, one bit": (first, one, False),
        "another second half": (first, tail, False),
        "unrelated": (first, unit_vectors(count, dimension, seed + 2), False),
    }
    return [
        IdRow(
            name,
            count,
            equal,
            sum(prefix_id(x) == prefix_id(y) for x, y in zip(a, b)),
            sum(vector_id(x) == vector_id(y) for x, y in zip(a, b)),
        )
        for name, (a, b, equal) in kinds.items()
    ]


@dataclass(frozen=True, eq=False)
class Incremental(Result):
    """Seconds of each step on one collection, and whether its answers are those of a fresh matcher.

    `build_s` adds all vectors and waits for the disk; `rebuild_s` makes ids and a matcher in memory only.
    """

    vectors: int
    dimension: int
    changes: int
    queries: int
    build_s: float
    rebuild_s: np.ndarray
    add_s: float
    delete_s: float
    search_s: float
    fresh_s: float
    load_s: np.ndarray
    segments: int
    identical: bool
    identical_after_load: bool

    @property
    def load_factor(self) -> float:
        """How many times faster loading is than building, by medians."""
        return self.build_s / float(np.median(self.load_s))

    @property
    def rebuild_factor(self) -> float:
        """The same against ids and matcher made again in memory, without a disk."""
        return float(np.median(self.rebuild_s) / np.median(self.load_s))

    def steps(self) -> dict[str, float]:
        """Return seconds by step, in the order in which they are done."""
        return {
            f"build {self.vectors:,}": self.build_s,
            "ids and matcher, in memory": float(np.median(self.rebuild_s)),
            f"add {self.changes:,}": self.add_s,
            f"delete {self.changes:,}": self.delete_s,
            f"search {self.queries:,}": self.search_s,
            f"search {self.queries:,}, fresh": self.fresh_s,
            "load": float(np.median(self.load_s)),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per step."""
        return [{"step": name, "seconds": round(s, 4)} for name, s in self.steps().items()]


def incremental(
    vectors: int = 100_000, dimension: int = 512, changes: int = 1000, *, loads: int = 5
) -> Incremental:
    """Build a collection, change it, search it, load it, and compare with a matcher built afresh.

    Parameters
    ----------
    vectors, dimension : int
        Of the collection.
    changes : int
        Vectors added, then deleted, and queries.
    loads : int
        Times that it is opened; a rebuild in memory is timed in turn with it.
    """
    x = unit_vectors(vectors + changes, dimension)
    noise = unit_vectors(changes, dimension, 1)
    queries = (x[:changes] + 0.5 * noise).astype(np.float32)
    Matcher(x[:1000], "cosine").search(queries[:changes], 10)  # compile
    with ScratchFolder(prefix="fl-index-") as name:
        place, seconds = Path(name) / "c", {}
        c = Collection.create(place, dimension=dimension)
        ids = _timed(seconds, "build", lambda: c.add(x[:vectors]))
        ids += _timed(seconds, "add", lambda: c.add(x[vectors:]))
        gone = ids[vectors // 2 : vectors // 2 + changes]
        _timed(seconds, "delete", lambda: c.delete(gone))
        segments = c.status().segments
        c.search(queries, 10)
        found = _timed(seconds, "search", lambda: c.search(queries, 10))
        keep = np.r_[: vectors // 2, vectors // 2 + changes : len(x)]
        fresh = Matcher(x[keep], "cosine")
        fresh.search(queries, 10)
        truth = _timed(seconds, "fresh", lambda: fresh.search(queries, 10))
        names = np.array(ids)[keep]
        c.close()

        def load() -> None:
            Collection.open(place, write=False).close()

        def rebuild() -> None:
            _ = [vector_id(row) for row in x[keep]], Matcher(x[keep], "cosine")

        took = interleave({"load": load, "rebuild": rebuild}, repeats=loads)
        with Collection.open(place, write=False) as again:
            loaded = again.search(queries, 10)
    cost = (seconds["build"], took["rebuild"], seconds["add"], seconds["delete"])
    cost = (*cost, seconds["search"], seconds["fresh"], took["load"])
    same = _same(found, names, truth), _same(loaded, names, truth)
    return Incremental(vectors, dimension, changes, len(queries), *cost, segments, *same)


def _timed(seconds: dict[str, float], name: str, call: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    value = call()
    seconds[name] = time.perf_counter() - started
    return value


def _same(found: Any, names: np.ndarray, truth: Any) -> bool:
    equal = np.array_equal(np.asarray(found.distances), truth.distances)
    return equal and found.ids == names[truth.ids].tolist()


@dataclass(frozen=True)
class Kill(Result):
    """Kills at one step of a write: how many, and after how many of them the collection was as it must be."""

    step: str
    kills: int
    good: int
    litter: int


def kills() -> list[Kill]:
    """Kill a writer with SIGKILL at each step of eleven calls, open again, and compare with what was acknowledged.

    Returns one row per step; `litter` counts files that were left over after the next writer opened.
    """
    with ScratchFolder(prefix="fl-kill-", dir=memory_folder()) as name:
        done = run(
            module_command("facelab.studies.index_crashes", name),
            capture_output=True,
            text=True,
            timeout=600,
        )
    if done.returncode:
        raise FacelabError(
            "the program that is killed failed by itself",
            got=done.stderr[-300:],
            fix="run it alone: python -m facelab.studies.index_crashes FOLDER",
        )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    table: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["step"] is not None:
            table.setdefault(row["step"], []).append(row)
    return [
        Kill(step, len(mine), sum(r["good"] for r in mine), sum(r["litter"] for r in mine))
        for step, mine in table.items()
    ]


@dataclass(frozen=True, eq=False)
class StoreTimes(Result):
    """Times of one store at one size: rows per second added, seconds per search and per change."""

    store: str
    vectors: int
    add_per_s: float
    search_s: np.ndarray
    upsert_s: np.ndarray
    worst_error: float

    def rows(self) -> list[dict[str, Any]]:
        """Return one row."""
        return [
            {
                "store": self.store,
                "vectors": self.vectors,
                "added per s": round(self.add_per_s),
                "search P50 [ms]": round(1e3 * float(np.median(self.search_s)), 2),
                "upsert P50 [ms]": round(1e3 * float(np.median(self.upsert_s)), 2),
                "worst error": self.worst_error,
            }
        ]


def compare_stores(
    sizes: list[int], *, dimension: int = 512, servers: bool = True, searches: int = 15
) -> tuple[list[StoreTimes], dict[str, str]]:
    """Return times of each store at each size, and why a store was left out.

    Parameters
    ----------
    sizes : list of int
        Vectors.
    dimension : int
    servers : bool
        Also PostgreSQL and Valkey, where they can be started.
    searches : int
        Searches of one query for ten neighbours, and changes of one vector, by all stores in turn.
    """
    rows: list[StoreTimes] = []
    with _stores(dimension, servers=servers) as (make, missing):
        for size in sizes:
            rows += _times(make(size), size, dimension, searches)
    return rows, missing


@contextlib.contextmanager
def _stores(
    dimension: int, *, servers: bool
) -> Iterator[tuple[Callable[[int], dict[str, VectorStore]], dict[str, str]]]:
    missing: dict[str, str] = {}
    pools: dict[str, Any] = {}
    kinds = {
        "PostgreSQL": (local_postgres, postgres_connections, PostgresStore),
        "Valkey": (local_valkey, valkey_clients, ValkeyStore),
    }
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(ScratchFolder(prefix="fl-stores-")))
        for name, (start, connect, _) in kinds.items():
            if not servers:
                missing[name] = "servers are switched off"
                continue
            try:
                address = stack.enter_context(start())
                pools[name] = stack.enter_context(connect(address, size=2, deadline_s=60))
            except UnsupportedError as e:
                missing[name] = f"{e.what}: {(e.got or '').splitlines()[-1][:100]}"

        def make(size: int) -> dict[str, VectorStore]:
            files = Collection.create(folder / f"c{size}", dimension=dimension)
            stack.callback(files.close)
            made: dict[str, VectorStore] = {"files": files}
            for name, pool in pools.items():
                made[name] = kinds[name][2](pool, f"c{size}", dimension=dimension)
            return made

        yield make, missing


def _times(
    stores: dict[str, VectorStore], size: int, dimension: int, searches: int
) -> list[StoreTimes]:
    x = unit_vectors(size, dimension)
    ids = [f"v{i}" for i in range(size)]
    queries = unit_vectors(searches + 2, dimension, 1)
    speeds = {}
    for name, store in stores.items():
        started = time.perf_counter()
        for first in range(0, size, 5000):
            store.upsert(x[first : first + 5000], ids[first : first + 5000])
        speeds[name] = size / (time.perf_counter() - started)
    turn = dict.fromkeys(stores, 0)

    def search(name: str) -> None:
        turn[name] += 1
        stores[name].search(queries[turn[name] % len(queries)][None], 10)

    def upsert(name: str) -> None:
        turn[name] += 1
        stores[name].upsert(x[turn[name] % size][None], [ids[turn[name] % size]])

    searched = interleave({n: _call(search, n) for n in stores}, repeats=searches, warmup=2)
    changed = interleave({n: _call(upsert, n) for n in stores}, repeats=searches)
    truth = Matcher(x, "cosine").search(queries, min(10, size))
    return [
        StoreTimes(
            name, size, speeds[name], searched[name], changed[name], _error(store, queries, truth)
        )
        for name, store in stores.items()
    ]


def _call(do: Callable[[str], None], name: str) -> Callable[[], None]:
    return lambda: do(name)


def _error(store: VectorStore, queries: np.ndarray, truth: Any) -> float:
    """Return the largest difference of a distance from facelab's own."""
    found = store.search(queries, truth.ids.shape[1])
    return float(np.abs(np.asarray(found.distances) - truth.distances).max())


def table(rows: list[Any]) -> Any:
    """Return results as one data frame."""
    import pandas as pd

    return pd.DataFrame([row for result in rows for row in result.rows()])
