"""Find the one similarity that a black box applies to every picture: a warp to fixed points, whatever is in it.

Coarsely by the block means, over a grid of scales, angles and positions; then by Gauss–Newton steps (Lucas and Kanade,
"An iterative image registration technique", IJCAI 1981), first on the block means, then on the samples.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from facelab.fingerprint.chain import Orient, Warp
from facelab.fingerprint.describe import unpack
from facelab.fingerprint.hypotheses import State
from facelab.fingerprint.observed import Observed
from facelab.fingerprint.photometry import fit

NAMES = ("portrait", "landscape", "text", "marks", "bars", "texture")
"""Probes whose content is unique enough to be found again, best first."""
SCALES = tuple(0.35 * 1.5**i for i in range(6))
ANGLES = (-40, -20, 0, 20, 40)
EPSILON = (0.004, 0.3, 0.3, 0.004)
WORK = 250.0
"""Units of `budget.Budget` that one search takes."""


@dataclasses.dataclass
class _View:
    """One probe: its gray source, smoothed sources per scale, and what came out."""

    gray: np.ndarray
    pixels: np.ndarray
    blocks: np.ndarray
    samples: np.ndarray
    places: np.ndarray


def fixed_warp(observed: Observed) -> State | None:
    """Return the state that warps every picture by one similarity, as well as it can be found; None if not at all."""
    names = [n for n in observed.plain if n.split("_")[0] in NAMES][:4]
    if len(names) < 2 or len({observed.size[n] for n in observed.screen}) > 1:
        return None
    size = observed.size[names[0]]
    views = [_view(observed, n) for n in names]
    starts = _coarse(views, size)
    observed.budget.spend(WORK)
    best = min((_refined(views, p, size, 6, _block_residual) for p in starts), key=lambda r: r[0])
    p = _refined(views, best[1], size, 8, _sample_residual)[1]
    # fine patterns everywhere pin it down, once it is nearly right
    fine = [n for n in observed.plain if (n not in names and _covers(observed, n))][:6]
    loss, p = _refined([*views, *(_view(observed, n) for n in fine)], p, size, 6, _sample_residual)
    if not np.isfinite(loss):
        return None
    back = tuple(_matrix(p, size).ravel().tolist())
    states = [State((Orient(), Warp(back, size, kernel))) for kernel in ("bilinear", "bilinear32")]
    return min(states, key=lambda state: observed.score(state).loss)


def _covers(observed: Observed, name: str) -> bool:
    """Whether a probe is large enough to show more than its border."""
    return min(observed.pictures[name].source.pixels.shape[:2]) >= 100


def _view(observed: Observed, name: str) -> _View:
    pixels = observed.pictures[name].source.pixels
    y = unpack(observed.fingerprint.output[name]["sketch"])
    grid = np.meshgrid(observed.columns[name], observed.rows[name])
    return _View(
        pixels.mean(axis=2).astype(np.float32),
        pixels.astype(np.float32),
        y.mean(axis=2),
        observed.y[name].reshape(-1, observed.channels),
        np.stack(grid, axis=-1).reshape(-1, 2).astype(np.float64),
    )


def _matrix(p: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The 2×3 map from output to input of (a, x, y, b): scale and turn a + bi about the output's middle, which comes
    from (x, y)."""
    a, x, y, b = p
    mx, my = (size[0] - 1) / 2, (size[1] - 1) / 2
    return np.array([[a, -b, x - a * mx + b * my], [b, a, y - b * mx - a * my]])


