"""Five points of an aligned face, and the similarity that takes others to them."""

from __future__ import annotations

import numpy as np

FIVE = np.float64(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


def similarity(p, q):
    """Return the 2×3 map from points `p` to points `q` by least squares, as one complex factor and offset."""
    p, q = np.asarray(p, float) @ [1, 1j], np.asarray(q, float) @ [1, 1j]
    a = np.vdot(p - p.mean(), q - q.mean()) / np.vdot(p - p.mean(), p - p.mean())
    b = q.mean() - a * p.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def network(x):
    """Return pixels (h, w, 3) as a network takes them: 1×3×h×w from -1 to 1."""
    x = (np.float32(x) - 127.5).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(x / np.float32(127.5))
