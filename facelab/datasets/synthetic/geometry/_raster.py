"""From meshes to visible points: pose, normals, projection, and a z-buffer in fixed-point arithmetic.

Corners are rounded to 1/64 pixel and edges are evaluated in integers, so that neighbouring triangles leave no cracks
and no machine decides a border pixel differently. Depth is interpolated with plain float operations that the compiler
may not fuse.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, kernel, part
from facelab.datasets.synthetic._scalar import step

SUBPIXEL = 64
NOTHING = -3.0  # the depth of an empty pixel (100 mm; behind every head)
HEAD, EAR, BODY, CURTAIN, FRAME, LENS = range(6)
PIVOT_Y, PIVOT_Z = -0.55, -0.15  # heads turn about this point in the neck
FACE_AZIMUTH, FACE_TOP = 1.10, 0.62  # the box reaches from chin to hairline and from cheek to cheek
FAR = 1 << 26  # corners are held within this many subpixels, so that products stay within int64
GRID = np.dtype(
    [("start", np.int64), ("rows", np.int64), ("columns", np.int64), ("kind", np.int64)]
)
POINT_AT = np.dtype([(name, np.int32) for name in ("pixel", "code", "owner", "x", "y", "weight")])
CAMERA = np.dtype(
    [(name, np.float64) for name in ("x", "y", "scale", "distance", "ratio_x", "ratio_y")]
)


@part
def _turned(m: Any, x: float, y: float, z: float) -> tuple[Any, Any, Any]:
    return (
        m[0, 0] * x + m[0, 1] * y + m[0, 2] * z,
        m[1, 0] * x + m[1, 1] * y + m[1, 2] * z,
        m[2, 0] * x + m[2, 1] * y + m[2, 2] * z,
    )


@part
def project(camera: Record, x: float, y: float, z: float) -> tuple[Any, Any]:
    """Return where a posed point is on the sensor, in working pixels."""
    k = camera.scale * camera.distance / (camera.distance - z)
    return (camera.x + x * k) * camera.ratio_x, (camera.y - y * k) * camera.ratio_y


@kernel
def pose(
    grids: np.ndarray,
    points: np.ndarray,
    paint: np.ndarray,
    turn: np.ndarray,
    still: np.ndarray,
    camera: Record,
    screen: np.ndarray,
) -> None:
    """Pose the vertices in place and write their place on the sensor in subpixels.

    `turn` (3, 3) turns the head; the body keeps `still`, except for the top of its neck, which follows the head.
    """
    for g in range(grids.shape[0]):
        grid = grids[g]
        for k in range(grid.start, grid.start + grid.rows * grid.columns):
            x, y, z = points[k, 0], points[k, 1] - PIVOT_Y, points[k, 2] - PIVOT_Z
            a, b, c = _turned(turn, x, y, z)
            if grid.kind == BODY:
                share = step(0.13, 0.0, paint[k, 1])
                x, y, z = _turned(still, x, y, z)
                a, b, c = x + share * (a - x), y + share * (b - y), z + share * (c - z)
            b, c = b + PIVOT_Y, c + PIVOT_Z
            points[k, 0], points[k, 1], points[k, 2] = a, b, c
            px, py = project(camera, a, b, c)
            screen[k, 0] = int(np.rint(min(max(px * SUBPIXEL, -FAR), FAR)))
            screen[k, 1] = int(np.rint(min(max(py * SUBPIXEL, -FAR), FAR)))


@kernel
def normals(grids: np.ndarray, points: np.ndarray, out: np.ndarray) -> None:
    """Write the unit normal of each posed vertex, from its neighbours; small parts look at the camera."""
    for g in range(grids.shape[0]):
        grid = grids[g]
        rows, columns, flip = grid.rows, grid.columns, grid.kind not in (HEAD, BODY)
        for i in range(rows):
            above = grid.start + max(i - 1, 0) * columns
            below = grid.start + min(i + 1, rows - 1) * columns
            row = grid.start + i * columns
            for j in range(columns):
                if grid.kind in (FRAME, LENS):
                    out[row + j, 0], out[row + j, 1], out[row + j, 2] = 0.0, 0.3, 0.95
                    continue
                a, b = row + max(j - 1, 0), row + min(j + 1, columns - 1)
                ux, uy, uz = (
                    points[b, 0] - points[a, 0],
                    points[b, 1] - points[a, 1],
                    points[b, 2] - points[a, 2],
                )
                a, b = above + j, below + j
                vx, vy, vz = (
                    points[b, 0] - points[a, 0],
                    points[b, 1] - points[a, 1],
                    points[b, 2] - points[a, 2],
                )
                x, y, z = vy * uz - vz * uy, vz * ux - vx * uz, vx * uy - vy * ux
                size = 1.0 / (np.sqrt(x * x + y * y + z * z) + 1e-9)
                if flip and z < 0.0:
                    size = -size
                out[row + j, 0], out[row + j, 1], out[row + j, 2] = x * size, y * size, z * size


@part
def _cross(ax: float, ay: float, bx: float, by: float, cx: float, cy: float) -> float:
    return (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)


@part
def _corner(screen: Any, k: Any) -> tuple[Any, Any]:
    """Return a vertex's place in subpixels, wide enough for products."""
    return np.int64(screen[k, 0]), np.int64(screen[k, 1])


