"""Labels and the picture as it is shown: turned by EXIF, or a different size than the labels state."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError
from facelab.datasets.annotations._sizes import stored_size

SWAPPED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


def upright(
    boxes: np.ndarray, stated: tuple[int, int], picture: Path
) -> tuple[np.ndarray, tuple[int, int], str]:
    """Return a picture's labelled boxes as it is shown, its size as it is shown, and what was found.

    The answer's last part is `same` (the labels state the size as it is shown), `turned` (they state the stored size of
    a picture that EXIF turns by a quarter: the boxes are turned too), or `unsure` (EXIF turns or mirrors the picture
    and the size does not say which pixels were labelled: the boxes stay).

    Parameters
    ----------
    boxes : (n, 4) ndarray
        `xyxy` in pixels, as labelled.
    stated : tuple[int, int]
        Width and height that the labels state.
    picture : Path
        The picture's file; its pixels are not decoded.

    Raises
    ------
    BadInputError
        The picture has a different size than the labels state.
    """
    (width, height), orientation = stored_size(picture)
    shown = (height, width) if orientation in SWAPPED else (width, height)
    if orientation in SWAPPED and stated == (width, height) and width != height:
        return _turned(boxes, (width, height), orientation), shown, "turned"
    if stated != shown:
        raise BadInputError(
            "the labels state a different size than the picture has",
            where=picture,
            expected=f"{shown[0]}×{shown[1]}",
            got=f"{stated[0]}×{stated[1]}",
            fix="give the pictures that were labelled, or labels of these: boxes would be at other places",
        )
    return boxes, shown, "same" if orientation == 1 else "unsure"


def _turned(boxes: np.ndarray, stored: tuple[int, int], orientation: int) -> np.ndarray:
    """Return boxes of the stored pixels on the picture as it is shown.

    >>> _turned(np.array([[0., 0, 10, 5]]), (100, 50), 6).tolist()
    [[45.0, 0.0, 50.0, 10.0]]
    """
    w, h = stored
    x1, y1, x2, y2 = np.asarray(boxes, np.float64).reshape(-1, 4).T
    corners = {
        5: (y1, x1, y2, x2),
        6: (h - y2, x1, h - y1, x2),
        7: (h - y2, w - x2, h - y1, w - x1),
        8: (y1, w - x2, y2, w - x1),
    }[orientation]
    return np.stack(corners, axis=1)
