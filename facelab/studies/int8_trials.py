"""What calibration does to a model: its size, which images, and a normalisation that is not the model's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.metrics.classification import agreement
from facelab.quantization import Session
from facelab.quantization import calibration as cal
from facelab.quantization.calibration import Samples
from facelab.quantization.internals import measure
from facelab.quantization.recipes import Recipe

SIZES = (1, 20, 200)


def sizes(
    session: Session,
    recipe: Recipe,
    pool: Samples,
    *,
    counts: Sequence[int] = SIZES,
    seeds: Sequence[int] = (0, 1, 2),
) -> list[dict[str, Any]]:
    """Quantise after calibration on 1, 20, 200 … images of `pool`, each with several seeds.

    Returns rows with `count`, `seed`, the variant's quality and verdict. The whole pool stands for counts above it.
    """
    rows = []
    for count in sorted({min(c, len(pool)) for c in counts}):
        for seed in seeds:
            samples = cal.stratified(pool, count, seed=seed)
            rows.append(
                {
                    "count": count,
                    "seed": seed,
                    **_trial(session, recipe, samples, f"n{count}-{seed}"),
                }
            )
    return rows


def stability(session: Session, recipe: Recipe, pool: Samples, *, seed: int = 0) -> dict[str, Any]:
    """Quantise on two disjoint halves of the calibration pool and compare the two models with each other.

    Returns the quality of both, and between them: top-1 agreement (classifiers), mean and worst cosine, and the
    largest difference of an output.
    """
    found, rows = [], []
    for k, half in enumerate(cal.halves(pool, seed=seed)):
        path = session.make(recipe, name=f"half{k}", calibrate=half)
        found.append(measure.outputs(path, session.subject.spec, session.evaluation.tensors))
        rows.append({"count": len(half), **session.row(path)})
        path.unlink()
    c = measure.cosines(*found)
    same = (
        agreement(found[0].argmax(1), found[1].argmax(1)).as_dict() if session.classifier else None
    )
    return {
        "halves": rows,
        "agreement": same,
        "cosine": {"mean": float(c.mean()), "worst": float(c.min())},
        "largest_difference": float(np.abs(found[0] - found[1]).max()),
    }


MISTAKES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "raw 0–255 instead of −1…1": lambda x: x * 127.5 + 127.5,
    "0…1 instead of −1…1": lambda x: (x + 1) / 2,
    "normalised twice": lambda x: (x - 127.5) / 127.5,
}
"""Calibration inputs of a wrong normalisation, from those in −1…1 (the emotion models' own)."""


def wrong_normalisation(session: Session, recipe: Recipe, samples: Samples) -> list[dict[str, Any]]:
    """Calibrate on inputs that were normalised wrongly, evaluate on right ones; the right calibration comes first.

    Only for models whose input is −1…1. Raises BadInputError for others.
    """
    normalize = session.subject.spec.find("normalize")
    if (
        normalize is None
        or normalize.units != "0-255"
        or {*normalize.mean, *normalize.scale} != {127.5}
    ):
        raise BadInputError(
            "the mistakes are written for inputs in −1…1",
            where=session.subject.spec.name,
            expected="(x − 127.5) / 127.5",
            got=None if normalize is None else normalize.to_dict(),
            fix="take a model whose input is normalised to −1…1",
        )
    rows = [{"calibration": "right", **_trial(session, recipe, samples, "right")}]
    for k, (name, spoil) in enumerate(MISTAKES.items()):
        wrong = Samples(
            spoil(np.asarray(samples.tensors)).astype(np.float32),
            samples.hashes,
            samples.names,
            samples.spec,
            f"{samples.source}, {name}",
            samples.labels,
            samples.classes,
            samples.groups,
        )
        rows.append({"calibration": name, **_trial(session, recipe, wrong, f"wrong{k}")})
    return rows


def _trial(session: Session, recipe: Recipe, samples: Samples, name: str) -> dict[str, Any]:
    path = session.make(recipe, name=f"study-{name}", calibrate=samples)
    row = session.row(path)
    path.unlink()
    return row
