"""Sizes and boxes in whole pixels, by integer arithmetic: what a spec's stages make and what a diagnosis predicts."""

from __future__ import annotations

import math
from typing import Any


def round_half_up(x: float) -> int:
    """Return floor(x + 1/2)."""
    return math.floor(x + 0.5)


def whole_box(box: Any, rounding: str) -> tuple[int, int, int, int]:
    """Round a box (x1, y1, x2, y2) to whole pixels: `nearest` (half up), `floor` or `outward`.

    >>> whole_box((0.5, 1.2, 9.5, 9.2), "nearest"), whole_box((0.5, 1.2, 9.5, 9.2), "outward")
    ((1, 1, 10, 9), (0, 1, 10, 10))
    """
    x1, y1, x2, y2 = (float(v) for v in box)
    if rounding == "outward":
        return math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
    f = round_half_up if rounding == "nearest" else math.floor
    return f(x1), f(y1), f(x2), f(y2)


def fitted(
    size: tuple[int, int], target: tuple[int, int], mode: str, size_rounding: str | None
) -> tuple[int, int]:
    """Return the (width, height) of a picture of `size` after a resize, before a letterbox is padded.

    `mode` is `stretch`, `letterbox`, `inside` or `cover`; `size_rounding` (`floor`, `ceil` or `half_up`) is that of
    the free side. The ratio is compared and the free side computed in integers, so no machine rounds it differently.

    >>> fitted((640, 427), (320, 320), "inside", "floor"), fitted((640, 427), (320, 320), "cover", "floor")
    ((320, 213), (479, 320))
    """
    (w, h), (tw, th) = size, target
    if mode == "stretch":
        return tw, th
    by_width = (tw * h <= th * w) == (mode != "cover")
    top, bottom = (h * tw, w) if by_width else (w * th, h)
    free = {
        "floor": top // bottom,
        "ceil": -(-top // bottom),
        "half_up": (2 * top + bottom) // (2 * bottom),
    }
    assert size_rounding is not None, "a resize with a free side states its rounding"
    side = max(1, free[size_rounding])
    return (tw, side) if by_width else (side, th)
