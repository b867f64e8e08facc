"""Paint every visible point of a drawing: albedo, gloss, occlusion and normal, each by what the point belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, kernel, part
from facelab.datasets.synthetic._noise import MOTTLE, PORE, lookup
from facelab.datasets.synthetic._scalar import clip, step
from facelab.datasets.synthetic.appearance import _eyes as eyes
from facelab.datasets.synthetic.appearance import _hair as hair
from facelab.datasets.synthetic.appearance import _skin as skin
from facelab.datasets.synthetic.geometry._raster import (
    BODY,
    CURTAIN,
    EAR,
    FACE_AZIMUTH,
    FACE_TOP,
    HEAD,
    LENS,
    corners,
    weights,
)

FRONT = 1.3  # azimuth up to which features are painted
FINE = 1 / 60  # pixels smaller than this (100 mm) show pores as relief
RED, GREEN, BLUE, GLOSS, OPEN, NX, NY, NZ = range(8)
SURFACE = 8
ON_FACE, METERED = 1, 2
BLOCK = 128  # points whose textures are looked up together


@kernel
def paint(
    face: Any,
    tables: np.ndarray,
    moles: np.ndarray,
    look: Record,
    glints: np.ndarray,
    cloth: Any,
    noise: Any,
    turn: np.ndarray,
    grids: Any,
    meshes: tuple[np.ndarray, np.ndarray, np.ndarray],
    points: np.ndarray,
    point: Any,
    out: np.ndarray,
    marks: np.ndarray,
) -> None:
    """Paint the visible points (n,) of POINT_AT.

    `meshes` is (screen, paint coordinates, normals) of the vertices. Writes SURFACE float32 numbers for each point
    into `out` (8, n), and whether it is ON_FACE and METERED into `marks`.
    """
    place, fine = np.empty((6, BLOCK)), np.empty((4, BLOCK))
    for first in range(0, points.shape[0], BLOCK):
        block = points[first : first + BLOCK]
        _locate(block, grids, meshes, place)
        _look_up(face, block.shape[0], look.pixel < FINE, noise, place, fine)
        for k in range(block.shape[0]):
            n, v, w = first + k, place[1, k], place[2, k]
            nx, ny, nz = place[3, k], place[4, k], place[5, k]
            _start(point, place[0, k], v, w)
            marks[n], kind = 0, grids[block[k].owner].kind
            if kind == HEAD:
                _head(face, tables, point, moles, look, glints, noise, fine[0, k], fine[1, k])
                nx, ny, nz = _normal(point, fine[2, k], fine[3, k], turn, nx, ny, nz)
                if abs(w) < FACE_AZIMUTH and v < FACE_TOP:
                    marks[n] = ON_FACE | METERED if abs(w) < 0.8 and v < 0.3 else ON_FACE
            else:
                _other(face, point, kind, cloth, noise)
            size = 1.0 / (np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
            out[RED, n], out[GREEN, n], out[BLUE, n] = point.red, point.green, point.blue
            out[GLOSS, n], out[OPEN, n] = point.gloss, point.occlusion
            out[NX, n], out[NY, n], out[NZ, n] = nx * size, ny * size, nz * size


@part
def _locate(
    block: Any, grids: Any, meshes: tuple[np.ndarray, np.ndarray, np.ndarray], place: np.ndarray
) -> None:
    """Write the paint coordinates and the normal of each point of a block, (6, n)."""
    screen, coordinates, normals = meshes
    for k in range(block.shape[0]):
        at = block[k]
        a, b, c = corners(at.code, grids[at.owner].columns)
        wa, wb, wc = weights(screen, a, b, c, at.x, at.y)
        for i in range(3):
            place[i, k] = coordinates[a, i] * wa + coordinates[b, i] * wb + coordinates[c, i] * wc
        for i in range(3):
            place[3 + i, k] = normals[a, i] * wa + normals[b, i] * wb + normals[c, i] * wc


@part
def _look_up(
    f: Record, count: int, relief: Any, noise: np.ndarray, place: np.ndarray, fine: np.ndarray
) -> None:
    """Write what fine textures say of each point of a block as part of the head: two of skin, two of its relief.

    These lie farther apart in memory than a processor reads at once. In a loop of their own they are fetched beside
    each other; among the sums of a point, each one made the processor wait: a quarter of the time of painting.
    """
    for k in range(count):
        u, v = (place[0, k] + 3.0) * 150.0, (place[1, k] + 3.0) * 150.0
        fine[0, k] = lookup(noise, MOTTLE, u + f.offset2, v + f.offset3)
        fine[1, k] = lookup(noise, PORE, u * 3.3 + f.offset4, v * 3.3 + f.offset5)
    for k in range(count):
        u, v = (place[0, k] + 3.0) * 520.0, (place[1, k] + 3.0) * 520.0
        # two texels of one line of memory, farther apart than a pore is wide
        fine[2, k] = lookup(noise, PORE, u, v) if relief else 0.0
        fine[3, k] = lookup(noise, PORE, u + 13.0, v) if relief else 0.0


@part
def _start(p: Record, u: float, v: float, w: float) -> None:
    p.x, p.y, p.theta, p.ax = u, v, w, abs(u)
    p.side = 1.0 if u > 0.0 else -1.0 if u < 0.0 else 0.0
    p.occlusion, p.eye = 1.0, 0.0


@part
def _head(
    f: Record,
    tables: np.ndarray,
    p: Record,
    moles: np.ndarray,
    look: Record,
    glints: np.ndarray,
    noise: np.ndarray,
    mottle: float,
    pores: float,
) -> None:
    """Paint a point of the head: skin, features, mask, hair over all."""
    share, shadow = hair.scalp(f, tables, p, noise)
    p.gloss = f.gloss
    if share < 1.0:
        skin.complexion(f, p, moles, noise, mottle, pores)
        if abs(p.theta) < FRONT:
            skin.beard(f, tables, p, noise)
            skin.folds(f, p)
            skin.brows(f, p, noise)
            eyes.mouth(f, tables, p, look.pixel, noise)
            eyes.eyes(f, tables, p, look, glints, noise)
        if look.mask > 0.0:
            skin.surgical_mask(f, p)
    else:
        p.red, p.green, p.blue = 0.0, 0.0, 0.0
    if shadow > 0.0 or share > 0.0:
        hair.cover(f, p, share, shadow, noise)


@part
def _normal(
    p: Record, bump_x: float, bump_y: float, turn: np.ndarray, nx: float, ny: float, nz: float
) -> tuple[float, float, float]:
    """Return the normal of a point of the head with its pores, bent to the eyeball's where an eye is open."""
    relief = 0.045 * (1.0 - p.eye)
    nx, ny, nz = nx + relief * bump_x, ny + relief * bump_y, abs(nz)
    if p.eye > 0.0:
        x, y = p.eye_x, p.eye_y
        z = np.sqrt(clip(1.0 - x * x - y * y, 0.1, 1.0))
        nx += p.eye * (turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z - nx)
        ny += p.eye * (turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z - ny)
        nz += p.eye * (turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z - nz)
    return nx, ny, nz


@part
def _other(f: Record, p: Record, kind: Any, cloth: Record, noise: np.ndarray) -> None:
    """Paint a point of an ear, the body, long hair or glasses."""
    if kind == EAR:
        skin.ear(f, p)
    elif kind == BODY:
        skin.torso(f, p, cloth, noise)
    elif kind == CURTAIN:
        tone, gloss = hair.strands(f, p.x, p.y, noise)
        p.red, p.green, p.blue = f.hair_r * tone, f.hair_g * tone, f.hair_b * tone
        p.gloss = gloss * 0.8
    elif kind == LENS:
        sheen = 0.02 + 0.05 * step(-0.1, 0.25, p.y + p.x * 0.3)
        p.red, p.green, p.blue = 0.010 + sheen, 0.011 + sheen, 0.013 + sheen
        p.gloss = 0.15
    else:
        p.red, p.green, p.blue, p.gloss = f.frame_r, f.frame_g, f.frame_b, 0.8
