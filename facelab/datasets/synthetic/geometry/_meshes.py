"""Every mesh of one head in one list of vertices: head, ears, hair, glasses, neck and shoulders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facelab.datasets.synthetic._noise import textures
from facelab.datasets.synthetic.geometry import _parts as parts
from facelab.datasets.synthetic.geometry._expression import Features
from facelab.datasets.synthetic.geometry._head import detail_level, head_mesh, lattice, sections
from facelab.datasets.synthetic.geometry._raster import (
    BODY,
    CURTAIN,
    EAR,
    FRAME,
    GRID,
    HEAD,
    LENS,
)

LONG_STYLES = ("long", "longfringe", "medium")
_LENS_ROWS, _TEMPLE = 12, 40


@dataclass(frozen=True)
class Meshes:
    """Unposed vertices of all grids: `points`, `paint` (n, 3) float64, and `grids` (g,) of GRID; the head is first."""

    points: np.ndarray
    paint: np.ndarray
    grids: np.ndarray

    def grid(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the points and the paint coordinates of grid k as (rows, columns, 3)."""
        start, rows, columns, _ = self.grids[k].tolist()
        shape = (rows, columns, 3)
        end = start + rows * columns
        return self.points[start:end].reshape(shape), self.paint[start:end].reshape(shape)


def build(
    f: Features,
    face: np.ndarray,
    tables: np.ndarray,
    scale: float,
    eyewear: str,
    lowest: float | None,
) -> Meshes:
    """Build a head at a working scale in pixels per 100 mm; `lowest` is where its body ends (None: no body)."""
    t, columns = lattice(detail_level(scale))
    record, noise = face[0], textures()
    profile = np.empty((len(t), 4))
    sections(record, t, profile)
    shapes = [(HEAD, len(t), columns.shape[1]), *_shapes(f, scale, eyewear)]
    length = 0.0
    if lowest is not None:
        length = min(3.6, max(0.03, (-0.62 - lowest) / 4.2))
        rows = int(min(75, max(12, length * 4.2 * scale / 6)))
        shapes.append((BODY, rows, int(min(65, max(24, scale * 0.6)))))
    meshes = _allocate(shapes)
    head_mesh(record, tables, profile, columns, noise, *meshes.grid(0))
    kinds = [kind for kind, _, _ in shapes]
    for k, side in zip([k for k, kind in enumerate(kinds) if kind == EAR], (-1, 1), strict=False):
        parts.ear(record, side, profile, *meshes.grid(k))
    for k, side in zip(
        [k for k, kind in enumerate(kinds) if kind == CURTAIN], (-1, 1), strict=False
    ):
        parts.hair_curtain(record, side, noise, *meshes.grid(k))
    if FRAME in kinds:
        _wear(record, eyewear, meshes, kinds.index(FRAME))
    if lowest is not None:
        parts.body(record, length, *meshes.grid(len(kinds) - 1))
    return meshes


def _shapes(f: Features, scale: float, eyewear: str) -> list[tuple[int, int, int]]:
    """Return (kind, rows, columns) of the meshes between head and body."""
    who, out = f.who, []
    fine = max(10, min(32, int(scale * 0.3)))
    if not (who.hair_style in ("long", "longfringe") and who.hair_volume > 0.09):
        out += [(EAR, fine, max(10, fine * 3 // 4))] * 2
    if who.hair_style in LONG_STYLES:
        out += [(CURTAIN, 2 * fine, max(24, fine * 5 // 4))] * 2
    if eyewear != "none":
        points = max(32, min(120, int(scale)))
        out += [(FRAME, parts.RIBBON, points), (FRAME, parts.RIBBON, _TEMPLE)] * 2
        out.append((FRAME, parts.RIBBON, max(8, points // 3)))
        if eyewear == "sun":
            out += [(LENS, _LENS_ROWS, points)] * 2
    return out


def _allocate(shapes: list[tuple[int, int, int]]) -> Meshes:
    grids, start = np.empty(len(shapes), GRID), 0
    for k, (kind, rows, columns) in enumerate(shapes):
        grids[k] = (start, rows, columns, kind)
        start += rows * columns
    return Meshes(np.empty((start, 3)), np.empty((start, 3)), grids)


def _wear(record: np.void, eyewear: str, meshes: Meshes, first: int) -> None:
    """Write rims, arms, bow and dark lenses of glasses into the grids from `first` on."""
    kind = parts.EYEWEAR[eyewear]
    for n, side in enumerate((-1, 1)):
        parts.rim(record, kind, side, *meshes.grid(first + 2 * n))
        parts.temple(record, side, *meshes.grid(first + 2 * n + 1))
        if eyewear == "sun":
            parts.lens(record, kind, side, *meshes.grid(first + 5 + n))
    parts.bridge(record, *meshes.grid(first + 4))
