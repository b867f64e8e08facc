"""Draw the probe pictures in integer arithmetic, so that every machine makes the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice]
"""Rows and columns of a part of a picture."""
Part = tuple[tuple[int, int, int], Window, Mask, bool]
"""Colour, window, mask within the window, and whether it is lit."""

FONT = {  # 5×7 dots, one row per number, the highest bit at the left
    "A": (14, 17, 17, 31, 17, 17, 17),
    "B": (30, 17, 17, 30, 17, 17, 30),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "F": (31, 16, 16, 30, 16, 16, 16),
    "G": (14, 17, 16, 23, 17, 17, 15),
    "L": (16, 16, 16, 16, 16, 16, 31),
    "R": (30, 17, 17, 30, 20, 18, 17),
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 2, 4, 8, 31),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    " ": (0,) * 7,
}


def grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the integer coordinates x (1, w) and y (h, 1)."""
    return np.arange(size[0], dtype=np.int64)[None], np.arange(size[1], dtype=np.int64)[:, None]


def _rgb(r: Whole, g: Whole, b: Whole) -> np.ndarray:
    return np.clip(np.stack(np.broadcast_arrays(r, g, b), axis=-1), 0, 255).astype(np.uint8)


def noise(size: tuple[int, int], salt: int) -> np.ndarray:
    """Return 0…255 for each pixel by a 32-bit integer hash of its position."""
    x, y = (v.astype(np.uint64) for v in grid(size))
    mask = np.uint64(0xFFFFFFFF)
    v = (x * np.uint64(374761393) + y * np.uint64(668265263) + np.uint64(salt * 2246822519)) & mask
    v = ((v ^ (v >> np.uint64(13))) * np.uint64(1274126177)) & mask
    return ((v ^ (v >> np.uint64(16))) >> np.uint64(8) & np.uint64(255)).astype(np.int64)


