"""Find where a black box takes every picture from, whatever is in it: a warp to fixed points.

Coarsely by the block means, over the starts of a placement (`placements`); then by Gauss–Newton steps (Lucas and
Kanade, "An iterative image registration technique", IJCAI 1981), first on the block means, then on the samples.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from facelab.core.errors import BadInputError
from facelab.fingerprint.document._statistics import unpack
from facelab.fingerprint.model._budget import Budget
from facelab.fingerprint.model._linear_fit import with_rest
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._operations import Align, Orient, Warp
from facelab.fingerprint.model._pipeline_state import State
from facelab.fingerprint.probes._cache import LARGE
from facelab.fingerprint.search.candidates._placement import Faces, Pixels, Shares, Template

NAMES = ("portrait", "landscape", "text", "marks", "bars", "texture")
"""Probes whose content is unique enough to be found again."""
WORK = 75.0
"""Units of `budget.Budget` that a refinement usually takes."""
FITTING, SLOPING = 3e-4, 1.4e-3
"""Units for each place of a fit and of its slopes, which count beside the search."""
SHOWING = (LARGE, "face", "ramps")
"""Probes of which something is seen even if the output shows far more than a picture."""
IN_BLOCK = 16
"""Places of each block at which its mean is read."""
EPSILON = (0.004, 0.3, 0.3, 0.004)
NEAR, FAR, WITHIN = 1.5, 10.0, 40.0
"""RMS residuals of block means in levels: a start need not be bettered; none is near; one may lead there."""


@dataclasses.dataclass
class _View:
    """One probe: its gray source, smaller ones, and what came out."""

    gray: np.ndarray
    pixels: np.ndarray
    blocks: np.ndarray
    samples: np.ndarray
    places: np.ndarray
    landmarks: np.ndarray | None
    small: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)

    def shrunk(self, d: int) -> np.ndarray:
        """Return the gray source with `d` × `d` pixels averaged to one."""
        if d not in self.small:
            self.small[d] = _shrunk(self.gray, d) if d > 1 else self.gray
        return self.small[d]


Placement = type[Pixels | Shares | Template]
Placed = Pixels | Shares | Template | Faces
Residual = Callable[[_View, np.ndarray, tuple[int, int]], tuple[np.ndarray, np.ndarray]]
"""(predicted, observed) of one view by a similarity, for an output of some size."""


class _Begun(NamedTuple):
    """A placement's best starts, and how well the best of them correlates with what came out."""

    likeness: float
    model: Pixels | Shares | Template
    views: list[_View]
    starts: list[np.ndarray]


COARSE = 0.4
"""The share of a placement's work that finding its starts takes."""


def likeliest(observed: Observed, placements: Iterable[Placement]) -> Iterator[State]:
    """Yield what each placement gives as well as it can be found, the one whose starts are most like it first."""
    begun = [b for p in placements if (b := _begun(observed, p)) is not None]
    for k, b in enumerate(sorted(begun, key=lambda b: -b.likeness)):
        if k and not observed.budget.left:
            return
        if (found := _placed(observed, b)) is not None:
            yield found


def registered(observed: Observed, placement: Placement) -> State | None:
    """Return the state that takes every picture from one placement, as well as it can be found; None if not at all."""
    begun = _begun(observed, placement)
    return None if begun is None else _placed(observed, begun)


def _begun(observed: Observed, placement: Placement) -> _Begun | None:
    names = _unique(observed)
    if len(names) < 2 or len({observed.size[n] for n in observed.screen}) > 1:
        return None
    if placement is Template and any(
        observed.pictures[n].source.landmarks is None for n in observed.plain
    ):
        return None
    model = placement(observed.size[names[0]])
    views = [_view(observed, n) for n in names]
    observed.budget.spend(COARSE * model.work)
    found = _coarse(views, model)
    return _Begun(found[0][0], model, views, [start for _, start in found])


