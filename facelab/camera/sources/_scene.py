"""What stands before a rendered sensor, as a function of time: a face or a spoof that moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean

KINDS = ("live", "print_flat", "print_bent", "screen")
DEPTHS = 4
"""How many noise draws of the depth sensor take turns."""


@dataclass(frozen=True)
class View:
    """What a sensor sees at one moment: `colour` (h, w, 3) uint8 RGB, `depth` (h, w) uint16 mm, and the truth."""

    colour: np.ndarray
    depth: np.ndarray
    truth: Mapping[str, Any]


class Scene(Protocol):
    """Anything that can be seen at a time."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def at(self, time_s: float, parts: str = "both") -> View:
        """Return the view; `parts` may be `colour` or `depth` where only one is needed."""
        ...


class Nothing:
    """A scene of one pixel, for experiments with time stamps alone."""

    size = (1, 1)

    def at(self, time_s: float, parts: str = "both") -> View:
        """Return the one black pixel, and when it was."""
        truth = {"true_time_s": time_s}
        return View(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint16), truth)


class FaceScene:
    """A rendered face, or a spoof of one, that sways before the sensor; what is shown may change in time.

    Each kind is rendered once, larger than the picture, and the picture is a window that moves over it. So colour and
    depth agree to the pixel where they are taken at one moment, and are apart where they are not.

    Parameters
    ----------
    size
        Width and height of the picture in pixels; both are equal.
    seed, index
        Which person and which nuisances (`facelab.datasets.synthetic`).
    kinds
        What is shown: a kind of `live`, `print_flat`, `print_bent`, `screen`, or pairs (from second, kind).
    sway_px
        How far the window moves from its middle, in pixels.
    period_s
        Seconds of one sway.
    depth_scale
        Depth pixels per colour pixel; .5 halves width and height of the depth picture.
    """

    def __init__(
        self,
        size: int = 160,
        *,
        seed: int = 0,
        index: int = 0,
        kinds: str | tuple[tuple[float, str], ...] = "live",
        sway_px: int = 12,
        period_s: float = 1.7,
        depth_scale: float = 1.0,
    ) -> None:
        changes = ((0.0, kinds),) if isinstance(kinds, str) else tuple(kinds)
        for _, kind in changes:
            if kind not in KINDS:
                raise BadInputError(
                    f"the scene has no kind {kind!r}{did_you_mean(kind, KINDS)}",
                    expected=", ".join(KINDS),
                    got=kind,
                    fix="choose one of these",
                )
        self.size = (size, size)
        self.sway_px, self.period_s, self.depth_scale = sway_px, period_s, depth_scale
        self._changes = sorted(changes)
        self._stages = {
            kind: _render(seed, index, kind, size + 2 * sway_px) for kind in {k for _, k in changes}
        }

    def kind_at(self, time_s: float) -> str:
        """Return what stands before the sensor."""
        past = [kind for start, kind in self._changes if start <= time_s]
        return past[-1] if past else self._changes[0][1]

    def shift_at(self, time_s: float) -> tuple[int, int]:
        """Return the window's corner, in pixels."""
        angle = 2 * math.pi * time_s / self.period_s
        x = round(self.sway_px * (1 + math.sin(angle)))
        return x, round(self.sway_px * (1 + 0.4 * math.sin(0.7 * angle)))

    def at(self, time_s: float, parts: str = "both") -> View:
        """Return what is seen at a time; both parts of one moment show the same place."""
        kind = self.kind_at(time_s)
        stage, (x, y), (w, h) = self._stages[kind], self.shift_at(time_s), self.size
        truth = {
            "true_time_s": time_s,
            "kind": kind,
            "box": stage.box - (x, y, x, y),
            "landmarks": stage.landmarks - (x, y),
        }
        colour = stage.colour[y : y + h, x : x + w]
        depths = stage.depths[int(time_s * 97) % DEPTHS] if parts != "colour" else stage.depths[0]
        return View(colour, self._scaled(depths[y : y + h, x : x + w]), truth)

    def _scaled(self, depth: np.ndarray) -> np.ndarray:
        if self.depth_scale == 1:
            return depth
        h, w = (max(1, round(n * self.depth_scale)) for n in depth.shape)
        rows = (np.arange(h) * depth.shape[0]) // h
        return depth[rows[:, None], (np.arange(w) * depth.shape[1]) // w]


@dataclass(frozen=True)
class _Stage:
    colour: np.ndarray
    depths: tuple[np.ndarray, ...]
    box: np.ndarray
    landmarks: np.ndarray


def _render(seed: int, index: int, kind: str, side: int) -> _Stage:
    from facelab.datasets import synthetic

    number = 6 * index
    while synthetic.recipe(seed, number, "liveness", side).tags["kind"] != kind:
        number += 1
    face = synthetic.sample(seed, number, "liveness", side)
    depths = tuple(synthetic.sense_depth(face.depth, seed, number, k) for k in range(DEPTHS))
    return _Stage(face.image, depths, np.asarray(face.box), np.asarray(face.landmarks))