@part
def _pixels(low: Any, high: Any, size: Any) -> tuple[Any, Any]:
    """Return the first and the last pixel whose centre lies within low … high subpixels and in the picture."""
    half = SUBPIXEL // 2  # centres are at odd multiples of half a pixel
    return max(0, (low + half - 1) >> 6), min(size - 1, (high - half) >> 6)


@part
def _fill(
    screen: Any,
    points: Any,
    a: Any,
    b: Any,
    c: Any,
    code: int,
    owner: int,
    hide: int,
    depth: np.ndarray,
    best: np.ndarray,
    owners: np.ndarray,
) -> int:
    """Draw one triangle, unless it shows its back and `hide` is set; return how many pixels it covers first."""
    xa, ya = _corner(screen, a)
    xb, yb = _corner(screen, b)
    xc, yc = _corner(screen, c)
    area = _cross(xa, ya, xb, yb, xc, yc)
    if area == 0 or (hide and area > 0):
        return 0
    height, width = depth.shape
    x0, x1 = _pixels(min(xa, xb, xc), max(xa, xb, xc), width)
    y0, y1 = _pixels(min(ya, yb, yc), max(ya, yb, yc), height)
    if x0 > x1 or y0 > y1:
        return 0
    sign = 1 if area > 0 else -1
    za, share = points[a, 2], 1.0 / abs(area)
    slope_b, slope_c = (points[b, 2] - za) * share, (points[c, 2] - za) * share
    da, db = sign * SUBPIXEL * (yb - yc), sign * SUBPIXEL * (yc - ya)
    fresh = 0
    for i in range(y0, y1 + 1):
        cy, cx = i * SUBPIXEL + SUBPIXEL // 2, x0 * SUBPIXEL + SUBPIXEL // 2
        ea = sign * _cross(xb, yb, xc, yc, cx, cy)
        eb = sign * _cross(xc, yc, xa, ya, cx, cy)
        ec = abs(area) - ea - eb
        for j in range(x0, x1 + 1):
            if (ea | eb | ec) >= 0:
                z = np.float32(za + eb * slope_b + ec * slope_c)
                if z > depth[i, j]:
                    if depth[i, j] == NOTHING:
                        fresh += 1
                    depth[i, j], best[i, j], owners[i, j] = z, code, owner
            ea, eb, ec = ea + da, eb + db, ec - da - db
    return fresh