def _placed(observed: Observed, begun: _Begun) -> State | None:
    """The placement refined from its starts; None if none leads near."""
    _, model, views, starts = begun
    observed.budget.spend((1 - COARSE) * model.work)
    loss, p = np.inf, None
    for start in starts:
        found = _refined(observed.budget, views, start, model, 6, _block_residual)
        loss, p = found if found[0] < loss else (loss, p)
        if loss < NEAR:
            break
    if loss > FAR or p is None:
        return None
    p = _finely(observed, model, p)
    if p is None:
        return None
    states = [State((Orient(), model.op(p, kernel))) for kernel in ("bilinear", "bilinear32")]
    return min(states, key=lambda state: observed.score(state).loss)


def reordered(
    observed: Observed, op: Warp | Align, orders: Mapping[str, tuple[int, ...]]
) -> tuple[str, Warp | Align] | None:
    """Return what a placement has become with its landmarks in one of `orders`: (words, step of a chain), None if that
    is not it. The landmarks themselves may have moved."""
    names = _unique(observed) + [n for n in observed.plain if n in SHOWING]
    if isinstance(op, Warp):
        model = Pixels(op.size)
        starts = model.reordered(op, orders)
    else:
        model = Shares(op.size) if op.at else Faces(op)
        starts = model.reordered(op, orders)
    views = [_view(observed, n) for n in names]
    border = 0.0 if observed.border is None else float(observed.border[0])
    residual = functools.partial(_block_residual, border=border)
    budget = observed.budget
    budget.spend(WORK / 3)
    tried = [(*_refined(budget, views, p, model, 1, residual), words) for words, p in starts]
    loss, p, words = min(tried, key=lambda t: t[0])
    if loss > WITHIN:
        return None
    budget.spend(WORK)
    loss, p = _refined(budget, views, p, model, 10, residual)
    if loss > FAR:
        return None
    finer = _finely(observed, model, p, least=0.05)
    return words, model.op(p if finer is None else finer, op.kernel)


def _finely(
    observed: Observed, model: Placed, p: np.ndarray, least: float = 0.3
) -> np.ndarray | None:
    """A placement that is nearly right, refined on the samples; None if too few are inside the pictures."""
    names, loss = _unique(observed), np.inf
    views = [_view(observed, n) for n in names]
    wide = [n for n in observed.plain if n not in names and _covers(observed, n)]
    # fine patterns everywhere pin it down, once it is nearly right; the finest last
    for more in ([], [n for n in wide if n != LARGE][:5], [n for n in wide if n == LARGE]):
        views += [_view(observed, n) for n in more]
        loss, p = _refined(observed.budget, views, p, model, 8, _sample_residual, least)
    return p if np.isfinite(loss) else None


def _unique(observed: Observed) -> list[str]:
    return [n for n in observed.plain if n.split("_")[0] in NAMES][:4]


def _covers(observed: Observed, name: str) -> bool:
    """Whether a probe is large enough to show more than its border."""
    return min(observed.pictures[name].source.pixels.shape[:2]) >= 100


def _view(observed: Observed, name: str) -> _View:
    source = observed.pictures[name].source
    pixels = source.pixels
    y = unpack(observed.fingerprint.output[name]["sketch"])
    grid = np.meshgrid(observed.columns[name], observed.rows[name])
    return _View(
        pixels.mean(axis=2).astype(np.float32),
        pixels.astype(np.float32),
        y.mean(axis=2),
        observed.y[name].reshape(-1, observed.channels),
        np.stack(grid, axis=-1).reshape(-1, 2).astype(np.float64),
        None if source.landmarks is None else np.array(source.landmarks, dtype=np.float64),
    )


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


