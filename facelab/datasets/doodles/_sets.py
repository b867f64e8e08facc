"""Sets of synthetic drawings: every drawing depends on the seed and its number only."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from facelab.core.errors import BadInputError
from facelab.datasets.doodles._drawing import Pen, coloured, draw, plain_pen, random_pen
from facelab.datasets.doodles._hand import Strokes, by_hand
from facelab.datasets.doodles._hearts import HEARTS
from facelab.datasets.doodles._others import OTHERS

CLASSES = ("heart", "other")
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
_SIGNS = string.ascii_letters + string.digits + "?!&@#%$+=*<>{}[]()/"


@dataclass(frozen=True)
class Drawings:
    """Synthetic drawings, made when asked for: `n` of them by `seed`, `hearts` and `plain` are shares."""

    n: int
    seed: int
    hearts: float = 0.5
    plain: float = 0.0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, k: int) -> tuple[np.ndarray, int, str]:
        """Return drawing `k`: its picture (height, width, 3) uint8 RGB, its class's index, and its kind."""
        if not 0 <= k < self.n:
            raise IndexError(k)
        rng = np.random.default_rng([self.seed, k])
        pen = plain_pen(rng) if rng.random() < self.plain else random_pen(rng)
        if rng.random() < self.hearts:
            label, (kind, strokes) = 0, _pick(HEARTS, rng)
        else:
            label, (kind, strokes) = 1, _pick(OTHERS, rng)
        if strokes is None:
            return _letter(pen, rng), label, "letter"
        return draw(by_hand(strokes, rng), pen, seed=k), label, kind

    def __iter__(self) -> Iterator[tuple[np.ndarray, int, str]]:
        return (self[k] for k in range(self.n))


def synthetic(n: int, *, seed: int = 0, hearts: float = 0.5, plain: float = 0.0) -> Drawings:
    """Return `n` synthetic drawings, as a sequence that draws them one by one.

    Parameters
    ----------
    n : int
        How many drawings.
    seed : int
        The same seed and number give the same picture, on any machine with the same versions.
    hearts : float
        Share of hearts, 0 to 1.
    plain : float
        Share of drawings in black on a small white sheet, which are fast to draw; others have any pen and paper.

    Examples
    --------
    >>> picture, label, kind = synthetic(3, seed=1)[0]
    >>> picture.dtype, CLASSES[label] in ("heart", "other")
    (dtype('uint8'), True)

    Raises
    ------
    BadInputError
        `n` is below 1 or `hearts` is not a share.
    """
    if n < 1 or not 0 <= hearts <= 1 or not 0 <= plain <= 1:
        raise BadInputError(
            "a number of the set of drawings is out of range",
            expected="n of at least 1, hearts and plain from 0 to 1",
            got=f"n={n}, hearts={hearts}, plain={plain}",
            fix="correct the numbers",
        )
    return Drawings(n, seed, hearts, plain)


def _pick(table: dict, rng: np.random.Generator) -> tuple[str, Strokes | None]:
    at = rng.random()
    for name, (make, share) in table.items():
        at -= share
        if at < 0:
            return name, make(rng)
    return "letter", None


def _letter(pen: Pen, rng: np.random.Generator) -> np.ndarray:
    """Return a picture of a letter, digit or sign, slanted and bent as by hand."""
    sign = _SIGNS[int(rng.integers(len(_SIGNS)))]
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    ink = np.zeros((160, 160), np.uint8)
    thick = int(rng.integers(1, 7))
    (w, h), _ = cv2.getTextSize(sign, font, 3.0, thick)
    cv2.putText(ink, sign, (80 - w // 2, 80 + h // 2), font, 3.0, 255, thick, cv2.LINE_AA)
    ys, xs = np.mgrid[:160, :160].astype(np.float32)
    bend = cv2.resize(rng.normal(0, 4, (5, 5, 2)).astype(np.float32), (160, 160))
    slant = np.float32(rng.normal(0, 0.2))
    ink = cv2.remap(ink, xs + bend[..., 0] + slant * (ys - 80), ys + bend[..., 1], cv2.INTER_LINEAR)
    side = min(pen.size)
    small = cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA)
    share = np.zeros((pen.size[1], pen.size[0]), np.uint8)
    share[:side, :side] = small
    return coloured(share, pen, 0)
