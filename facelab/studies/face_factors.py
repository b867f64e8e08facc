"""One factor at a time: synthetic faces on which size, yaw, blur, noise, light or occlusion is varied alone."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.machine import cores
from facelab.core.progress import track
from facelab.detection import Detector
from facelab.detection.internals import overlap

FACTORS: dict[str, tuple[str, tuple[float, ...]]] = {
    "size": ("height of the face [px]", (16, 24, 32, 48, 96)),
    "yaw": ("yaw [degrees]", (0, 25, 45, 60, 75)),
    "blur": ("defocus [px of a 160-px picture]", (0, 2, 4, 7, 10)),
    "noise": ("sensor noise [8-bit steps]", (0, 15, 30, 60, 90)),
    "light": ("exposure [share of normal]", (0.05, 0.1, 0.2, 0.4, 1.0)),
    "occlusion": ("face hidden from below [share]", (0, 0.2, 0.35, 0.5, 0.65)),
}
"""Factor → (axis label, values). At the easy end of each axis nothing is wrong."""
CANVAS = 320
STILL = {
    "yaw": 0.0,
    "pitch": 0.0,
    "roll": 0.0,
    "defocus": 0.0,
    "shake": 0.0,
    "sensor_noise": 0.0,
    "gain": 1.0,
    "offset": 0.0,
    "jpeg": None,
    "exposure": 1.0,
    "occluder": None,
    "mask": False,
    "eyewear": None,
    "resolution": None,
    "emotion": "neutral",
}
MATCH = 0.35
"""Overlap that counts as found: the synthetic box is the head's own, and detectors draw theirs by other rules."""


@dataclasses.dataclass(frozen=True)
class Shot:
    """One picture (320, 320, 3) uint8 of one face: its factor's value, its identity's index, box and landmarks."""

    value: float
    index: int
    image: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray


def shots(
    factor: str, faces: int, *, seed: int = 7, values: Sequence[float] | None = None
) -> list[Shot]:
    """Render `faces` people at every value of a factor, everything else still. Raises BadInputError."""
    if factor not in FACTORS:
        raise BadInputError(
            f"no factor is named {factor!r}{did_you_mean(factor, FACTORS)}",
            expected=", ".join(FACTORS),
            got=factor,
            fix="choose one of the factors",
        )
    values = FACTORS[factor][1] if values is None else values
    return [_shot(factor, float(v), seed, k) for k in range(faces) for v in values]


def _shot(factor: str, value: float, seed: int, index: int) -> Shot:
    from facelab.datasets.synthetic import Occluder, sample

    changed = {"yaw": "yaw", "blur": "defocus", "noise": "sensor_noise", "light": "exposure"}
    given = {**STILL, changed[factor]: value} if factor in changed else dict(STILL)
    made = sample(seed, index, set="verification", size=160, **given)
    if factor == "occlusion" and value > 0:
        x1, y1, x2, y2 = made.box / 160
        hidden = (y2 - y1) * value
        thing = Occluder(x=(x1 + x2) / 2, y=y2 - hidden / 2, width=(x2 - x1) * 1.15, height=hidden)
        made = sample(seed, index, set="verification", size=160, **{**given, "occluder": thing})
    height = value if factor == "size" else 96.0
    return _placed(made, height, value, index)


def _placed(made: Any, height: float, value: float, index: int) -> Shot:
    """Put the picture on a gray canvas, scaled so that the face is `height` pixels high."""
    import cv2

    side = max(8, round(160 * height / float(made.box[3] - made.box[1])))
    scale = side / 160
    image = cv2.resize(
        made.image, (side, side), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    canvas = np.full((CANVAS, CANVAS, 3), 118, np.uint8)
    low = (CANVAS - side) // 2
    canvas[low : low + side, low : low + side] = image
    # landmarks have pixel centres at whole numbers, boxes have edges there
    return Shot(
        value, index, canvas, made.box * scale + low, (made.landmarks + 0.5) * scale - 0.5 + low
    )


def _seconds(detector: Detector, image: np.ndarray) -> float:
    """Return about how long a detector takes for a picture: the second one, as the first may load what it needs."""
    detector.detect(image)
    started = time.perf_counter()
    detector.detect(image)
    return time.perf_counter() - started


def recall_curves(
    detectors: Mapping[str, Detector],
    factors: Iterable[str] = tuple(FACTORS),
    *,
    faces: int = 10,
    seed: int = 7,
) -> list[dict]:
    """Return a row for each detector, factor and value: recall with Wilson's interval, and false alarms an image.

    Every detector sees the same pictures. Detectors run beside each other, one on each core; none is timed here.
    """
    from facelab.metrics.intervals import wilson

    pictures = {factor: shots(factor, faces, seed=seed) for factor in factors}

    def answers(name: str) -> dict[str, list[np.ndarray]]:
        return {
            factor: [overlap(s.box[None], detectors[name].detect(s.image).boxes)[0] for s in made]
            for factor, made in pictures.items()
        }

    blank = np.full((CANVAS, CANVAS, 3), 118, np.uint8)
    names = sorted(detectors, key=lambda name: -_seconds(detectors[name], blank))
    with ThreadPoolExecutor(cores()) as pool:  # begun last, the slowest would run alone
        found = dict(zip(names, track(pool.map(answers, names), "detectors", len(names))))
    rows = []
    for factor, made in pictures.items():
        for name in detectors:
            tables = found[name][factor]
            for value in FACTORS[factor][1]:
                mine = [t for t, s in zip(tables, made) if s.value == value]
                hit = sum(bool(t.max(initial=0) >= MATCH) for t in mine)
                alarms = sum(int((t < MATCH).sum()) for t in mine)
                lo, hi = wilson(hit, len(mine))
                rows.append(
                    {
                        "name": name,
                        "factor": factor,
                        "value": value,
                        "share": hit / len(mine),
                        "lo": lo,
                        "hi": hi,
                        "n": len(mine),
                        "false_alarms": alarms / len(mine),
                    }
                )
    return rows
