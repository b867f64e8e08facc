"""What a mismatch costs: both pipelines in front of the same model, on real images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.metrics.intervals import wilson

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclasses.dataclass
class Cost:
    """Outcome of `measure`. For a classifier `agreement` is the share of images with the same top-1 answer, for an
    embedder `cosine` the mean cosine of the two embeddings of an image and `agreement` None. Intervals are 95 %."""

    task: str
    n: int
    agreement: float | None
    lo: float | None
    hi: float | None
    flips: list[dict]
    cosine: float | None = None
    cosine_worst: float | None = None
    accuracy: dict | None = None
    tar: dict | None = None
    note: str = ""

    @property
    def severity(self) -> str:
        """At least 98 % agreement is benign, 95 to 98 % warns, below 95 % fails.

        For an embedder the share of images whose cosine stays above 0.95 stands for the agreement.
        """
        share = (
            self.agreement if self.agreement is not None else 1 - len(self.flips) / max(self.n, 1)
        )
        return "benign" if share >= 0.98 else "warn" if share >= 0.95 else "fail"

    def to_dict(self) -> dict:
        """Return the cost as plain JSON, with the severity it decides."""
        return {**dataclasses.asdict(self), "severity": self.severity}


def find_images(folder: str | Path) -> tuple[list[Path], list[str] | None]:
    """Return the image files below `folder`, sorted, and their labels: the subfolder's name, where all have one.

    Raises BadInputError if there is no image.
    """
    folder = Path(folder)
    files = (
        sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGES)
        if folder.is_dir()
        else []
    )
    if not files:
        raise BadInputError(
            "there is no image to measure the cost on",
            where=folder,
            expected="a folder of " + ", ".join(IMAGES),
            fix="give --images a folder of images",
        )
    labels = [p.relative_to(folder).parts[0] for p in files if p.parent != folder]
    return files, labels if len(labels) == len(files) and len(set(labels)) > 1 else None


def measure(
    train: Callable[[Path], np.ndarray],
    infer: Callable[[Path], np.ndarray],
    model: Callable[[np.ndarray], np.ndarray],
    images: Sequence[Path],
    *,
    labels: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    task: str | None = None,
    threshold: float | None = None,
) -> Cost:
    """Run both preprocessings in front of `model` on `images` and say what the second one changes.

    `train` and `infer` turn a path into the model's input; `model` returns one vector an image. `task` is `classify`
    or `embed`; without it, more than 64 numbers, or values that are not scores of `classes`, mean an embedding.
    `labels` are class names (for an embedder: identities); `classes` gives the order of the model's outputs.
    Raises BadInputError if a pipeline's result does not fit the model.
    """
    a, b = (np.stack([_vector(model, prepare, p) for p in images]) for prepare in (train, infer))
    task = task or ("embed" if a.shape[1] > 64 else "classify")
    if task == "embed":
        return _embedding(a, b, images, labels, threshold)
    return _classes(a, b, images, labels, classes)


def _vector(model: Any, prepare: Any, path: Path) -> np.ndarray:
    out = np.asarray(model(prepare(path)), dtype=np.float64).ravel()
    if out.size < 2 or not np.isfinite(out).all():
        raise BadInputError(
            "the model's answer is not a vector of finite scores",
            where=path,
            expected="at least two finite numbers",
            got=f"{out.size} numbers",
            fix="check the model and its input",
        )
    return out


def _classes(a: Any, b: Any, images: Any, labels: Any, classes: Any) -> Cost:
    top = a.argmax(axis=1), b.argmax(axis=1)
    same = top[0] == top[1]
    n, k = len(same), int(same.sum())
    names = (
        list(classes)
        if classes
        else (sorted(set(labels)) if labels and len(set(labels)) == a.shape[1] else None)
    )

    def name(i):
        return names[i] if names and i < len(names) else str(i)

    flips = [
        {
            "image": str(images[i]),
            "training": name(int(top[0][i])),
            "inference": name(int(top[1][i])),
        }
        for i in np.flatnonzero(~same)
    ]
    cost = Cost("classify", n, k / n, *wilson(k, n), flips)
    if labels and names and set(labels) <= set(names):
        truth = np.array([names.index(v) for v in labels])
        right = [t == truth for t in top]
        change = right[1].astype(float) - right[0].astype(float)
        lo, hi = _paired(change)
        cost.accuracy = {
            "training": float(right[0].mean()),
            "inference": float(right[1].mean()),
            "change": float(change.mean()),
            "lo": lo,
            "hi": hi,
        }
    elif labels:
        cost.note = (
            "accuracy not measured: the folders' names are not the model's classes (give --classes)"
        )
    return cost


def _paired(change: np.ndarray, seed: int = 0, rounds: int = 2000) -> tuple[float, float]:
    """Bootstrap interval of a mean paired difference."""
    rng = np.random.default_rng(seed)
    means = change[rng.integers(0, len(change), (rounds, len(change)))].mean(axis=1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def _embedding(a: Any, b: Any, images: Any, labels: Any, threshold: Any) -> Cost:
    a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
    cosine = (a * b).sum(axis=1)
    flips = [
        {"image": str(images[i]), "cosine": round(float(cosine[i]), 4)}
        for i in np.flatnonzero(cosine < 0.95)
    ]
    lo, hi = _paired(cosine)
    cost = Cost("embed", len(a), None, lo, hi, flips, float(cosine.mean()), float(cosine.min()))
    if labels:
        cost.tar = _tar(a, b, np.array(labels), threshold)
        if cost.tar is None:
            cost.note = "TAR not measured: needs identities with at least two images each, and two identities"
    return cost


def _tar(a: Any, b: Any, labels: Any, threshold: Any) -> dict | None:
    """TAR of both sides at one threshold: the given one, or training's at FAR 1 %. The gallery is training's."""
    i, j = np.triu_indices(len(labels), 1)
    genuine = labels[i] == labels[j]
    if not genuine.any() or genuine.all():
        return None
    before, after = (a[i] * a[j]).sum(axis=1), (b[i] * a[j]).sum(axis=1)
    if threshold is None:
        impostors = np.sort(before[~genuine])[::-1]
        threshold = float(impostors[min(int(0.01 * len(impostors)), len(impostors) - 1)])
    accepted = [x[genuine] > threshold for x in (before, after)]
    change = accepted[1].astype(float) - accepted[0].astype(float)
    lo, hi = _paired(change)
    return {
        "threshold": float(threshold),
        "training": float(accepted[0].mean()),
        "inference": float(accepted[1].mean()),
        "change": float(change.mean()),
        "lo": lo,
        "hi": hi,
        "genuine": int(genuine.sum()),
        "impostor": int((~genuine).sum()),
        "false_accepts": [float((x[~genuine] > threshold).mean()) for x in (before, after)],
    }
