"""Pictures of searches that went wrong: the probe beside whom it found and whom it should have found."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from facelab.core.files import write_bytes
from facelab.core.png import encode_png
from facelab.embedding._people import Search
from facelab.preprocess.image import read_image

SIDE = 160
MOST = 100


def write_searches(search: Search, folder: str | os.PathLike[str]) -> list[dict[str, object]]:
    """Write a PNG for each search by an enrolled person that did not find them first: probe, found, own enrolled.

    Of searches by strangers the ones with the highest scores are written (probe, found). At most 100 pictures.
    Returns a record for each: `file`, `probe`, `found`, `score` (cosine), `rank` (0 for a stranger).

    Parameters
    ----------
    search : Search
        What was searched and found.
    folder : str or path
        A folder.

    Returns
    -------
    list of dict[str, object]
        The paths of the pictures.
    """
    out, result = Path(folder), search.result
    out.mkdir(parents=True, exist_ok=True)
    owners = {p.parent.name: p for p in reversed(search.enrolled)}
    wrong = [i for i, r in enumerate(result.place) if r > 1]
    strangers = [i for i, (r, b) in enumerate(zip(result.place, result.best)) if r == 0 and b >= 0]
    strangers.sort(key=lambda i: -result.score[i])
    records: list[dict[str, object]] = []
    for i in (wrong + strangers[: max(MOST - len(wrong), 0)])[:MOST]:
        probe, found = search.searched[i], search.enrolled[int(result.best[i])]
        rank = int(result.place[i])
        shown = [
            probe,
            found,
            *([owners[probe.parent.name]] if rank > 1 and probe.parent.name in owners else []),
        ]
        name = f"{'miss' if rank > 1 else 'stranger'}_{len(records):03d}.png"
        write_bytes(out / name, encode_png(np.concatenate([_square(p) for p in shown], axis=1)))
        records.append(
            {
                "file": name,
                "probe": str(probe),
                "found": str(found),
                "score": float(result.score[i]),
                "rank": rank,
            }
        )
    return records


def _square(path: Path) -> np.ndarray:
    """Return a picture on a square of 160 pixels, gray where it does not cover it."""
    import cv2

    image = read_image(path)
    ratio = (SIDE - 4) / max(image.shape[:2])
    size = max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    canvas = np.full((SIDE, SIDE, 3), 235, np.uint8)
    y, x = (SIDE - small.shape[0]) // 2, (SIDE - small.shape[1]) // 2
    canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
    return canvas
