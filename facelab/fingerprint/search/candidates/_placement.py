"""Where a black box may take its pictures from: the same pixels of each, the same shares of its sides, or where its
landmarks say.

A placement turns a vector of numbers into one similarity per picture, written (a, x, y, b): output positions are turned
and scaled by a + bi about the output's middle, which comes from (x, y).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from facelab.core.errors import BadInputError
from facelab.fingerprint.model._operations import Align, Warp, points_of
from facelab.fingerprint.model._planner import SWAPPED_LANDMARKS
from facelab.fingerprint.search.candidates._alignment import OTHER_LANDMARKS
from facelab.preprocess.align import invert, template, umeyama

ORDERS = {OTHER_LANDMARKS[name]: order for name, order in SWAPPED_LANDMARKS.items()}
"""Landmarks in another order, by what a finding calls it."""
AS_GIVEN = {"aligned to another template, or by other landmarks": (0, 1, 2, 3, 4)}
EYES_ALONE = {"aligned by the eyes alone, to other points": (0, 1, 2, 3, 4)}


class Pixels:
    """One similarity for every picture; its numbers are (a, x, y, b) themselves."""

    limits = (0.1, 8.0, 8.0, 0.1)
    """The longest step of each number in one round of refinement."""
    work = 175.0
    """Units of `budget.Budget` that a search takes."""
    scales = tuple(0.35 * 1.5**i for i in range(6))
    angles = (-40, -20, 0, 20, 40)

    def __init__(self, size: tuple[int, int]):
        self.size = size

    def similarity(
        self, p: np.ndarray, shape: tuple[int, int], landmarks: np.ndarray | None
    ) -> np.ndarray:
        """Return (a, x, y, b) for a picture of `shape` (height, width) with these landmarks."""
        return p

    def grid(self, shapes: list[tuple[int, int]]) -> Iterator[np.ndarray]:
        """Yield places to begin at, n × 4, those of one scale and angle together."""
        reach = [max(s[i] for s in shapes) for i in (1, 0)]
        for k in self.scales:
            step = max(5.0, k * self.size[0] / 7)
            # an output that shows much more than the pictures begins at their middle
            lines = (np.arange(step, r, step) if step < r else np.array([r / 2]) for r in reach)
            cx, cy = (c.ravel() for c in np.meshgrid(*lines))
            for angle in self.angles:
                a, b = k * math.cos(math.radians(angle)), k * math.sin(math.radians(angle))
                yield np.stack([np.full(len(cx), a), cx, cy, np.full(len(cx), b)], axis=1)

    def op(self, p: np.ndarray, kernel: str) -> Warp:
        """Return the step of a chain."""
        a, x, y, b = p
        mx, my = (self.size[0] - 1) / 2, (self.size[1] - 1) / 2
        back = a, -b, x - a * mx + b * my, b, a, y - b * mx - a * my
        return Warp(tuple(map(float, back)), self.size, kernel)

    def reordered(
        self, op: Warp, orders: Mapping[str, tuple[int, ...]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (words, numbers) of `op`'s similarity with its landmarks in other orders.

        Which landmarks it came from cannot be determined, but they lie close to what the template comes from.
        """
        points = template("arcface", self.size)
        back = np.reshape(op.back, (2, 3))
        found = points @ back[:, :2].T + back[:, 2]
        for words, order in orders.items():
            yield words, _about_middle(found[list(order)], points, self.size)