@part
def _fill_cell(
    screen: Any,
    points: Any,
    a: Any,
    c: Any,
    owner: int,
    hide: int,
    depth: np.ndarray,
    best: np.ndarray,
    owners: np.ndarray,
) -> int:
    """Draw both triangles (a, c, b) and (b, c, d) of a cell with the vertices a, b = a + 1 and c, d = c + 1.

    Returns how many pixels they cover first. Writes what two calls of `_fill` would, in one walk: which triangle a
    pixel may belong to depends on its side of the diagonal from c to b.
    """
    xa, ya = _corner(screen, a)
    xb, yb = _corner(screen, a + 1)
    xc, yc = _corner(screen, c)
    xd, yd = _corner(screen, c + 1)
    height, width = depth.shape
    x0, x1 = _pixels(min(xa, xb, xc, xd), max(xa, xb, xc, xd), width)
    y0, y1 = _pixels(min(ya, yb, yc, yd), max(ya, yb, yc, yd), height)
    if x0 > x1 or y0 > y1:
        return 0
    upper, lower = _cross(xa, ya, xc, yc, xb, yb), _cross(xb, yb, xc, yc, xd, yd)
    if (upper ^ lower) < 0 or upper == 0 or lower == 0:  # a folded cell
        fresh = _fill(screen, points, a, c, a + 1, 2 * a, owner, hide, depth, best, owners)
        return fresh + _fill(
            screen, points, a + 1, c, c + 1, 2 * a + 1, owner, hide, depth, best, owners
        )
    if hide and upper > 0:
        return 0
    box = x0, x1, y0, y1
    return _walk(screen, points, a, c, owner, box, upper, lower, depth, best, owners)


@part
def _walk(
    screen: Any,
    points: Any,
    a: Any,
    c: Any,
    owner: int,
    box: tuple[Any, Any, Any, Any],
    upper: Any,
    lower: Any,
    depth: np.ndarray,
    best: np.ndarray,
    owners: np.ndarray,
) -> int:
    """Draw both triangles of a cell, whose doubled areas are `upper` and `lower`, within a box of pixels."""
    x0, x1, y0, y1 = box
    xa, ya = _corner(screen, a)
    xb, yb = _corner(screen, a + 1)
    xc, yc = _corner(screen, c)
    xd, yd = _corner(screen, c + 1)
    sign = 1 if upper > 0 else -1
    upper, lower = abs(upper), abs(lower)
    za, zb, zc, zd = points[a, 2], points[a + 1, 2], points[c, 2], points[c + 1, 2]
    share = 1.0 / upper
    upper_c, upper_b = (zc - za) * share, (zb - za) * share
    share = 1.0 / lower
    lower_c, lower_d = (zc - zb) * share, (zd - zb) * share
    step_diagonal, step_ab = sign * SUBPIXEL * (yc - yb), sign * SUBPIXEL * (yb - ya)
    step_cd, step_bd = sign * SUBPIXEL * (yc - yd), sign * SUBPIXEL * (yd - yb)
    fresh = 0
    for i in range(y0, y1 + 1):
        py, px = i * SUBPIXEL + SUBPIXEL // 2, x0 * SUBPIXEL + SUBPIXEL // 2
        diagonal = sign * _cross(xc, yc, xb, yb, px, py)
        ab = sign * _cross(xb, yb, xa, ya, px, py)
        cd = sign * _cross(xc, yc, xd, yd, px, py)
        bd = sign * _cross(xd, yd, xb, yb, px, py)
        for j in range(x0, x1 + 1):
            if diagonal >= 0:
                ac = upper - diagonal - ab
                if (ab | ac) >= 0:
                    z = np.float32(za + ab * upper_c + ac * upper_b)
                    if z > depth[i, j]:
                        fresh += depth[i, j] == NOTHING
                        depth[i, j], best[i, j], owners[i, j] = z, 2 * a, owner
            if diagonal <= 0 and (cd | bd) >= 0:
                z = np.float32(zb + bd * lower_c - diagonal * lower_d)
                if z > depth[i, j]:
                    fresh += depth[i, j] == NOTHING
                    depth[i, j], best[i, j], owners[i, j] = z, 2 * a + 1, owner
            diagonal, ab = diagonal + step_diagonal, ab + step_ab
            cd, bd = cd + step_cd, bd + step_bd
    return fresh


@kernel
def rasterize(
    grids: np.ndarray,
    hidden_back: Any,
    screen: np.ndarray,
    points: np.ndarray,
    depth: np.ndarray,
    best: np.ndarray,
    owners: np.ndarray,
) -> Any:
    """Draw every grid's triangles with a z-buffer; return the number of pixels covered.

    Writes for each pixel its depth, the triangle that won (twice its upper left vertex, plus one for the lower half)
    and that triangle's grid. `hidden_back` says that nothing can be seen of the inside of the head.
    """
    covered = 0
    for g in range(grids.shape[0]):
        grid = grids[g]
        hide = hidden_back and grid.kind == HEAD
        for i in range(grid.rows - 1):
            for a in range(grid.start + i * grid.columns, grid.start + (i + 1) * grid.columns - 1):
                c = a + grid.columns
                covered += _fill_cell(screen, points, a, c, g, hide, depth, best, owners)
    return covered


