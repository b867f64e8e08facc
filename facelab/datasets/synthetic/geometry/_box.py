"""The box of a face on the sensor, from its mesh."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, kernel
from facelab.datasets.synthetic.geometry._raster import FACE_AZIMUTH, FACE_TOP, FAR, SUBPIXEL


@kernel
def face_box(grid: Record, screen: np.ndarray, paint: np.ndarray, box: Any) -> float:
    """Write the box (4,) xyxy of the face's vertices in working pixels; return the area of its cells turned to us."""
    x1, y1, x2, y2, area = float(FAR), float(FAR), -float(FAR), -float(FAR), 0.0
    for i in range(grid.rows):
        for j in range(grid.columns):
            k = grid.start + i * grid.columns + j
            if abs(paint[k, 2]) >= FACE_AZIMUTH or paint[k, 1] >= FACE_TOP:
                continue
            above = k - grid.columns
            if i > 0 and paint[above, 1] >= FACE_TOP:
                # the box ends between two rows
                share = (FACE_TOP - paint[k, 1]) / (paint[above, 1] - paint[k, 1])
                x = screen[k, 0] + share * (screen[above, 0] - screen[k, 0])
                y = screen[k, 1] + share * (screen[above, 1] - screen[k, 1])
                x1, x2, y1, y2 = min(x1, x), max(x2, x), min(y1, y), max(y2, y)
            x1, x2 = min(x1, screen[k, 0]), max(x2, screen[k, 0])
            y1, y2 = min(y1, screen[k, 1]), max(y2, screen[k, 1])
            if i + 1 == grid.rows or j + 1 == grid.columns:
                continue
            right, below = k + 1, k + grid.columns
            d = below + 1
            if abs(paint[d, 2]) < FACE_AZIMUTH and paint[d, 1] < FACE_TOP:
                down_x, down_y = screen[d, 0] - screen[k, 0], screen[d, 1] - screen[k, 1]
                up_x = screen[right, 0] - screen[below, 0]
                up_y = screen[right, 1] - screen[below, 1]
                area += max(0.0, -0.5 * (1.0 * down_x * up_y - 1.0 * down_y * up_x))
    box[0], box[1], box[2], box[3] = x1 / SUBPIXEL, y1 / SUBPIXEL, x2 / SUBPIXEL, y2 / SUBPIXEL
    return area / (SUBPIXEL * SUBPIXEL)
