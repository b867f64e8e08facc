"""How much memory a search of a gallery on disk needs, and what a million identities cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facelab.core import fresh
from facelab.core.errors import BadInputError
from facelab.core.safety.scratch import ScratchFolder
from facelab.matching import Matcher, open_vectors

if TYPE_CHECKING:
    import pandas as pd


def streamed_search(m: int, d: int, n: int, k: int, *, threads: int = 1) -> dict:
    """Search a memory-mapped gallery of m × d float32 written for the purpose, in its own process.

    Returns `gallery_mb`, `seconds` (preparing and searching, compiling left out) and `above_base_mb`, the peak of the
    process's memory above what it held before it opened the gallery.
    """
    with ScratchFolder() as folder:
        path, rng = Path(folder) / "gallery.npy", np.random.default_rng(0)
        rows = np.lib.format.open_memmap(path, "w+", np.float32, (m, d))
        for first in range(0, m, 50_000):
            rows[first : first + 50_000] = rng.standard_normal(
                (len(rows[first : first + 50_000]), d), dtype=np.float32
            )
        rows.flush()
        del rows
        answer = fresh.call(
            "facelab.studies.matching._streamed:search_own_rows",
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

    Screening holds int8 codes (padded to 64) and 28 bytes per row: four float32, one int32, one float64 norm.
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


def memory_table(dimensions: Sequence[int]) -> pd.DataFrame:
    """Return `memory_per_million` for several dimensions as a table."""
    import pandas as pd

    rows = [{"dimension": d, **row} for d in dimensions for row in memory_per_million(d)]
    return pd.DataFrame(rows)
