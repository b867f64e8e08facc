"""What each response costs: faces found and time, with the detector as it should be and with each fallback."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import FacelabError
from facelab.core.result import Result
from facelab.core.text_files import read_csv
from facelab.datasets import synthetic
from facelab.detection import Detector, load
from facelab.preprocess import read_image
from facelab.serving.workers._faces import LAST_SIDE, scaled_down
from facelab.zoo import mirror

Detect = Callable[[np.ndarray], int]
SCENES = 24


@dataclass(frozen=True)
class Losses(Result):
    """Per response: faces in all, the share that was counted, pictures with the exact number, and milliseconds."""

    source: str
    pictures: int
    faces: int
    table: tuple[dict[str, Any], ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per response; `lost` and `ms` are differences to the first one."""
        return list(self.table)


def at_scale(detector: Detector, scale: float = 1.0, longest: int | None = None) -> Detect:
    """Return a response: the detector at a share of the size, or at most at a longest side."""

    def run(image: np.ndarray) -> int:
        share = scale if longest is None else min(scale, longest / max(image.shape[:2]))
        return len(detector.detect(scaled_down(image, share)))

    return run


def measure(detector: str, *, pictures: int | None = None, seed: int = 7) -> Losses:
    """Count faces with a detector as it should be, at half the size, and with the Haar cascade.

    Parameters
    ----------
    detector : str
        The service's default.
    pictures : int or None
        At most this many pictures. They are the mirror's labelled photographs, else rendered scenes.
    seed : int
        Of rendered scenes.

    Returns
    -------
    Losses
        The costs of each way.

    Raises
    ------
    BadInputError
        The detector is not on this machine.
    """
    usual, last = load(detector, threads=1), load("haar")
    ways: dict[str, Detect] = {
        f"as it should be ({detector})": at_scale(usual),
        "overload (half the size)": at_scale(usual, 0.5),
        "workers_down (haar)": at_scale(last, longest=LAST_SIDE),
    }
    source, images, counts = _pictures(pictures, seed)
    rows = [_row(name, way, images, counts) for name, way in ways.items()]
    first = rows[0]
    for row in rows:
        row["lost"] = first["found"] - row["found"]
        row["ms_more"] = row["ms"] - first["ms"]
    return Losses(source, len(images), int(sum(counts)), tuple(rows))


def _row(
    name: str, way: Detect, images: Sequence[np.ndarray], counts: Sequence[int]
) -> dict[str, Any]:
    way(images[0])  # the first call loads and allocates
    found, seconds = [], []
    for image in images:
        started = time.perf_counter()
        found.append(way(image))
        seconds.append(time.perf_counter() - started)
    pairs = list(zip(found, counts))
    return {
        "response": name,
        "found": sum(min(f, c) for f, c in pairs) / max(1, sum(counts)),
        "too_many": sum(max(0, f - c) for f, c in pairs),
        "exact": sum(f == c for f, c in pairs),
        "ms": 1e3 * float(np.median(seconds)),
    }


def _pictures(most: int | None, seed: int) -> tuple[str, list[np.ndarray], list[int]]:
    table = mirror.labelled("detection.csv")
    if table is not None:
        rows = read_csv(table, "list of photographs", fix="repair the mirror")
        images, counts = [], []
        for row in rows[:most]:
            try:
                images.append(read_image(Path(table).parent / row["path"]))
            except FacelabError:
                continue
            counts.append(int(row["n_faces"]))
        if images:
            return f"{len(images)} labelled photographs", images, counts
    scenes = [synthetic.scene(3, seed * 1000 + k, (640, 480)) for k in range(most or SCENES)]
    images = [np.ascontiguousarray(s.image) for s in scenes]
    return f"{len(images)} rendered scenes", images, [len(s.faces) for s in scenes]
