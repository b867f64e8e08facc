"""The data of the benchmark, and the judge of every answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.matching import open_vectors
from facelab.matching.internals import oracle

PIECE = 2048
"""Rows that are made or normalised at a time."""
TIE = 2e-6
"""Float64 distances closer than this (relative to the larger of the distance and 1 of unit vectors) are a float32
tie: peers that compute in float32 may order them either way. 2e-6 is some thirty float32 roundings."""


def make_data(kind: str, m: int, n: int, d: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (gallery, queries) float32: "unit" random unit vectors, "identities" clusters of ~5 images per person.

    Queries of "identities" are further images of people in the gallery: within-identity cosine about 0.6, as face
    embeddings have, between identities about 0.
    """
    rng = np.random.default_rng(seed)
    if kind == "unit":
        x = rng.standard_normal((m + n, d), dtype=np.float32)
    elif kind == "identities":
        people = rng.standard_normal((max(1, m // 5), d), dtype=np.float32)
        who = np.concatenate([rng.integers(0, len(people), m), rng.integers(0, len(people), n)])
        x = np.empty((m + n, d), np.float32)
        for rows in _pieces(m + n):
            noise = rng.standard_normal((len(x[rows]), d), dtype=np.float32)
            np.add(people[who[rows]], np.float32(0.8) * noise, out=x[rows])
    else:
        raise BadInputError(
            f"there is no synthetic data {kind!r}",
            expected="unit, identities",
            fix='use data="identities", which is clustered as face embeddings are',
        )
    for rows in _pieces(m + n):
        x[rows] /= np.linalg.norm(x[rows], axis=1, keepdims=True)
    return x[:m], x[m:]


def _pieces(n: int) -> Iterator[slice]:
    """Return slices of few rows: their temporary arrays stay in the caches, and a large gallery is held once."""
    return (slice(i, i + PIECE) for i in range(0, n, PIECE))


def split_embeddings(path: str | Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (gallery, queries) from a .npy of float32 embeddings: its last n rows are the queries."""
    x = np.array(open_vectors(path, "the embeddings"))
    if x.dtype != np.float32 or len(x) <= n:
        raise BadInputError(
            "these embeddings cannot be measured",
            where=path,
            got=f"{x.dtype}, {len(x)} rows",
            expected=f"float32, more than {n} rows",
            fix="convert them by astype(np.float32), or ask for fewer queries",
        )
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise BadInputError(
            "there is a NaN or an infinity in the embeddings",
            where=f"{path}, row {row}",
            fix="drop that vector",
        )
    return x[:-n], x[-n:]


def judge(
    ids: Any, truth: np.ndarray, queries: np.ndarray, gallery: np.ndarray, metric: str
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
