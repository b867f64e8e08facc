"""Strokes as a picture: any size, pen, colours, and where on the sheet."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facelab.core.errors import BadInputError
from facelab.datasets.doodles._hand import Strokes

FILLED = 0.08
"""Share of drawings that people fill with ink."""


@dataclass(frozen=True)
class Pen:
    """How strokes become pixels.

    Parameters
    ----------
    size : (int, int)
        Width and height of the picture.
    width : float
        Width of the line in pixels.
    ink, paper : (int, int, int)
        RGB colours; light ink on dark paper is fine.
    box : (float, float, float)
        Left and upper edge of the drawing and its longer side, as shares of the picture's shorter side.
    noise : float
        Deviation of the pixels' noise in levels.
    filled : bool
        Whether each stroke encloses an area of ink.
    """

    size: tuple[int, int] = (128, 128)
    width: float = 3.0
    ink: tuple[int, int, int] = (0, 0, 0)
    paper: tuple[int, int, int] = (255, 255, 255)
    box: tuple[float, float, float] = (0.12, 0.12, 0.76)
    noise: float = 0.0
    filled: bool = False


def _line(rng: np.random.Generator) -> float:
    """Return a line's width as a share of the drawing's longer side: a hair to a felt pen, rarely a brush."""
    return float(rng.uniform(0.09, 0.2) if rng.random() < 0.1 else rng.uniform(0.008, 0.09))


def plain_pen(rng: np.random.Generator) -> Pen:
    """Return a black pen on a white sheet that the drawing nearly fills: fast to draw, for training."""
    side = int(rng.integers(40, 112))
    line = max(1.0, 0.8 * side * _line(rng))
    return Pen((side, side), line, box=(0.1, 0.1, 0.8), filled=rng.random() < FILLED)


def random_pen(rng: np.random.Generator) -> Pen:
    """Return a pen as people and programs have them: sheets of 28 to 256 pixels, thin to thick, either polarity."""
    width, height = (int(v) for v in np.exp(rng.uniform(np.log(28), np.log(256), 2)))
    if rng.random() < 0.6:
        height = width
    side = min(width, height)
    long = rng.uniform(0.45, 0.95)
    left, upper = (rng.uniform(0, max(0.0, v / side - long)) for v in (width, height))
    line = max(1.0, long * side * _line(rng))
    dark, light = rng.integers(0, 90, 3), rng.integers(170, 256, 3)
    if rng.random() < 0.5:
        dark, light = np.zeros(3, int), np.full(3, 255)
    ink, paper = (light, dark) if rng.random() < 0.4 else (dark, light)
    noise = rng.uniform(0, 6) if rng.random() < 0.3 else 0.0
    box = (left, upper, long)
    filled = rng.random() < FILLED
    return Pen((width, height), line, _colour(ink), _colour(paper), box, float(noise), filled)


def _colour(values: np.ndarray) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in values)
    return r, g, b


def draw(strokes: Strokes, pen: Pen | None = None, *, seed: int = 0) -> np.ndarray:
    """Return a picture of strokes, (height, width, 3) uint8 RGB.

    The drawing keeps its proportions: its longer side fills `pen.box`.

    Examples
    --------
    >>> line = [np.array([(0.0, 0.0), (1.0, 1.0)])]
    >>> draw(line, Pen(size=(40, 30))).shape
    (30, 40, 3)

    Raises
    ------
    BadInputError
        There is no stroke, or a coordinate is not finite.
    """
    pen = pen or Pen()
    points = [np.asarray(s, float).reshape(-1, 2) for s in strokes]
    points = [p for p in points if len(p)]
    if not points or not all(np.isfinite(p).all() for p in points):
        raise BadInputError(
            "the drawing has no strokes, or a point that is not a number",
            expected="strokes of finite (x, y)",
            got=f"{len(points)} strokes",
            fix="leave such drawings out",
        )
    every = np.concatenate(points)
    low, extent = every.min(axis=0), np.ptp(every, axis=0)
    side = min(pen.size)
    scale = pen.box[2] * side / max(float(extent.max()), 1e-9)
    shift = np.array(pen.box[:2]) * side + (pen.box[2] * side - extent * scale) / 2
    fine = 1 if pen.width >= 4 else 4 if max(pen.size) <= 128 else 2
    ink = np.zeros((pen.size[1] * fine, pen.size[0] * fine), np.uint8)
    if pen.filled:
        # strokes of one outline are joined, so that two halves enclose one area
        ring = _joined(points)
        at = ((ring - low) * scale + shift) * fine
        cv2.fillPoly(ink, [np.round(at * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    for p in points:
        at = ((p - low) * scale + shift) * fine
        whole = np.round(at * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(ink, [whole], False, 255, max(1, round(pen.width * fine)), cv2.LINE_AA, 4)
    share = ink if fine == 1 else cv2.resize(ink, pen.size, interpolation=cv2.INTER_AREA)
    return coloured(share, pen, seed)


def _joined(strokes: list[np.ndarray]) -> np.ndarray:
    """Return all points as one line: each stroke is turned so that it begins near the end of the one before."""
    out = [strokes[0]]
    for p in strokes[1:]:
        end = out[-1][-1]
        near = np.hypot(*(p[0] - end)) <= np.hypot(*(p[-1] - end))
        out.append(p if near else p[::-1])
    return np.concatenate(out)


def coloured(share: np.ndarray, pen: Pen, seed: int) -> np.ndarray:
    """Return the picture of an ink mask (height, width) uint8 in the pen's colours."""
    steps = np.linspace(0, 1, 256)[:, None]
    table = np.round(steps * np.array(pen.ink) + (1 - steps) * np.array(pen.paper)).astype(np.uint8)
    picture = table[share]
    if pen.noise:
        noise = np.random.default_rng(seed).normal(0, pen.noise, share.shape)[..., None]
        picture = np.clip(np.round(picture + noise), 0, 255).astype(np.uint8)
    return picture
