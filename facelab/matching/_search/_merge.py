"""Sorted lists of several threads, blocks or machines become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def merge(
    parts: Sequence[tuple[NDArray[np.float32], NDArray[np.int64]]], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the k best (keys, ids) of several sorted lists per query, ties by the lower id."""
    if len(parts) == 1:
        keys, ids = parts[0]
        return keys[:, :k], ids[:, :k]
    keys = np.concatenate([keys for keys, _ in parts], axis=1)
    ids = np.concatenate([ids for _, ids in parts], axis=1)
    order = np.lexsort((ids, keys), axis=1)[:, :k]
    return np.take_along_axis(keys, order, axis=1), np.take_along_axis(ids, order, axis=1)
