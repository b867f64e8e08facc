"""Notebook 08, question by question: one call per cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.machine import cores
from facelab.studies.matching._abandon import early_abandoning
from facelab.studies.matching._data import make_data
from facelab.studies.matching._disassembly import KERNELS, Listing, listing
from facelab.studies.matching._faiss_process import blas_of, core_seconds, fastest_core
from facelab.studies.matching._harness import search_benchmark
from facelab.studies.matching._roofline import Limits, pair_point, point
from facelab.studies.matching._rows import Row, as_record

if TYPE_CHECKING:
    import pandas as pd

PROOF = {
    "scalar": "== 0",
    "scalar-strict": "== 0",
    "scalar4": "== 0",
    "simd": ">= 4",
    "blocked": ">= 6",
    "blocked int8": ">= 6",
}
"""Kernel → what is promised of its packed instructions."""
LINES = ("facelab screened", "facelab exhaustive", "FAISS Flat")
"""Contenders whose searches are drawn under the roof."""


def blas_kernels() -> dict[str, dict[str, Any]]:
    """Return, per OPENBLAS_CORETYPE, the seconds of a FAISS search and the kernel taken; and numpy's own."""
    import importlib.util

    rows: dict[str, dict[str, Any]] = {"numpy, in this process": {"BLAS": blas_of("numpy")}}
    if importlib.util.find_spec("faiss") is None:
        return rows
    for core, (seconds, blas) in core_seconds().items():
        name = f"FAISS, {core or 'its own choice'}"
        rows[name] = {"BLAS": blas, "ms": round(seconds * 1e3, 1), "used": core == fastest_core()}
    return rows


