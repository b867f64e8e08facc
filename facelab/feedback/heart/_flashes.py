"""How often a rendered animation flashes, by WCAG 2.2, success criterion 2.3.1, without its exception for small areas.

A general flash is a pair of opposing changes of relative luminance by 10 % or more of full white, the darker state
below 0.80. A red flash is a pair of opposing changes to and from a saturated red, more than 0.2 apart in the CIE 1976
chromaticity diagram. More than three in any second can cause seizures.

The criterion exempts small areas. Nobody knows how far a viewer enlarges a heart, so the exemption is not used
(technique G19).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.result import Result

LIMIT = 3
"""Flashes in any second that are allowed."""
RISE, DARK = 0.1, 0.8
RED, APART = 0.8, 0.2
BLOCK = 1024
"""Pixels that are worked on at once: a long animation must not need gigabytes."""
SMALLEST_SHARE = 0.005
"""Share of the picture's pixels that must flash together to count: single pixels at an edge are not a flash."""


@dataclass(frozen=True)
class Flashes(Result):
    """What the check found in the worst second.

    Parameters
    ----------
    general, red
        Most flashes in any second; a half is one change without its opposite.
    at_s
        When that second ends.
    share
        Share of the picture that flashes more often than allowed, at the worst moment.
    limit
        Flashes in any second that are allowed.
    passed
        Whether neither count is above the limit.
    """

    general: float
    red: float
    at_s: float
    share: float
    limit: int
    passed: bool


def check_flashes(frames: np.ndarray, times_s: np.ndarray) -> Flashes:
    """Count the flashes of an animation on its rendered frames.

    Parameters
    ----------
    frames
        (n, height, width, 3) uint8 sRGB.
    times_s
        (n,) seconds at which each frame appears, increasing.

    Returns
    -------
    Flashes
        The most flashes in any second, and whether that is allowed.

    Raises
    ------
    BadInputError
        The arrays do not fit each other.

    References
    ----------
    Web Content Accessibility Guidelines 2.2, success criterion 2.3.1 and technique G19; ISO 9241-391.

    Examples
    --------
    >>> black_and_white = np.zeros((20, 4, 4, 3), np.uint8)
    >>> black_and_white[::2] = 255
    >>> check_flashes(black_and_white, np.arange(20) / 10).general  # 10 changes per second
    5.0
    """
    times_s = np.asarray(times_s, float)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise BadInputError(
            "the frames are not pictures",
            expected="(n, height, width, 3) uint8, n > 0",
            got=f"{frames.shape} {frames.dtype}",
            fix="render them as RGB bytes",
        )
    if times_s.shape != (len(frames),) or (np.diff(times_s) <= 0).any():
        raise BadInputError(
            "frames and times do not fit",
            expected=f"{len(frames)} increasing times",
            got=f"shape {times_s.shape}",
            fix="give the time at which each frame appears",
        )
    flat = frames.reshape(len(frames), -1, 3)
    first = np.searchsorted(times_s, times_s - 1.0 + 1e-9)
    general = np.empty(flat.shape[:2], np.uint16)
    red = np.empty(flat.shape[:2], np.uint16)
    for start in range(0, flat.shape[1], BLOCK):  # pixels do not depend on each other
        part = slice(start, start + BLOCK)
        linear = _linear(flat[:, part])
        general[:, part] = _within_a_second(_luminance_changes(linear @ _WEIGHTS), first)
        red[:, part] = _within_a_second(_red_changes(linear), first)
    most = np.maximum(general, red)
    above = (most > 2 * LIMIT).mean(axis=1)
    counts = [_common(kind) for kind in (general, red)]
    worst = int(np.maximum(*counts).argmax())
    return Flashes(
        general=float(counts[0].max() / 2),
        red=float(counts[1].max() / 2),
        at_s=float(times_s[worst]),
        share=float(above.max()),
        limit=LIMIT,
        passed=bool(above.max() < SMALLEST_SHARE),
    )


_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
)
_WHITE = np.array([0.1978, 0.4683], np.float32)


def _linear(frames: np.ndarray) -> np.ndarray:
    """Return linear light 0 to 1 of sRGB bytes, as WCAG defines it."""
    c = np.arange(256) / 255.0
    table = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return table.astype(np.float32)[frames]


def _luminance_changes(luminance: np.ndarray) -> np.ndarray:
    """Return (n, pixels) bool: where a change of 10 % against the last extreme is complete."""
    low, high = luminance[0].copy(), luminance[0].copy()
    last = np.zeros(low.shape, np.int8)  # the last change: up 1, down -1, none yet 0
    changes = np.zeros(luminance.shape, bool)
    for k, now in enumerate(luminance):
        low = np.where(last <= 0, np.minimum(low, now), low)
        high = np.where(last >= 0, np.maximum(high, now), high)
        up = (last <= 0) & (now - low >= RISE) & (low < DARK)
        down = (last >= 0) & (high - now >= RISE) & (now < DARK)
        last[up], last[down] = 1, -1
        low, high = np.where(down, now, low), np.where(up, now, high)
        changes[k] = up | down
    return changes


def _red_changes(linear: np.ndarray) -> np.ndarray:
    """Return (n, pixels) bool: where a pixel goes to or from a saturated red, far enough in chromaticity."""
    total = linear.sum(axis=2)
    red = linear[..., 0] >= RED * np.maximum(total, 1e-6)
    red &= total > 1e-3
    xyz = linear @ _XYZ.T
    below = xyz @ np.array([1.0, 15.0, 3.0], np.float32)
    seen = below > 1e-4
    uv = np.where(
        seen[..., None],
        np.stack([4 * xyz[..., 0], 9 * xyz[..., 1]], axis=-1) / np.maximum(below, 1e-6)[..., None],
        _WHITE,
    )
    state, colour = red[0].copy(), uv[0].copy()
    changes = np.zeros(red.shape, bool)
    for k in range(len(red)):
        far = np.linalg.norm(uv[k] - colour, axis=1) > APART
        changes[k] = (red[k] != state) & far
        state = np.where(changes[k], red[k], state)
        colour = np.where((red[k] == state)[:, None], uv[k], colour)
    return changes


def _within_a_second(changes: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return (n, pixels) uint16: changes in the second that ends with each frame."""
    total = np.zeros((len(changes) + 1, changes.shape[1]), np.uint16)
    np.cumsum(changes, axis=0, dtype=np.uint16, out=total[1:])
    return total[1:] - total[first]


def _common(counts: np.ndarray) -> np.ndarray:
    """Return (n,): the count that enough pixels reach at each frame."""
    enough = max(1, round(SMALLEST_SHARE * counts.shape[1]))
    return np.partition(counts, counts.shape[1] - enough, axis=1)[:, -enough].astype(float)
