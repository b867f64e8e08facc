"""What compiled paint works on: one visible point, the pose of the eyes, the clothes; records that are read by name.

A point has paint coordinates (`x`, `y` on the head, or u, v of a part; `theta` the azimuth), an albedo in linear
light, `gloss`, painted `occlusion` (1 = open), `eye` (share of eyeball) and that eyeball's normal in head coordinates.
"""

from __future__ import annotations

import numpy as np

from facelab.datasets.synthetic._compiled import Record, part

POINT = np.dtype(
    [
        (name, np.float64)
        for name in (
            *("x", "y", "ax", "side", "theta", "red", "green", "blue"),
            *("gloss", "occlusion", "eye", "eye_x", "eye_y"),
        )
    ]
)
LOOK = np.dtype([(name, np.float64) for name in ("gaze_x", "gaze_y", "pupil", "pixel", "mask")])
CLOTH = np.dtype([(name, np.float64) for name in ("red", "green", "blue", "neckline", "pattern")])


@part
def scale(p: Record, r: float, g: float, b: float) -> None:
    """Multiply a point's albedo."""
    p.red *= r
    p.green *= g
    p.blue *= b


@part
def mix(p: Record, share: float, r: float, g: float, b: float) -> None:
    """Cover a share of a point with a colour."""
    p.red += share * (r - p.red)
    p.green += share * (g - p.green)
    p.blue += share * (b - p.blue)
