"""Depth geometry: how far a face is from a plane and from a bent sheet, and how far the nose stands out.

A sheet is a plane, or, bent, nearly a quadric. A face leaves millimetres of residual to both, and its nose stands
some 20 to 40 mm before the plane of eyes and mouth corners.
"""

from __future__ import annotations

import math

import numpy as np

from facelab.core.errors import BadInputError
from facelab.liveness._base import LivenessModel
from facelab.liveness._presentation import Look, Presentation

LEAST_PIXELS = 50
NEAR_MM = 150.0
"""Pixels farther than this from the median are hair, wall or shoulder."""
KEPT = 0.97
"""Share of the pixels that count for a residual; the rest are edges, where depth cameras err most."""


class DepthGeometry(LivenessModel):
    """Score r / (1 + r), where r is the smaller of two ratios: residual by `relief_mm`, nose by `nose_mm`.

    Parameters
    ----------
    relief_mm : float
        RMS distance from the best quadric, sensor noise taken off, at which r is 1.
    nose_mm : float
        Prominence of the nose at which r is 1; left out where there are no landmarks.
    least_valid : float
        Share of the box that must have depth; below it there is no answer.

    Notes
    -----
    The limits are round lengths between those of sheets and those of faces. A mask has the shape of a face and passes.
    """

    family = "depth-geometry"
    needs = frozenset({"depth"})

    def __init__(
        self,
        name: str = "depth-geometry",
        *,
        relief_mm: float = 2.0,
        nose_mm: float = 12.0,
        least_valid: float = 0.5,
    ):
        super().__init__(name)
        if relief_mm <= 0 or nose_mm <= 0 or not 0 <= least_valid <= 1:
            raise BadInputError(
                "a limit of depth geometry is out of range",
                where=name,
                expected="relief_mm > 0, nose_mm > 0, 0 <= least_valid <= 1",
                got=f"{relief_mm}, {nose_mm}, {least_valid}",
                fix="give limits in range",
            )
        self.relief_mm, self.nose_mm, self.least_valid = relief_mm, nose_mm, least_valid

    def _score(self, presentation: Presentation) -> tuple[float, str, dict[str, float]]:
        look = presentation.looks[-1]
        details = geometry(look)
        if details["valid share"] < self.least_valid:
            share = details["valid share"]
            return math.nan, f"only {share:.0%} of the box has depth", details
        if math.isnan(details["quadric residual mm"]):
            return math.nan, "too few pixels with depth", details
        relief = _without_noise(details["quadric residual mm"], details["noise mm"])
        ratios = [relief / self.relief_mm]
        if look.landmarks is not None:
            if math.isnan(details["nose mm"]):
                return math.nan, "no depth at a landmark", details
            ratios.append(max(0.0, details["nose mm"]) / self.nose_mm)
        r = min(ratios)
        return r / (1 + r), "", details


def _without_noise(residual: float, noise: float) -> float:
    return math.sqrt(max(0.0, residual * residual - noise * noise))


def geometry(look: Look) -> dict[str, float]:
    """Return what depth says of the face in a look's box.

    Parameters
    ----------
    look : Look
        With depth; landmarks are needed for the nose.

    Returns
    -------
    dict of str to float
        `valid share`; `plane residual mm` and `quadric residual mm`, robust RMS; `noise mm`, the sensor's own, from
        differences of near pixels; `nose mm` before the plane of eyes and mouth corners; `distance mm`. NaN where it
        cannot be determined.
    """
    assert look.depth is not None
    sx, sy = look.depth_scale
    x1, y1, x2, y2 = np.rint(look.box * (sx, sy, sx, sy)).astype(int)
    patch = look.depth[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)].astype(np.float64)
    known = patch > 0
    out = {"valid share": float(known.mean()) if patch.size else 0.0}
    if known.sum() < LEAST_PIXELS:
        names = ("plane residual mm", "quadric residual mm", "noise mm", "nose mm", "distance mm")
        return out | dict.fromkeys(names, math.nan)
    near = known & (np.abs(patch - np.median(patch[known])) < NEAR_MM)
    return out | {
        "plane residual mm": surface_residual(patch, near, quadric=False),
        "quadric residual mm": surface_residual(patch, near, quadric=True),
        "noise mm": sensor_noise(patch, near),
        "nose mm": nose_prominence(look),
        "distance mm": float(np.median(patch[near])) if near.any() else math.nan,
    }


def surface_residual(patch: np.ndarray, near: np.ndarray, *, quadric: bool) -> float:
    """Return the robust RMS distance (mm) of the pixels `near` from their best plane, or their best quadric."""
    if near.sum() < LEAST_PIXELS:
        return math.nan
    y, x = np.nonzero(near)
    d = patch[near]
    u, v = x / max(1, patch.shape[1]) - 0.5, y / max(1, patch.shape[0]) - 0.5
    columns = [u, v, np.ones_like(u)] + ([u * u, u * v, v * v] if quadric else [])
    design = np.stack(columns, axis=1)
    keep = np.ones(len(d), bool)
    residual = d
    for _ in range(3):
        gram = design[keep].T @ design[keep] + 1e-9 * np.eye(design.shape[1])
        residual = d - design @ np.linalg.solve(gram, design[keep].T @ d[keep])
        # a limit of this many deviations would leave out the nose, which is what tells a face from a sheet
        keep = np.abs(residual) <= np.quantile(np.abs(residual), KEPT)
        if keep.sum() < LEAST_PIXELS:
            return math.nan
    return float(np.sqrt(np.mean(residual[keep] ** 2)))


def sensor_noise(patch: np.ndarray, near: np.ndarray, lag: int = 3) -> float:
    """Return the noise (mm) that differences of pixels `lag` apart show; slopes cancel, edges count little."""
    a, b, c = patch[:, : -2 * lag], patch[:, lag:-lag], patch[:, 2 * lag :]
    whole = near[:, : -2 * lag] & near[:, lag:-lag] & near[:, 2 * lag :]
    if patch.shape[1] <= 2 * lag or whole.sum() < LEAST_PIXELS:
        return 0.0
    bend = (b - (a + c) / 2)[whole]
    return float(1.4826 * np.median(np.abs(bend - np.median(bend))) / math.sqrt(1.5))


def nose_prominence(look: Look) -> float:
    """Return how many mm the nose stands before the plane of eyes and mouth corners; NaN where depth is missing."""
    if look.landmarks is None or look.depth is None:
        return math.nan
    points = look.landmarks * look.depth_scale
    radius = max(1, round(0.04 * (look.box[2] - look.box[0]) * look.depth_scale[0]))
    z = np.array([_depth_at(look.depth, p, radius) for p in points])
    if np.isnan(z).any():
        return math.nan
    frame = [0, 1, 3, 4]
    design = np.c_[points[frame], np.ones(4)]
    plane, *_ = np.linalg.lstsq(design, z[frame], rcond=None)
    return float(np.r_[points[2], 1] @ plane - z[2])


def _depth_at(depth: np.ndarray, point: np.ndarray, radius: int) -> float:
    x, y = np.rint(point).astype(int)
    around = depth[
        max(0, y - radius) : max(0, y + radius + 1), max(0, x - radius) : max(0, x + radius + 1)
    ]
    known = around[around > 0]
    return float(np.median(known)) if known.size else math.nan


LIVENESS = DepthGeometry