class Shares:
    """Five landmarks at fixed shares of the picture's width and height, aligned to a template.

    Its numbers are the ten shares and how far the ArcFace template is moved (x, y). Of these only nine combinations
    show; the others stay as they began.
    """

    limits = (0.04,) * 10 + (3.0,) * 2
    work = 75.0
    scales = tuple(0.35 * 1.35**i for i in range(6))

    def __init__(self, size: tuple[int, int]):
        self.size = size
        self.points = template("arcface", size)

    def similarity(
        self, p: np.ndarray, shape: tuple[int, int], landmarks: np.ndarray | None
    ) -> np.ndarray:
        """Return (a, x, y, b) for a picture of `shape` (height, width). Raises BadInputError where points coincide."""
        return _about_middle(
            p[:10].reshape(5, 2) * (shape[1], shape[0]), self.points + p[10:], self.size
        )

    def grid(self, shapes: list[tuple[int, int]]) -> Iterator[np.ndarray]:
        """Yield places to begin at, n × 12: upright faces of one size together, all about the picture's middle."""
        face = (self.points - self.points.mean(axis=0)) / self.size
        places = [(x, y) for x in np.arange(0.3, 0.71, 0.05) for y in np.arange(0.3, 0.71, 0.05)]
        for k in self.scales:
            yield np.array([[*(k * face + place).ravel(), 0, 0] for place in places])

    def op(self, p: np.ndarray, kernel: str) -> Align:
        """Return the step of a chain."""
        points, shares = self.points + p[10:], p[:10].reshape(5, 2)
        return Align(points_of(points), self.size, kernel=kernel, at=points_of(shares))

    def reordered(
        self, op: Align, orders: Mapping[str, tuple[int, ...]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (words, numbers) of `op` with its landmarks in other orders."""
        moved = (np.array(op.points) - self.points).mean(axis=0)
        for words, order in orders.items():
            yield words, np.concatenate([np.array(op.at)[list(order)].ravel(), moved])


class Faces:
    """The picture's own landmarks, aligned to the points of `op`, turned and scaled by a + bi about their middle and
    moved by (x, y): (a, x, y, b)."""

    limits = (0.1, 8.0, 8.0, 0.1)

    def __init__(self, op: Align):
        self.size, self.given = op.size, op

    def similarity(
        self, p: np.ndarray, shape: tuple[int, int], landmarks: np.ndarray | None
    ) -> np.ndarray:
        """Return (a, x, y, b) for a picture with these landmarks. Raises BadInputError where points coincide."""
        assert landmarks is not None, "what aligns a face was recognised on pictures with landmarks"
        count = 2 if self.given.landmarks == "eyes" else 5
        return _about_middle(landmarks[:count], self._points(p)[:count], self.size)

    def _points(self, p: np.ndarray) -> np.ndarray:
        a, x, y, b = p
        points = np.array(self.given.points)
        middle = points.mean(axis=0)
        return (points - middle) @ [[a, b], [-b, a]] + middle + (x, y)

    def op(self, p: np.ndarray, kernel: str) -> Align:
        """Return the step of a chain."""
        return self.given._replace(points=points_of(self._points(p)), kernel=kernel)

    def reordered(
        self, op: Align, orders: Mapping[str, tuple[int, ...]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (words, numbers) of the template as it is: mixed up landmarks need no search."""
        for words in orders:
            yield words, np.array([1.0, 0, 0, 0])


class Template:
    """The picture's own landmarks, aligned to any five points: their ten coordinates.

    Where the pictures' landmarks are alike but for a similarity, only four combinations show; the others stay as they
    began.
    """

    limits = (2.0,) * 10
    work = 100.0
    scales = tuple(0.5 * 1.25**i for i in range(6))
    moves = tuple(0.05 * k for k in range(-4, 5))

    def __init__(self, size: tuple[int, int]):
        self.size = size
        self.points = template("arcface", size)

    def similarity(
        self, p: np.ndarray, shape: tuple[int, int], landmarks: np.ndarray | None
    ) -> np.ndarray:
        """Return (a, x, y, b) for a picture with these landmarks. Raises BadInputError where points coincide."""
        if landmarks is None:
            raise BadInputError(
                "the picture has no landmarks",
                expected="five points",
                fix="let a probe with a face be read",
            )
        return _about_middle(landmarks, p.reshape(5, 2), self.size)

    def grid(self, shapes: list[tuple[int, int]]) -> Iterator[np.ndarray]:
        """Yield places to begin at, n × 10: the ArcFace points of one scale together, moved about."""
        middle = self.points.mean(axis=0)
        for k in self.scales:
            points = (self.points - middle) * k + middle
            yield np.array(
                [
                    (points + np.array([x, y]) * self.size).ravel()
                    for x in self.moves
                    for y in self.moves
                ]
            )

    def op(self, p: np.ndarray, kernel: str) -> Align:
        """Return the step of a chain."""
        return Align(points_of(p.reshape(5, 2)), self.size, kernel=kernel)


def _about_middle(source: np.ndarray, target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The similarity that takes the output's `target` from the picture's `source`, as (a, x, y, b)."""
    m = invert(umeyama(source, target))
    x, y = m[:, :2] @ ((size[0] - 1) / 2, (size[1] - 1) / 2) + m[:, 2]
    return np.array([m[0, 0], x, y, m[1, 0]])
