"""Calibration is data: which images, how many, by which seed and spec, and that none of them is evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.hashing import sha256_json
from facelab.preprocess import PreprocessSpec
from facelab.quantization._rows import Tensors, tensors_hash

SCHEMA = "facelab.calibration/1"
LEAST = 20
"""Fewer images are refused: the measured agreement falls from 95 % with 200 images to 82 % with one."""


@dataclass(frozen=True)
class Samples:
    """Images as a model's float input.

    `tensors` float32 (n, …), without a batch axis, as the model's spec gives them (`Rows` where they are large);
    `hashes` the SHA-256 of each image's pixels; `labels` int64 (n,) into `classes`, or None; `names` where each image
    came from; `groups` the identities, or empty strings. `source` and `spec` are for the manifest.
    """

    tensors: Tensors
    hashes: tuple[str, ...]
    names: tuple[str, ...]
    spec: PreprocessSpec
    source: str
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tensors)

    def take(self, index: Sequence[int] | np.ndarray) -> Samples:
        """Return the samples at `index`, in that order."""
        index = np.asarray(index, np.int64)

        def pick(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[i] for i in index) if values else ()

        return Samples(
            self.tensors[index],
            pick(self.hashes),
            pick(self.names),
            self.spec,
            self.source,
            None if self.labels is None else self.labels[index],
            self.classes,
            pick(self.groups),
        )


def stratified(samples: Samples, n: int, *, seed: int) -> Samples:
    """Return `n` samples (all where there are fewer), as many of each class as its share allows, seeded.

    Without labels every sample has one chance.
    """
    rng = np.random.default_rng(seed)
    if n >= len(samples):
        return samples.take(rng.permutation(len(samples)))
    if samples.labels is None:
        return samples.take(rng.permutation(len(samples))[:n])
    queues = [
        rng.permutation(np.flatnonzero(samples.labels == k)) for k in np.unique(samples.labels)
    ]
    share = [len(q) / len(samples) for q in queues]
    taken = [0] * len(queues)
    chosen: list[int] = []
    while len(chosen) < n:
        # the class that is furthest below its share comes next, so every prefix is stratified too
        lack = [
            s * (len(chosen) + 1) - t if t < len(q) else -np.inf
            for s, t, q in zip(share, taken, queues)
        ]
        k = int(np.argmax(lack))
        chosen.append(int(queues[k][taken[k]]))
        taken[k] += 1
    return samples.take(chosen)


def halves(samples: Samples, *, seed: int) -> tuple[Samples, Samples]:
    """Return two disjoint halves of equal size, each stratified."""
    ordered = stratified(samples, len(samples) - 1 if len(samples) % 2 else len(samples), seed=seed)
    if ordered.labels is not None:
        ordered = ordered.take(np.argsort(ordered.labels, kind="stable"))
    return ordered.take(np.arange(0, len(ordered), 2)), ordered.take(np.arange(1, len(ordered), 2))


def check_enough(samples: Samples, *, least: int = LEAST) -> None:
    """Refuse a calibration set of fewer than `least` different images, or one that lacks a class of its labels."""
    different = len(set(samples.hashes))
    if different < least:
        raise BadInputError(
            "there are too few calibration images",
            where=samples.source,
            expected=f"at least {least} different images",
            got=different,
            fix="give more images, of the kind that the model will see",
        )
    if samples.labels is not None and len(samples.classes) > 1:
        absent = [c for k, c in enumerate(samples.classes) if not (samples.labels == k).any()]
        if absent:
            raise BadInputError(
                "the calibration set lacks a class",
                where=samples.source,
                expected=", ".join(samples.classes),
                got=f"none of {', '.join(absent)}",
                fix="add images of that class: its activations decide the ranges too",
            )


def check_disjoint(calibration: Samples, evaluation: Samples) -> None:
    """Refuse calibration images that are evaluated on, by content: such an evaluation flatters the model."""
    there = dict(zip(evaluation.hashes, evaluation.names))
    shared = [
        (name, there[h]) for h, name in zip(calibration.hashes, calibration.names) if h in there
    ]
    if shared:
        raise BadInputError(
            "the calibration set overlaps the evaluation set",
            where=" and ".join(shared[0]),
            expected="no image in both (by content hash)",
            got=f"{len(shared)} shared images",
            fix="remove them from one of the two",
        )


def manifest(samples: Samples, *, seed: int, offered: int) -> dict[str, Any]:
    """Return what a reader needs to repeat the calibration (`facelab.calibration/1`)."""
    counts = (
        {}
        if samples.labels is None
        else {c: int((samples.labels == k).sum()) for k, c in enumerate(samples.classes)}
    )
    return {
        "schema": SCHEMA,
        "source": samples.source,
        "count": len(samples),
        "offered": offered,
        "seed": seed,
        "classes": counts,
        "spec": samples.spec.name,
        "spec_hash": samples.spec.hash,
        "tensors_hash": tensors_hash(samples.tensors),
        "hash": sha256_json(sorted(samples.hashes)),
        "images": [{"name": n, "sha256": h} for n, h in zip(samples.names, samples.hashes)],
    }