def bars(size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """Eight full and eight 75 % colour bars, gray steps, and near-black and near-white patches."""
    x, y = grid(size)
    w, h = size
    k = 7 - x * 8 // w
    full, soft = [(k >> s & 1) * 255 for s in (1, 2, 0)], [(k >> s & 1) * 191 for s in (1, 2, 0)]
    steps = (x * 16 // w) * 17
    ends = np.where(x * 16 // w < 8, x * 16 // w, 255 - (15 - x * 16 // w))
    row = y * 8 // h + 0 * x
    return _rgb(
        *(np.select([row < 3, row < 5, row < 7], [f, s, steps], ends) for f, s in zip(full, soft))
    )


def ramps(size: tuple[int, int] = (256, 192)) -> np.ndarray:
    """Ramps of red, green, blue and gray, a falling one, and one whose steps are quarters of a level (dithered)."""
    x, y = grid(size)
    w, h = size
    up = x * 255 // (w - 1)
    row = y * 6 // h + 0 * x
    # quarter levels as a 2×2 ordered dither: any averaging resize brings them back, truncation loses them
    quarters = 96 + x * 160 // w
    fine = quarters // 4 + ((quarters % 4) > np.array([[0, 2], [3, 1]])[y % 2, x % 2]) + 60
    zero = 0 * x
    return _rgb(
        *(
            np.select([row == i for i in range(5)], [p + 0 * y for p in parts], fine)
            for parts in (
                (up, zero, zero, up, 255 - up),
                (zero, up, zero, up, 255 - up),
                (zero, zero, up, up, up),
            )
        )
    )


def zone_plate(size: tuple[int, int] = (241, 241)) -> np.ndarray:
    """A zone plate: every frequency in every direction up to the sampling limit; its phase differs by channel."""
    x, y = grid(size)
    dx, dy = 2 * x - (size[0] - 1), 2 * y - (size[1] - 1)
    # the phase in 1/1024 turns grows with the square of the radius and reaches half a turn a pixel at the edge
    phase = (dx * dx + dy * dy) * 128 // max(size)
    return _rgb(*(_wave(phase + shift) for shift in (0, 341, 682)))


def _wave(phase: np.ndarray) -> np.ndarray:
    """Return a smooth wave of 0…255 for a phase in 1/1024 turns: a parabola a half turn, close to a sine."""
    p = phase % 1024
    half = p % 512
    arc = half * (512 - half) * 127 // 65536
    return np.where(p < 512, 128 + arc, 127 - arc)


def edges(size: tuple[int, int] = (199, 149)) -> np.ndarray:
    """One-pixel lines, steps, a checkerboard, lone dots, and a frame on the outermost pixels."""
    x, y = grid(size)
    w, h = size
    v = np.where(x * 2 > w, 200, 40) + 0 * y
    v = np.where((y * 2 > h) & (x * 2 > w), np.where((x + y) % 2 == 0, 255, 0), v)
    v = np.where((x % 16 == 3) & (y * 2 <= h) & (x * 2 <= w), 255, v)
    v = np.where((y % 11 == 5) & (y * 2 > h) & (x * 2 <= w), 230, v)
    v = np.where((x % 23 == 7) & (y % 13 == 4) & (x * 2 > w) & (y * 2 <= h), 0, v)
    frame = (x == 0) | (y == 0) | (x == w - 1) | (y == h - 1)
    return _rgb(
        np.where(frame, 255, v), np.where(frame, 0, v), np.where(frame, 255, np.roll(v, 1, axis=1))
    )


def marks(size: tuple[int, int] = (211, 157)) -> np.ndarray:
    """Broad shapes, each in its own colour and none in the middle, on a slope: shift, crop, flip and rotation show."""
    x, y = grid(size)
    w, h = size
    r, g, b = (
        60 + x * 100 // w + 0 * y,
        90 + y * 90 // h + 0 * x,
        150 - (x * 60 // w) - (y * 50 // h),
    )
    shapes = (
        ((abs(8 * x - w) < w) & (abs(6 * y - h) < h // 2), (230, 30, 40)),
        (
            (8 * x > 6 * w)
            & (8 * (x * 8 - 6 * w) * h > 0)
            & (3 * y < h)
            & (4 * x * h - 3 * w * h > 3 * y * w),
            (20, 200, 60),
        ),
        (
            ((10 * x - 2 * w) ** 2 * h * h + (10 * y - 8 * h) ** 2 * w * w < w * w * h * h),
            (40, 60, 240),
        ),
        (
            (x * 10 > w * 7) & (x * 10 < w * 9) & (y * 20 > h * 14) & (y * 20 < h * 17),
            (250, 240, 30),
        ),
        ((x * 10 > w * 4) & (x * 20 < w * 9) & (y * 10 > h * 3) & (y * 10 < h * 9), (10, 10, 20)),
    )
    for inside, colour in shapes:
        r, g, b = (np.where(inside, c, p) for c, p in zip(colour, (r, g, b)))
    return _rgb(r, g, b)


def text(size: tuple[int, int] = (233, 97)) -> np.ndarray:
    """Letters of several sizes, dark on light and light on dark."""
    w, h = size
    out = np.full((h, w), 235, dtype=np.int64)
    out[h // 2 :] = 25
    for row, scale, ink, words in (
        (4, 1, 10, "FACELAB 0125 GRABBEL 7251"),
        (16, 3, 40, "FACE 257"),
        (h // 2 + 3, 2, 240, "GRACE L7 05"),
        (h // 2 + 22, 3, 200, "ABLE 12"),
    ):
        left = 3
        for letter in words:
            dots = np.array(
                [[bits >> (4 - i) & 1 for i in range(5)] for bits in FONT[letter]], dtype=bool
            )
            big = dots.repeat(scale, axis=0).repeat(scale, axis=1)
            part = out[row : row + big.shape[0], left : left + big.shape[1]]
            part[big[: part.shape[0], : part.shape[1]]] = ink
            left += 6 * scale
    return _rgb(out, out, out * 3 // 4 + 40)


def texture(size: tuple[int, int] = (150, 230)) -> np.ndarray:
    """Smooth colour slopes with fine noise: close to a photograph's statistics, different in every corner."""
    x, y = grid(size)
    w, h = size
    coarse = [noise((w // 13 + 2, h // 13 + 2), s) for s in (1, 2, 3)]
    out: list[Whole] = []
    for i, c in enumerate(coarse):
        cx, cy, fx, fy = x // 13, y // 13, x % 13, y % 13
        smooth = (
            c[cy, cx] * (13 - fx) * (13 - fy)
            + c[cy, cx + 1] * fx * (13 - fy)
            + c[cy + 1, cx] * (13 - fx) * fy
            + c[cy + 1, cx + 1] * fx * fy
        ) // 169
        slope = (x * 255 // w, y * 255 // h, (w - x) * 255 // w)[i]
        out.append((smooth * 7 + noise((w, h), 10 + i) // 2 + slope * 3) // 11)
    return _rgb(*out)


FACE_POINTS = ((-20, -14), (20, -14), (1, 9), (-15, 29), (16, 29))
"""Five landmarks of the drawn face in its own units: left and right eye, nose, mouth corners."""


def face(
    size: tuple[int, int] = (220, 260),
    *,
    centre: tuple[int, int] = (118, 121),
    scale: int = 2,
    turn: tuple[int, int, int] = (40, 9, 41),
) -> tuple[np.ndarray, dict[str, Any]]:
    """Draw a simple face and return (pixels, {"box", "landmarks"}).

    `turn` is (c, s, n): the rational rotation with cosine c/n and sine s/n; `scale` is pixels per unit. Each pixel is
    the mean of 4×4 samples.
    """
    c, s, n = turn
    x, y = grid((size[0] * 4, size[1] * 4))
    # sample centres in 1/8 pixel, relative to the face's centre, then turned back; u and v are in 1/8 pixel times n
    dx, dy = 2 * x + 1 - 8 * centre[0] - 4, 2 * y + 1 - 8 * centre[1] - 4
    u, v = c * dx + s * dy, c * dy - s * dx
    unit = 8 * n * scale
    w, h = size[0] * 4, size[1] * 4
    planes = 70 + x * 60 // w + 0 * y, 100 + y * 70 // h + 0 * x, 150 - x * 60 // w + 0 * y
    light = np.clip(u * 24 // (40 * unit), -30, 30)

    def window(cx: int, cy: int, radius: int) -> Window:
        # where a small part is, so that only this window is computed
        across, half = (c * cx - s * cy, c * cy + s * cx), 4 * scale * (radius + 1) + 8
        middle = [4 * (k * n + scale * a) // n for k, a in zip(centre, across)]
        across_it, down = (slice(max(0, m - half), m + half) for m in middle)
        return down, across_it

    for colour, where, inside, lit in _face_parts(u, v, unit, window):
        for k, plane in zip(colour, planes):
            part = plane[where]
            part[inside] = k + (light[where][inside] if lit else 0)
    # samples summed pairwise along each axis: whole numbers, so any order gives the same
    sums = [p.reshape(size[1], 4, size[0], 4).sum(axis=3).sum(axis=1) for p in planes]
    pixels = (np.stack(sums, axis=-1) + 8) // 16
    points = [_place(p, centre, scale, turn) for p in FACE_POINTS]
    corners = [_place(p, centre, scale, turn) for p in ((-37, 0), (37, 0), (0, -50), (0, 50))]
    box = [
        min(p[0] for p in corners),
        min(p[1] for p in corners),
        max(p[0] for p in corners),
        max(p[1] for p in corners),
    ]
    return np.clip(pixels, 0, 255).astype(np.uint8), {"box": box, "landmarks": points}


def _face_parts(
    u: Whole, v: Whole, unit: int, window: Callable[[int, int, int], Window]
) -> Iterator[Part]:
    """Yield (colour, window, mask within the window, whether it is lit), back to front."""
    everywhere = (slice(None), slice(None))

    def ellipse(cx: int, cy: int, rx: int, ry: int, where: Window = everywhere) -> Mask:
        p, q = (u[where] - cx * unit) // 16, (v[where] - cy * unit) // 16
        k = unit // 16
        return p * p * ry * ry + q * q * rx * rx < (k * rx * ry) ** 2

    def small(
        colour: tuple[int, int, int],
        cx: int,
        cy: int,
        rx: int,
        ry: int,
        *,
        lit: bool = False,
        above: int | None = None,
    ) -> Part:
        where = window(cx, cy, max(rx, ry))
        inside = ellipse(cx, cy, rx, ry, where)
        return colour, where, inside if above is None else inside & (v[where] < above * unit), lit

    hair, skin = ellipse(0, -6, 42, 52), ellipse(0, 0, 37, 50)
    yield (50, 34, 26), everywhere, hair & (v < 20 * unit), False
    yield (206, 156, 128), everywhere, skin, True
    yield (60, 40, 30), everywhere, skin & (v < -34 * unit + u // 6), False
    for side in (-1, 1):
        yield small((56, 38, 30), 20 * side, -24, 11, 3, above=-23)
        yield small((240, 240, 236), 20 * side, -14, 9, 5)
        yield small((70, 96, 60), 20 * side, -14, 4, 4)
        yield small((10, 10, 12), 20 * side, -14, 2, 2)
    yield small((176, 120, 96), 1, 3, 4, 13, lit=True)
    yield small((120, 70, 60), 1, 11, 7, 3)
    yield small((170, 60, 66), 0, 29, 16, 6)
    yield small((90, 20, 30), 0, 28, 13, 2)


def _place(
    point: tuple[int, int], centre: tuple[int, int], scale: int, turn: tuple[int, int, int]
) -> list[float]:
    """Return a point of the face in pixels (centres at whole numbers), rounded to 1/16."""
    c, s, n = turn
    px, py = point
    return [
        (16 * (k * n) + 16 * scale * m) // n / 16
        for k, m in ((centre[0], c * px - s * py), (centre[1], c * py + s * px))
    ]


def nominal_face(size: tuple[int, int]) -> dict[str, Any]:
    """Return a box and five landmarks for a picture without a face, so that a pipeline that aligns can run on it.

    The face lies a little off the middle, turned by atan(9/40), and fills most of the shorter side.
    """
    w, h = size
    side = min(w, h)
    centre = (w // 2 + side // 16, h // 2 - side // 20)
    turn = (40, 9, 41)

    def place(px: int, py: int) -> list[float]:
        c, s, n = turn
        # a face of 100 units' height in 5/8 of the shorter side, coordinates in 1/16 pixel
        return [
            (centre[0] * 160 * n + side * (c * px - s * py)) * 16 // (160 * n) / 16,
            (centre[1] * 160 * n + side * (c * py + s * px)) * 16 // (160 * n) / 16,
        ]

    x1, y1 = centre[0] - side * 37 // 160, centre[1] - side * 50 // 160
    return {
        "box": [
            float(x1),
            float(y1),
            float(x1 + 2 * (side * 37 // 160)),
            float(y1 + 2 * (side * 50 // 160)),
        ],
        "landmarks": [place(*p) for p in FACE_POINTS],
    }