@part
def _centre(i: int, j: int, seen: Any, side: Any) -> tuple[float, float, int]:
    """Return the mean centre, in subpixels, of the samples of pixel (i, j) whose bits are set, and their number."""
    x, y, n, s = 0, 0, 0, 0
    for dy in range(side):
        for dx in range(side):
            if (seen >> s) & 1:
                x, y, n = x + 2 * dx + 1, y + 2 * dy + 1, n + 1
            s += 1
    half = SUBPIXEL // 2
    return j * side * SUBPIXEL + x * half // n, i * side * SUBPIXEL + y * half // n, n


@part
def _put_point(
    at: Record, pixel: Any, code: int, owner: int, x: float, y: float, weight: float
) -> None:
    at.pixel, at.code, at.owner, at.x, at.y, at.weight = pixel, code, owner, x, y, weight


@kernel
def resolve(
    depth: np.ndarray,
    best: Any,
    owners: Any,
    side: Any,
    near: np.ndarray,
    points: Any,
) -> int:
    """Gather `side` × `side` samples a pixel into visible points: one for each of the two first grids in a pixel.

    Writes the depth of each pixel's nearest sample into `near` (h, w), and POINT_AT records into `points`; returns
    how many. Samples of a third grid count as the second's.
    """
    count, width = 0, near.shape[1]
    whole = (1 << (side * side)) - 1
    for i in range(near.shape[0]):
        for j in range(width):
            nearest, first, second = np.float32(NOTHING), -1, -1
            seen, first_seen, first_owner = 0, 0, 0
            s = 0
            for y in range(i * side, (i + 1) * side):
                for x in range(j * side, (j + 1) * side):
                    if depth[y, x] != NOTHING:
                        nearest, owner = max(nearest, depth[y, x]), owners[y, x]
                        seen |= 1 << s
                        if first < 0:
                            first, first_owner = s, owner
                        if owner == first_owner:
                            first_seen |= 1 << s
                        elif second < 0:
                            second = s
                    s += 1
            near[i, j] = nearest
            if first < 0:
                continue
            pixel, y, x = i * width + j, i * side, j * side
            if first_seen == whole:  # most pixels: one grid covers all of it
                middle = side * SUBPIXEL // 2
                cx, cy, n = x * SUBPIXEL + middle, y * SUBPIXEL + middle, side * side
            else:
                y, x = y + first // side, x + first % side
                cx, cy, n = _centre(i, j, first_seen, side)
            _put_point(points[count], pixel, best[y, x], owners[y, x], cx, cy, n)
            count += 1
            if second >= 0:
                y, x = i * side + second // side, j * side + second % side
                cx, cy, n = _centre(i, j, seen & ~first_seen, side)
                _put_point(points[count], pixel, best[y, x], owners[y, x], cx, cy, n)
                count += 1
    return count


@part
def corners(
    code: int, columns: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray] | tuple[int, np.ndarray, int]:
    """Return the three vertices of a triangle that `rasterize` named."""
    a = code >> 1
    c = a + columns
    if code & 1:
        return a + 1, c, c + 1
    return a, c, a + 1


@part
def weights(screen: Any, a: Any, b: Any, c: Any, x: float, y: float) -> tuple[Any, Any, Any]:
    """Return the shares of a triangle's corners at a place in subpixels."""
    xa, ya = _corner(screen, a)
    xb, yb = _corner(screen, b)
    xc, yc = _corner(screen, c)
    scale = 1.0 / _cross(xa, ya, xb, yb, xc, yc)
    wa = _cross(xb, yb, xc, yc, x, y) * scale
    wb = _cross(xc, yc, xa, ya, x, y) * scale
    return wa, wb, 1.0 - wa - wb
