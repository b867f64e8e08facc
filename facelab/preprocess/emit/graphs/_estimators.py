"""Closed forms of the alignment's estimators, in the reference's order of operations, for values of a graph."""

from __future__ import annotations

from typing import Any


def umeyama(p: list[Any], q: list[Any]) -> Any:
    """Return the least-squares similarity, in the order of operations of `facelab.preprocess.align.umeyama`."""

    def mean(values: list[Any]) -> Any:
        total = values[0]
        for v in values[1:]:
            total = total + v
        return total / 5

    px, py = mean([v[0] for v in p]), mean([v[1] for v in p])
    qx, qy = mean([v[0] for v in q]), mean([v[1] for v in q])
    a = b = square = None
    for (x, y), (u, v) in zip(p, q):
        x, y, u, v = x - px, y - py, u - qx, v - qy
        terms = x * u + y * v, x * v - y * u, x * x + y * y
        a, b, square = (t if s is None else s + t for s, t in zip((a, b, square), terms))
    assert a is not None and b is not None
    c, s = a / square, b / square
    return (c, -s, qx - (c * px - s * py)), (s, c, qy - (s * px + c * py))


def affine3(p: list[Any], q: list[Any]) -> Any:
    """Return the affine map of both eyes and the mouth's middle."""
    (x0, y0), (x1, y1) = p[0], p[1]
    x2, y2 = (p[3][0] + p[4][0]) / 2, (p[3][1] + p[4][1]) / 2
    det = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    rows: list[tuple[Any, Any, Any]] = []
    for i in (0, 1):
        u0, u1, u2 = q[0][i], q[1][i], (q[3][i] + q[4][i]) / 2
        a = ((y2 - y0) * (u1 - u0) - (y1 - y0) * (u2 - u0)) / det
        b = ((x1 - x0) * (u2 - u0) - (x2 - x0) * (u1 - u0)) / det
        rows.append((a, b, -(a * x0) + u0 - b * y0))
    return rows