def _read(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear values at (x, y) and whether they lie inside."""
    h, w = image.shape[:2]
    inside = (x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1)
    x, y = np.clip(x, 0, w - 1.001), np.clip(y, 0, h - 1.001)
    x0, y0 = x.astype(np.int64), y.astype(np.int64)
    fx, fy = x - x0, y - y0
    if image.ndim == 3:
        fx, fy = fx[..., None], fy[..., None]
    flat, at = image.reshape(h * w, *image.shape[2:]), y0 * w + x0
    top = flat[at] * (1 - fx) + flat[at + 1] * fx
    return top * (1 - fy) + (flat[at + w] * (1 - fx) + flat[at + w + 1] * fx) * fy, inside


def _shrunk(gray: np.ndarray, d: int) -> np.ndarray:
    h, w = gray.shape[0] // d * d, gray.shape[1] // d * d
    return gray[:h, :w].reshape(h // d, d, w // d, d).mean(axis=(1, 3))


def _coarse(views: list[_View], size: tuple[int, int], keep: int = 3) -> list[np.ndarray]:
    """The best of a grid of similarities, by the correlation of 4 × 4 block means with the picture there."""
    views = views[:2]
    # four samples in each of 4 × 4 blocks of the output, relative to its middle
    u = [((np.arange(8) + 0.5) / 8 - 0.5) * s for s in size]
    ux, uy = (v.ravel() for v in np.meshgrid(u[0], u[1]))
    wanted = np.concatenate([_quarters(v.blocks).ravel() for v in views])
    found: list[tuple[float, tuple]] = []
    for k in SCALES:
        step, d = max(5.0, k * size[0] / 7), max(1, round(k * size[0] / 16))
        small = [_shrunk(v.gray, d) for v in views]
        reach = [max(v.gray.shape[i] for v in views) for i in (1, 0)]
        cx, cy = (c.ravel() for c in np.meshgrid(*(np.arange(step, r, step) for r in reach)))
        for angle in ANGLES:
            a, b = k * math.cos(math.radians(angle)), k * math.sin(math.radians(angle))
            x, y = cx[:, None] + a * ux - b * uy, cy[:, None] + b * ux + a * uy
            parts = [_read(s, (x + 0.5) / d - 0.5, (y + 0.5) / d - 0.5) for s in small]
            values = np.concatenate([_pooled(v) for v, _ in parts], axis=1)
            inside = np.concatenate([_pooled(i.astype(np.float32)) for _, i in parts], axis=1) > 0.99
            r = _correlation(values, wanted, inside)
            i = int(np.argmax(r))
            found.append((float(r[i]), (a, float(cx[i]), float(cy[i]), b)))
    found.sort(key=lambda f: -f[0])
    return [np.array(p) for _, p in found[:keep]]


def _quarters(blocks: np.ndarray) -> np.ndarray:
    h, w = blocks.shape
    return blocks[: h // 4 * 4, : w // 4 * 4].reshape(4, h // 4, 4, w // 4).mean(axis=(1, 3))


def _pooled(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), 4, 2, 4, 2).mean(axis=(2, 4)).reshape(len(values), 16)


def _correlation(values: np.ndarray, wanted: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Per row, the correlation with `wanted` over the places inside; −1 where fewer than half are. Its sign is free:
    a negative is found as well."""
    w = inside.astype(np.float64)
    n = np.maximum(w.sum(axis=1, keepdims=True), 1)
    a = (values - (values * w).sum(axis=1, keepdims=True) / n) * w
    b = (wanted - (wanted * w).sum(axis=1, keepdims=True) / n) * w
    r = np.abs((a * b).sum(axis=1)) / np.sqrt(np.maximum((a**2).sum(axis=1) * (b**2).sum(axis=1), 1e-12))
    return np.where(n[:, 0] >= 0.5 * values.shape[1], r, -1.0)


def _block_residual(views: list[_View], p: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(predicted block means n × 1, observed ones n × 1), NaN where a block is not inside."""
    matrix, out = _matrix(p, size), []
    d = max(1, round(math.hypot(p[0], p[3]) * size[0] / 32))
    for v in views:
        h, w = v.blocks.shape
        x, y = np.meshgrid(
            (np.arange(4 * w) + 0.5) / (4 * w) * size[0] - 0.5, (np.arange(4 * h) + 0.5) / (4 * h) * size[1] - 0.5
        )
        sx, sy = (m[0] * x + m[1] * y + m[2] for m in matrix)
        values, inside = _read(_shrunk(v.gray, d) if d > 1 else v.gray, (sx + 0.5) / d - 0.5, (sy + 0.5) / d - 0.5)
        values = np.where(inside, values, np.nan).reshape(h, 4, w, 4).mean(axis=(1, 3))
        out.append((values.reshape(-1, 1), v.blocks.reshape(-1, 1)))
    return tuple(np.concatenate(part) for part in zip(*out))


def _sample_residual(views: list[_View], p: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(predicted pixels n × 3, observed samples n × channels), NaN where a place is not inside."""
    matrix, out = _matrix(p, size), []
    for v in views:
        at = v.places @ matrix[:, :2].T + matrix[:, 2]
        values, inside = _read(v.pixels, at[:, 0], at[:, 1])
        out.append((np.where(inside[:, None], values, np.nan), v.samples))
    return tuple(np.concatenate(part) for part in zip(*out))


def _refined(views, p, size, rounds, residual) -> tuple[float, np.ndarray]:
    """Gauss–Newton steps on the four numbers, the linear map from pixels to values fitted anew each time."""
    best = np.inf, p
    for _ in range(rounds):
        x, y = residual(views, p, size)
        ok = np.isfinite(x).all(axis=1)
        if ok.sum() < 0.3 * len(x):
            break
        linear = _fitted(x[ok], y[ok])
        if linear is None:
            break
        loss, matrix, rest = linear
        if loss < best[0]:
            best = loss, p
        columns = []
        for i, e in enumerate(EPSILON):
            q = p.copy()
            q[i] += e
            moved = residual(views, q, size)[0][ok]
            columns.append(np.nan_to_num((moved - x[ok]) @ matrix.T / e).ravel())
        jacobian = np.stack(columns, axis=1)
        scaled = jacobian / (norm := np.linalg.norm(jacobian, axis=0) + 1e-9)
        step = np.linalg.lstsq(scaled, rest.ravel(), rcond=1e-6)[0] / norm
        p = p + np.clip(step, -np.array((0.1, 8, 8, 0.1)), (0.1, 8, 8, 0.1))
    return best


def _fitted(x, y):
    """(loss in levels, matrix, residual) of the linear map from x to y."""
    if x.shape[1] == 3:
        linear = fit(x, y)
        return linear.loss, linear.matrix, y - x @ linear.matrix.T - linear.offset
    a = np.stack([x[:, 0], np.ones(len(x))], axis=1)
    solution = np.linalg.lstsq(a, y[:, 0], rcond=None)[0]
    rest = y[:, 0] - a @ solution
    return float(np.sqrt(np.mean(rest**2))) / max(abs(solution[0]), 1e-12), solution[:1, None], rest[:, None]
