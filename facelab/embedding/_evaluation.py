"""Evaluate an embedder on labelled pairs of photographs, from detection to threshold."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from facelab import detection
from facelab.core.result import Result
from facelab.detection import Detector
from facelab.embedding._base import Embedder
from facelab.embedding._pairs import (
    Faces,
    PairList,
    acquire,
    by_group,
    embed_faces,
    locate,
    mixed_order,
    pair_distances,
)
from facelab.metrics.verification_report import as_text as verification_text
from facelab.metrics.verification_report import evaluate as verification_figures


@dataclasses.dataclass(frozen=True)
class PairEvaluation(Result):
    """How well an embedder tells people apart on labelled pairs.

    Attributes
    ----------
    faces : Faces
        The face of each image, or None where none was found.
    pairs : PairList
        The pairs in the order of the folds.
    vectors : dict[str, ndarray]
        Raw embedding (dim,) float32 per image; NaN where no face was found.
    distance : (n,) float64 ndarray
        Squared L2 distance per pair; infinity where a face was not found.
    figures : dict
        The document `facelab.eval.embedder/1`.
    """

    faces: Faces
    pairs: PairList
    vectors: dict[str, np.ndarray]
    distance: np.ndarray
    figures: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the document `facelab.eval.embedder/1`."""
        return dict(self.figures)

    def __str__(self) -> str:
        return _text(self.figures)


def evaluate(
    embedder: Embedder,
    pairs: PairList,
    images: str | os.PathLike[str],
    *,
    detector: Detector | None = None,
    alignment: str | None = None,
    fars: Sequence[float] = (),
    replicates: int = 1000,
    seed: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = lambda items: items,
) -> PairEvaluation:
    """Evaluate an embedder on labelled pairs of photographs.

    Failures to find a face stay in: such a pair is never accepted.

    Parameters
    ----------
    embedder : Embedder
        From `load`.
    pairs : PairList
        From `read_pairs`.
    images : path
        The folder that the pairs' paths are relative to.
    detector : Detector, optional
        Finds the faces; by default `default_detector()`.
    alignment : str, optional
        What to report as the alignment; by default "as in the spec".
    fars : sequence of float
        False accept rates for TAR; one that the impostor pairs cannot support is refused.
    replicates, seed : int
        Of the bootstrap over identities.
    progress : callable
        Wraps the iterable of images, to show progress.

    Returns
    -------
    PairEvaluation
        Distances, vectors, and the figures with intervals.

    Raises
    ------
    BadInputError
        An image is missing, or a false accept rate is not supported.

    Examples
    --------
    >>> from facelab import detection, embedding
    >>> pairs = embedding.read_pairs("pairs.csv")
    >>> detector, embedder = detection.load("haar"), embedding.load("dlib-resnet")
    >>> found = evaluate(embedder, pairs, ".", detector=detector, replicates=50)
    >>> len(found.distance), found.faces.failures
    (20, [])
    """
    finder = detector or default_detector()
    faces = acquire(finder, locate(pairs, images), progress=progress)
    vectors = embed_faces(embedder, faces)
    order = mixed_order(pairs.same, seed)
    pairs = pairs if order is None else pairs.take(order)
    distance = pair_distances(embedder, vectors, pairs)
    figures = verification_figures(
        distance, pairs.same, pairs.first, pairs.second, fars=fars, replicates=replicates, seed=seed
    )
    figures |= {
        "schema": "facelab.eval.embedder/1",
        "model": embedder.describe(),
        "detector": finder.describe(),
        "align": alignment or "as in the spec",
        "shuffled": order is not None,
        "errors": faces.errors,
        "failures": faces.failures,
        "groups": by_group(distance, pairs, figures["threshold"]["squared_l2"]),
    }
    return PairEvaluation(faces, pairs, vectors, distance, figures)


def default_detector(threads: int | None = None) -> Detector:
    """Return yunet-n, which needs the mirror or a download, or else MTCNN, which comes with a dependency.

    YuNet finds faces up to about 300 pixels; portraits are larger, so images are shrunk to 640 first.

    Parameters
    ----------
    threads : int or None
        Threads of the runtime; None for all cores.

    Returns
    -------
    Detector
        Yunet-n, which needs the mirror or a download, or else MTCNN, which comes with a
        dependency.

    Examples
    --------
    >>> default_detector().name in ("yunet-n", "mtcnn")
    True
    """
    if any(e.name == "yunet-n" for e in detection.available()):
        return detection.load("yunet-n", threads=threads, max_side=640)
    return detection.load("mtcnn", threads=threads)


def _text(value: dict[str, Any]) -> str:
    rows = [
        f"{value['model']['name']} behind {value['detector']['name']}, alignment {value['align']}, "
        f"{len(value['failures'])} images without a face",
        verification_text(value),
    ]
    for g in value["groups"]:
        shares = ", ".join(
            f"{k.upper()} {'–' if g[k] is None else f'{g[k]:.3f}'}" for k in ("far", "frr")
        )
        rows.append(
            f"  {g['group']:<12} {g['pairs']:>5} pairs: accuracy {g['accuracy']:.4f}, {shares}"
        )
    return "\n".join(rows)
