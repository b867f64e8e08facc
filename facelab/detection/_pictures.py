"""Pictures with boxes: what was found, what was missed, and what is a false alarm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facelab.core.files import write_bytes
from facelab.core.png import encode_png
from facelab.detection._base import Detections
from facelab.detection._boxes import overlap
from facelab.detection._labels import Labels
from facelab.preprocess.image import read_image

if TYPE_CHECKING:
    from jaxtyping import Num, UInt8

FOUND, MISSED, ALARM, IGNORED = (0, 158, 115), (213, 94, 0), (204, 121, 167), (150, 150, 150)
"""Colours (RGB, distinct for most colour-blind people): found, missed, false alarm, ignored."""
LONGEST = 1280


def drawn(
    image: UInt8[np.ndarray, "h w 3"],
    boxes: Num[np.ndarray, "n 4"],
    colours: list[tuple[int, int, int]],
    *,
    longest: int = LONGEST,
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return an RGB picture, shrunk to `longest` pixels, with boxes (n, 4) `xyxy` drawn in `colours`.

    Parameters
    ----------
    image : ndarray
        A picture, (height, width, 3) uint8 RGB.
    boxes : ndarray
        Boxes (n, 4), x1 y1 x2 y2 in pixels.
    colours : list of tuple[int, int, int]
        One colour per box.
    longest : int
        The longest side of the picture, in pixels.

    Returns
    -------
    ndarray
        An RGB picture, shrunk to `longest` pixels, with boxes (n, 4) `xyxy` drawn in
        `colours`.

    Examples
    --------
    >>> import numpy as np
    >>> picture = drawn(np.zeros((50, 80, 3), np.uint8), np.array([[10, 10, 30, 40]]), [(255, 0, 0)])
    >>> picture.shape, int(picture[..., 0].max())
    ((50, 80, 3), 255)
    """
    import cv2

    ratio = min(1.0, longest / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio))
    out = image.copy() if ratio == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    out = np.ascontiguousarray(out)
    width = max(2, round(max(out.shape[:2]) / 400))
    for (x1, y1, x2, y2), colour in zip(np.asarray(boxes).reshape(-1, 4) * ratio, colours):
        start, end = (
            (round(float(np.clip(x, -1e6, 1e6))), round(float(np.clip(y, -1e6, 1e6))))
            for x, y in ((x1, y1), (x2, y2))
        )
        cv2.rectangle(out, start, end, colour, width)
    return out


def judged(
    found: Detections, labels: Labels, name: str, iou: float
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Return the boxes of a labelled picture with their colours: missed faces last, so that they lie on top."""
    truth = labels.boxes[name] if labels.boxes else np.zeros((0, 4))
    ignored = labels.ignored(name)
    table = overlap(truth, found.boxes)
    hit = table.max(axis=1, initial=0) >= iou
    counted = table[~ignored].max(axis=0, initial=0) >= iou
    skipped = table[ignored].max(axis=0, initial=0) >= iou
    colours = [FOUND if c else IGNORED if s else ALARM for c, s in zip(counted, skipped)]
    missed = truth[~hit & ~ignored]
    return np.concatenate([found.boxes, missed]), colours + [MISSED] * len(missed)


def write_pictures(
    found: dict[str, Detections],
    files: dict[str, Path],
    folder: str | os.PathLike[str],
    *,
    labels: Labels | None = None,
    iou: float = 0.5,
    most: int = 200,
) -> list[str]:
    """Write pictures with boxes as PNG; with labelled boxes only those with a miss or a false alarm.

    Found is green, missed orange, a false alarm purple, a detection on an ignored face gray. Returns the names.

    Parameters
    ----------
    found : dict[str, Detections]
        What a detector found.
    files : dict[str, path]
        Picture files.
    folder : str or path
        The folder to write to.
    labels : Labels or None
        The labelled boxes; None where there are none.
    iou : float
        The overlap from which a box counts as found.
    most : int
        At most this many.

    Returns
    -------
    list of str
        The paths of the pictures.
    """
    out = Path(folder)
    names: list[str] = []
    for name, detections in found.items():
        if len(names) == most:
            break
        if labels is not None and labels.boxes is not None:
            if name not in labels.boxes:
                continue
            boxes, colours = judged(detections, labels, name, iou)
            if not {MISSED, ALARM} & set(colours):
                continue
        else:
            boxes, colours = detections.boxes, [FOUND] * len(detections)
        stem = name.rsplit(".", 1)[0].replace("/", "__")
        if f"{stem}.png" in names:  # a/1.jpg beside a/1.png, or beside a__1.jpg
            stem = f"{stem}-{len(names)}"
        target = out / f"{stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, encode_png(drawn(read_image(files[name]), boxes, colours)))
        names.append(target.name)
    return names