def _coarse(
    views: list[_View], model: Pixels | Shares | Template, keep: int = 3
) -> list[tuple[float, np.ndarray]]:
    """The best of a placement's starts, with the correlation of 4 × 4 block means with the pictures there."""
    views, size = views[:2], model.size
    # four samples in each of 4 × 4 blocks of the output, relative to its middle
    u = [((np.arange(8) + 0.5) / 8 - 0.5) * s for s in size]
    ux, uy = (v.ravel() for v in np.meshgrid(u[0], u[1]))
    wanted = np.concatenate([_quarters(v.blocks).ravel() for v in views])
    found: list[tuple[float, np.ndarray]] = []
    for starts in model.grid([v.gray.shape for v in views]):
        values: list[np.ndarray] = []
        inside: list[np.ndarray] = []
        for v in views:
            a, x, y, b = (
                c[:, None]
                for c in np.array(
                    [model.similarity(p, v.gray.shape, v.landmarks) for p in starts]
                ).T
            )
            d = max(1, round(math.hypot(a[0, 0], b[0, 0]) * size[0] / 16))
            d = max(1, min(d, min(v.gray.shape) // 4))  # something must be left of it
            x, y = x + a * ux - b * uy, y + b * ux + a * uy
            read = _read(v.shrunk(d), (x + 0.5) / d - 0.5, (y + 0.5) / d - 0.5)
            values.append(_pooled(read[0]))
            inside.append(_pooled(read[1].astype(np.float32)) > 0.99)
        r = _correlation(np.concatenate(values, axis=1), wanted, np.concatenate(inside, axis=1))
        found.append((float(r.max()), starts[int(np.argmax(r))]))
    found.sort(key=lambda f: -f[0])
    return found[:keep]


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
    r = np.abs((a * b).sum(axis=1)) / np.sqrt(
        np.maximum((a**2).sum(axis=1) * (b**2).sum(axis=1), 1e-12)
    )
    return np.where(n[:, 0] >= 0.5 * values.shape[1], r, -1.0)


def _block_residual(
    view: _View, at: np.ndarray, size: tuple[int, int], border: float = np.nan
) -> tuple[np.ndarray, np.ndarray]:
    """(predicted block means n × 1, observed ones n × 1), where a block is not all inside with `border` around."""
    d = max(1, min(round(math.hypot(at[0], at[3]) * size[0] / 32), min(view.gray.shape) // 4))
    h, w = map(int, view.blocks.shape)
    across = (np.arange(4 * w) + 0.5) / (4 * w) * size[0] - 0.5
    down = (np.arange(4 * h) + 0.5) / (4 * h) * size[1] - 0.5
    x, y = _from(at, size, *np.meshgrid(across, down))
    values, inside = _read(view.shrunk(d), (x + 0.5) / d - 0.5, (y + 0.5) / d - 0.5)
    if np.isfinite(border):
        # a soft edge, so that a small step shows
        step, (rows, columns) = math.hypot(at[0], at[3]) * size[0] / (4 * w), view.gray.shape
        inside = np.clip(
            0.5 + np.minimum.reduce([x, y, columns - 1 - x, rows - 1 - y]) / step, 0, 1
        )
        values = values * inside + border * (1 - inside)
    else:
        values = np.where(inside, values, np.nan)
    values = values.reshape(h, 4, w, 4).mean(axis=(1, 3))
    return values.reshape(-1, 1), view.blocks.reshape(-1, 1)


def _sample_residual(
    view: _View, at: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """(predicted pixels n × 3, observed samples n × channels), NaN where a place is not inside."""
    values, inside = _read(view.pixels, *_from(at, size, view.places[:, 0], view.places[:, 1]))
    return np.where(inside[:, None], values, np.nan), view.samples


def _from(
    at: np.ndarray, size: tuple[int, int], x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where output positions (x, y) come from by the similarity `at`."""
    a, x0, y0, b = at
    x, y = x - (size[0] - 1) / 2, y - (size[1] - 1) / 2
    return x0 + a * x - b * y, y0 + b * x + a * y


def _refined(
    budget: Budget,
    views: Sequence[_View],
    p: np.ndarray,
    model: Placed,
    rounds: int,
    residual: Residual,
    least: float = 0.3,
) -> tuple[float, np.ndarray]:
    """Damped Gauss–Newton steps (Levenberg and Marquardt) on a placement's numbers, the linear map from pixels to
    values fitted again each time.

    `least` is the share of places that must lie inside the pictures. Ends early once everything is spent.
    """
    loss, best, trial, damping = np.inf, p, p, 1e-4
    norm = square = aim = np.empty(0)
    places = _places(views, residual)
    for _ in range(rounds):
        if budget.gone:
            break
        budget.spend_beside(FITTING * places)
        now = _fitted_at(views, trial, model, residual, least)
        if not np.isfinite(loss) and (now is None or not now.loss < loss):
            break
        if now is not None and now.loss < loss:
            if now.loss > 0.999 * loss:
                return now.loss, trial
            loss, best, damping = now.loss, trial, damping / 10
            budget.spend_beside(SLOPING * places)
            slopes, rest = _slopes(views, trial, model, residual, now)
            norm = np.linalg.norm(slopes, axis=0) + 1e-9
            square, aim = (slopes / norm).T @ (slopes / norm), (slopes / norm).T @ rest
        else:
            damping *= 30
        step = np.linalg.solve(square + damping * np.eye(len(p)), aim) / norm
        trial = best + np.clip(step, -np.array(model.limits), model.limits)
    return loss, best


def _places(views: Sequence[_View], residual: Residual) -> int:
    """How many places a residual reads."""
    if residual is _sample_residual:
        return sum(len(v.places) for v in views)
    return sum(IN_BLOCK * v.blocks.size for v in views)


class _Fit(NamedTuple):
    """The linear map at one placement: what it leaves, and what its slopes are made of."""

    loss: float
    matrix: np.ndarray
    rest: np.ndarray
    ok: np.ndarray
    parts: list[tuple[np.ndarray, np.ndarray]]


def _fitted_at(
    views: Sequence[_View], p: np.ndarray, model: Placed, residual: Residual, least: float
) -> _Fit | None:
    """The fit at a placement; None where too few places count."""
    try:
        places = [model.similarity(p, v.gray.shape, v.landmarks) for v in views]
    except BadInputError:  # the points have run into each other
        return None
    parts = [residual(v, at, model.size) for v, at in zip(views, places)]
    x, y = (np.concatenate(part) for part in zip(*parts))
    ok = np.asarray(np.isfinite(x).all(axis=1))
    linear = with_rest(x[ok], y[ok]) if ok.sum() > max(least * len(x), 64) else None
    if linear is None:
        return None
    return _Fit(*linear, ok, [(at, x) for at, (x, _) in zip(places, parts)])


def _slopes(
    views: Sequence[_View], p: np.ndarray, model: Placed, residual: Residual, fit: _Fit
) -> tuple[np.ndarray, np.ndarray]:
    """How the predicted values follow the placement's numbers, and what is left to explain, row by row."""
    slopes: list[np.ndarray] = []
    for v, (at, values) in zip(views, fit.parts):
        moved = [residual(v, at + e, model.size)[0] - values for e in np.diag(EPSILON)]
        slope = np.stack([m @ fit.matrix.T / e for m, e in zip(moved, EPSILON)], axis=-1)
        slopes.append(slope @ _turning(model, p, v))
    return np.nan_to_num(np.concatenate(slopes)[fit.ok]).reshape(-1, len(p)), fit.rest.ravel()


def _turning(model: Placed, p: np.ndarray, view: _View) -> np.ndarray:
    """How the similarity follows the placement's numbers, 4 × numbers."""

    def at(q: np.ndarray) -> np.ndarray:
        return model.similarity(q, view.gray.shape, view.landmarks)

    e = 1e-6 * np.eye(len(p))
    return np.stack([at(p + d) - at(p - d) for d in e], axis=1) / 2e-6
