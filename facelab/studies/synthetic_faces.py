"""The long calls of notebook 02: each draws its synthetic faces, measures on them, and returns figures only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facelab.core.hashing import sha256_array
from facelab.datasets import synthetic
from facelab.studies import synthetic_evidence
from facelab.studies.synthetic_evidence import CellScore, Learned


def people_by_emotion(seed: int, people: Sequence[int]) -> dict[str, list[np.ndarray]]:
    """Return pictures (160, 160, 3) of people by their index in the set: one of each emotion, all else equal."""
    emotions = synthetic.EMOTIONS
    rows = {}
    for n, index in enumerate(people, 1):
        face = synthetic.sample(seed, index).identity
        drawn = synthetic.vary(seed, 0, "emotion", emotions, identity=face, intensity=0.9)
        rows[f"person {n}"] = [s.image for s in drawn]
    return rows


def people_by_factor(
    seed: int, steps: Mapping[str, Sequence], **fixed: Any
) -> dict[str, list[np.ndarray]]:
    """Return pictures (160, 160, 3) of one person for each factor: one per value in `steps`, all else `fixed`."""
    drawn = {
        name: synthetic.vary(seed, 12, name, values, **fixed) for name, values in steps.items()
    }
    return {name: [s.image for s in samples] for name, samples in drawn.items()}


def hard_variants(seed: int, people: int) -> dict[str, list[np.ndarray]]:
    """Return pictures (120, 120, 3) of people: an anchor, then one for each of `synthetic.HARD_FACTORS`."""
    size = 1 + len(synthetic.HARD_FACTORS)
    rows = {}
    for n in range(people):
        indices = range(40 + size * n, 40 + size * (n + 1))
        drawn = [synthetic.sample(seed, k, "verification", 120) for k in indices]
        rows[f"person {n + 1}"] = [s.image for s in drawn]
    return rows


def spoofs_by_kind(seed: int, each: int = 4) -> dict[str, list[np.ndarray]]:
    """Return at most `each` pictures of live faces, flat prints, bent prints and screens."""
    rows: dict[str, list[np.ndarray]] = {
        kind: [] for kind in ("live", "print_flat", "print_bent", "screen")
    }
    for k in range(24):
        drawn = synthetic.sample(seed, k, "liveness")
        kind = str(drawn.recipe.tags["kind"])
        if kind in rows and len(rows[kind]) < each:
            rows[kind].append(drawn.image)
    return rows


def detector_scores(
    names: Sequence[str],
    *,
    everywhere: Sequence[str],
    faces: int,
    scenes: int,
    scene_seeds: int = 1,
    seed: int,
    workers: int,
) -> list[CellScore]:
    """Draw `faces` pictures of each pose and size and `scenes` scenes, and score each detector (see `score_all`).

    Scenes are drawn from `scene_seeds` seeds, from `seed` on: fifty of one seed hold one to three false alarms, by
    chance. Detectors that are not in `everywhere` are slow, and see the first seed's.
    """
    cells = synthetic_evidence.detection_cells(faces, seed, workers, synthetic_evidence.CELLS[:-1])
    cells["scenes"] = [
        picture
        for k in range(scene_seeds)
        for picture in synthetic_evidence.detection_cells(scenes, seed + k, workers, ["scenes"])[
            "scenes"
        ]
    ]
    return synthetic_evidence.score_all(names, cells, everywhere=everywhere, few=scenes)


def identities(
    names: Sequence[str], *, pairs: int, hard: int, seed: int, workers: int
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, dict[str, float]]]:
    """Return ({embedder: similarity (2·pairs,)}, same (2·pairs,), {embedder: {hard factor: AUC}})."""
    from facelab import embedding

    a, b, same = synthetic_evidence.identity_pairs(pairs, seed, workers=workers)
    factors = synthetic_evidence.hard_factor_pairs(hard, seed, workers=workers)
    embedders = {name: embedding.load(name) for name in names}
    return (
        {name: synthetic_evidence.similarities(e, a, b) for name, e in embedders.items()},
        same,
        {name: synthetic_evidence.hard_factor_auc(e, factors) for name, e in embedders.items()},
    )


def emotion_answers(n: int, *, seed: int, workers: int) -> dict[str, Any] | None:
    """Return what the public emotion network makes of n drawn faces; None where the network is not here.

    `agreement` as in `emotion_agreement`, `confusion` (7, 7) counts.
    """
    network = synthetic_evidence.emotion_network()
    if network is None:
        return None
    faces = synthetic.generate("emotion", n, seed, workers)
    answers = network(
        synthetic_evidence.emotion_crops(
            faces, margin=synthetic_evidence.NETWORK_MARGIN, antialias=False
        )
    )
    return {
        "agreement": synthetic_evidence.emotion_agreement(
            answers, synthetic_evidence.FER_NAMES, faces.emotion
        ),
        "confusion": synthetic_evidence.emotion_confusion(answers, faces.emotion),
    }


def learned(n: int, *, seed: int, workers: int, epochs: int) -> tuple[dict[str, Learned], int]:
    """Train two classifiers on n drawn faces of three classes; return what they do on unseen people, and on how many
    faces they were trained."""
    classes = synthetic.generate("emotion", n, seed + 1, workers, 96, classes=3)
    known, unseen = classes.of("train"), classes.of("test")
    return {
        "linear on raw pixels": synthetic_evidence.linear_on_pixels(known, unseen),
        "small CNN": synthetic_evidence.small_cnn(known, unseen, epochs=epochs),
    }, len(known)


def same_bytes_for_any_workers(seed: int, n: int = 12) -> bool:
    """Return whether one process and two draw the same `n` faces, byte for byte."""
    one, two = (synthetic.generate("emotion", n, seed, workers, 64) for workers in (1, 2))
    return sha256_array(one.images) == sha256_array(two.images)