def blas_table(kernels: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Return `blas_kernels` as a table."""
    import pandas as pd

    return pd.DataFrame.from_dict(kernels, orient="index")


def listings(run: Any) -> dict[str, Listing]:
    """Compile each pairwise kernel afresh and return what its machine code does."""
    return {name: run.long("code-" + name.replace(" ", "-"), listing, name) for name in KERNELS}


def inner_loops(found: dict[str, Listing], lines: int = 16) -> str:
    """Return the beginning of each kernel's hottest loop."""
    return "\n".join(
        f"--- {name}\n" + "\n".join(x.inner_loop.splitlines()[:lines]) for name, x in found.items()
    )


def check_proof(run: Any, found: dict[str, Listing]) -> None:
    """Hold each kernel's packed instructions against `PROOF`."""
    for name, budget in PROOF.items():
        run.check(f"pairwise/{name}", "packed instructions", found[name].packed, budget)


def report_claims(run: Any, claims: Sequence[dict[str, Any]]) -> None:
    """Check the claims that have a budget and record the others."""
    for claim in claims:
        if claim["budget"]:
            run.check(**claim)
        else:
            run.record(**{name: value for name, value in claim.items() if name != "budget"})


def record_rows(run: Any, rows: Sequence[Row]) -> None:
    """Record every contender's time with its samples, error and machine."""
    given = ("run", "step", "samples", "schema", "at")
    for row in rows:
        made = vars(as_record(row, run=run.run, step=run.step))
        fields = {name: value for name, value in made.items() if name not in given}
        run.record(samples=row.samples, **fields)


def search_all(
    run: Any,
    dimensions: Sequence[int],
    gallery_sizes: Sequence[int],
    batches: Sequence[int],
    k: int,
    *,
    data: str,
    seed: int,
    **settings: Any,
) -> list[Row]:
    """Measure everybody at every shape; each gallery is a result that is kept."""
    rows: list[Row] = []
    for d in dimensions:
        for m in gallery_sizes:
            gallery, queries = make_data(data, m, max(batches), d, seed=seed)
            rows += run.long(
                f"search-{d}-{m}",
                search_benchmark,
                gallery,
                queries,
                k,
                data=data,
                batches=batches,
                **settings,
            )
    return rows


def search_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return milliseconds per search: one row per shape, one column per contender with the BLAS that it ran.

    A recall is given where an index is approximate; an empty cell was left out at that shape.
    """
    import pandas as pd

    table: dict[tuple[int, int, int], dict[tuple[str, str], str]] = {}
    for row in rows:
        shape = row.shape
        cell = f"{row.seconds * 1e3:.3g}"
        if row.recall is not None and not row.exact:
            cell += f" ({row.recall:.2f})"
        key = shape["dimension"], shape["gallery"], shape["queries"]
        table.setdefault(key, {})[row.name, row.blas] = cell + ("" if row.correct else " WRONG")
    frame = pd.DataFrame.from_dict(table, orient="index").fillna("")
    frame.index = pd.MultiIndex.from_tuples(table, names=["dimension", "gallery", "queries"])
    frame.columns = pd.MultiIndex.from_tuples(frame.columns, names=["milliseconds", "BLAS"])
    return frame


def search_with_all_cores(
    run: Any, gallery: np.ndarray, queries: np.ndarray, k: int, threads: int, **settings: Any
) -> list[Row]:
    """Measure one gallery with every core for everybody; nothing where one thread is all there is."""
    if cores() <= threads:
        return []
    name = "search-all-cores"
    return run.long(name, search_benchmark, gallery, queries, k, threads=cores(), **settings)


def photographs() -> np.ndarray | None:
    """Return embeddings of the mirror's labelled photographs, or None where models or pictures are missing."""
    from facelab import detection, embedding
    from facelab.studies.embedder_evaluation import real_pairs

    detectors = {e.name for e in detection.available()}
    embedders = {e.name for e in embedding.available()}
    if "yunet-n" not in detectors or "mobilefacenet" not in embedders:
        return None
    pictures = real_pairs(detection.load("yunet-n", max_side=640))
    if pictures is None:
        return None
    found = embedding.embed_faces(embedding.load("mobilefacenet"), pictures[0])
    vectors = np.stack(list(found.values()))
    return vectors[np.isfinite(vectors[:, 0])]


def search_photographs(run: Any, k: int, **settings: Any) -> list[Row]:
    """Search eight faces among the other photographs, by two metrics; nothing without a mirror."""
    vectors = photographs()
    if vectors is None:
        return []
    rows: list[Row] = []
    for metric in ("sqeuclidean", "cosine"):
        rows += run.long(
            f"photographs-{metric}",
            search_benchmark,
            vectors[8:],
            vectors[:8],
            k,
            metric=metric,
            data="photographs",
            **settings,
        )
    wrong = sum(not row.correct for row in rows)
    run.check("search/photographs", "wrong answers of exact searches", wrong, "== 0")
    return rows


def kernel_points(kernels: Sequence[Row], pairs: int, d: int, limits: Limits) -> dict[str, dict]:
    """Return where each pairwise kernel is under the roof."""
    return {row.name: pair_point(row.seconds, pairs, pairs, d, limits) for row in kernels}


def search_points(
    rows: Sequence[Row], limits: Limits, *, dimension: int, gallery: int
) -> dict[str, dict[int, dict]]:
    """Return, per contender of `LINES` and number of queries, where its search is under the roof."""
    lines: dict[str, dict[int, dict]] = {}
    for row in rows:
        shape = row.shape
        if row.name in LINES and (shape["gallery"], shape["dimension"]) == (gallery, dimension):
            item = 1 if "screened" in row.name else 4
            n = shape["queries"]
            at = point(row.seconds, n, gallery, dimension, limits, item_bytes=item)
            lines.setdefault(row.name, {})[n] = at
    return {name: lines[name] for name in LINES if name in lines}


def record_limits(
    run: Any, limits: Limits, pairs: dict[str, dict], searches: dict[str, dict[int, dict]]
) -> None:
    """Record the measured limits, and each point's share of the limit that bounds it."""
    read, sgemm = limits.samples["read"], limits.samples["sgemm"]
    run.record("limit/memory", "read", limits.read_bytes, unit="B/s", better="higher", samples=read)
    run.record(
        "limit/sgemm", "rate", limits.sgemm_flops, unit="FLOP/s", better="higher", samples=sgemm
    )
    named = dict(pairs)
    for name, line in searches.items():
        named |= {f"{name}, {n} queries": at for n, at in line.items()}
    for name, at in named.items():
        run.record(f"limit/{name}", "share of the float32 limit", at["share"], better="higher")


def scaling_panels(
    rows: Sequence[Row], sizes: Sequence[int], batches: Sequence[int], dimension: int
) -> dict[int, dict[str, list[float]]]:
    """Return, per number of queries, the seconds at each gallery size of those who were measured at all."""
    took = {
        (row.name, row.shape["queries"], row.shape["gallery"]): row.seconds
        for row in rows
        if row.shape["dimension"] == dimension
    }
    panels: dict[int, dict[str, list[float]]] = {}
    for n in batches:
        for name in dict.fromkeys(name for name, *_ in took):
            if all((name, n, m) in took for m in sizes):
                panels.setdefault(n, {})[name] = [took[name, n, m] for m in sizes]
    return panels


def abandoning(
    run: Any, gallery: np.ndarray, queries: np.ndarray, ks: Sequence[int], budget_s: float
) -> pd.DataFrame:
    """Measure early abandoning for each k, with and without principal axes; record its best case."""
    import pandas as pd

    found = [
        run.long(
            f"abandon-{k}-{turned}",
            early_abandoning,
            gallery,
            queries,
            k,
            turned=turned,
            budget_s=budget_s,
        )
        for k in ks
        for turned in (False, True)
    ]
    best = max(x["screened"] / x["abandoning"] for x in found)
    metric, note = "times as fast as screening", "below 1: it does not pay"
    run.record("abandon/best case", metric, best, better="higher", note=note)
    return pd.DataFrame(found)
