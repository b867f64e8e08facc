"""From the hits of each shard to the hits of all: exact, since every shard's nearest are among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facelab.index._results import Hits
from facelab.matching import Metric


def merged(found: Sequence[Hits], metric: Metric, k: int | None) -> Hits:
    """Return the best k hits of each query over all shards, or all of them where k is None.

    Equal distances are in the order of the shards, and within a shard in the order of adding.
    """
    ids, distances, labels = [], [], []
    for q in range(len(found[0])):
        far = np.concatenate([np.asarray(h.distances[q], np.float32) for h in found])
        order = np.argsort(-far if metric is Metric.IP else far, kind="stable")[:k]
        names = [name for h in found for name in h.ids[q]]
        marks = [label for h in found for label in h.labels[q]]
        ids.append([names[i] for i in order])
        labels.append([marks[i] for i in order])
        distances.append(far[order])
    if k is None:
        return Hits(ids, distances, labels, str(metric))
    width = len(distances[0]) if distances else 0
    table = np.array(distances, np.float32).reshape(len(distances), width)
    return Hits(ids, table, labels, str(metric))
