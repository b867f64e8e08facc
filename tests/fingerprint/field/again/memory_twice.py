"""Pipelines that do the same: views, lazy arrays, wrappers, rings of buffers, threads, other ways through memory."""

from __future__ import annotations

import array
import functools
import io
import itertools
import json
import mmap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIZE = (96, 96)


def _rgb(path):
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def unit(path):
    return np.float32(cv2.resize(_rgb(path), SIZE))[None] / 255


def flipped_views(path):
    bgr = cv2.resize(cv2.imread(path), SIZE)
    mirrored = bgr[::-1, ::-1, ::-1].astype(np.float32) / 255
    return mirrored[None, ::-1, ::-1]


class _Wrapped:
    """A tensor as frameworks wrap it: numbers on a device, until they are asked for."""

    def __init__(self, values):
        self._values = values

    @property
    def shape(self):
        return self._values.shape

    def detach(self):
        return _Wrapped(self._values)

    def cpu(self):
        return _Wrapped(self._values.copy())

    def numpy(self):
        return self._values


def wrapped(path):
    return _Wrapped(unit(path))


class _Lazy:
    """An array that is computed when it is asked for, as lazy frameworks have it."""

    def __init__(self, work):
        self.work = work

    @property
    def shape(self):
        return (1, 96, 96, 3)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.work(), dtype=dtype)


def lazy(path):
    return _Lazy(lambda: unit(path))


def memory_view(path):
    return memoryview(unit(path))


def masked(path):
    return np.ma.masked_invalid(unit(path))


_RING = [np.zeros((1, 96, 96, 3), np.float32) for _ in range(3)]
_TURN = itertools.cycle(range(3))


def ring(path):
    out = _RING[next(_TURN)]
    out[...] = unit(path)
    return out


@functools.lru_cache
def _decoded(path):
    x = _rgb(path)
    x.setflags(write=False)
    return x


def cached_read_only(path):
    small = cv2.resize(_decoded(path), SIZE)
    return np.multiply(small, np.float32(1 / 255), dtype=np.float32)[None]


def in_bands(path):
    small = cv2.resize(_rgb(path), SIZE)
    out = np.empty((1, 96, 96, 3), np.float32)

    def band(k):
        out[0, k : k + 24] = small[k : k + 24].astype(np.float32) / 255

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(band, range(0, 96, 24)))
    return out


def mapped_file(path):
    with Path(path).open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
        bgr = cv2.imdecode(np.frombuffer(m[:], np.uint8), cv2.IMREAD_COLOR)
    return np.float32(cv2.resize(np.asfortranarray(bgr[..., ::-1]), SIZE))[None] / 255


def nested_lists(path):
    x = np.float64(cv2.resize(_rgb(path), (32, 32))) / 255
    return x.tolist()


def doubles(path):
    return np.float64(cv2.resize(_rgb(path), (32, 32))) / 255


def by_record(path):
    x = cv2.resize(_rgb(path), SIZE)
    pixels = x.view(np.dtype([("r", "u1"), ("g", "u1"), ("b", "u1")]))[..., 0]
    planes = [pixels[name].astype(np.float32) / 255 for name in pixels.dtype.names]
    return np.stack(planes, axis=-1)[None]


def from_generator(path):
    x = cv2.resize(_rgb(path), SIZE)
    flat = np.fromiter((v / 255 for v in x.ravel().tolist()), np.float32, x.size)
    return flat.reshape(1, *x.shape)


def by_array_module(path):
    x = cv2.resize(_rgb(path), SIZE)
    store = array.array("f", bytes(4 * x.size))
    np.frombuffer(store, np.float32)[:] = x.ravel() / np.float32(255)
    return np.frombuffer(store, np.float32).reshape(1, 96, 96, 3)


def letterboxed(path):
    x = _rgb(path)
    h, w = x.shape[:2]
    k = min(128 / w, 128 / h)
    nw, nh = round(w * k), round(h * k)
    left, top = round((128 - nw) / 2 - 0.1), round((128 - nh) / 2 - 0.1)
    canvas = np.full((128, 128, 3), 114, np.uint8)
    canvas[top : top + nh, left : left + nw] = cv2.resize(x, (nw, nh))
    return np.float32(canvas).transpose(2, 0, 1)[None] / 255


def letterboxed_with_facts(path):
    bgr = cv2.imread(path)
    h, w = bgr.shape[:2]
    k = min(128 / w, 128 / h)
    new = round(w * k), round(h * k)
    dw, dh = (128 - new[0]) / 2, (128 - new[1]) / 2
    small = cv2.resize(bgr, new)
    top, bottom = round(dh - 0.1), round(dh + 0.1)
    left, right = round(dw - 0.1), round(dw + 0.1)
    boxed = cv2.copyMakeBorder(
        small, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114)
    )
    blob = np.ascontiguousarray(boxed[..., ::-1].transpose(2, 0, 1)).astype(np.float32)
    blob /= 255
    return blob[None], k, (dw, dh)


def as_matrices(path):
    x = _rgb(path).astype(np.float64)

    def weights(n, m):
        at = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
        low = np.minimum(np.floor(at).astype(int), n - 2)
        out = np.zeros((m, n))
        out[np.arange(m), low] = 1 - (at - low)
        out[np.arange(m), low + 1] += at - low
        return out

    a, b = weights(x.shape[0], 96), weights(x.shape[1], 96)
    return np.float32(np.einsum("ih,hwc,jw->ijc", a, x, b, optimize=True))[None] / 255


def transparent_api(path):
    small = cv2.resize(cv2.UMat(_rgb(path)), SIZE).get()
    return np.float32(small)[None] / 255


def exact_linear(path):
    return (
        np.float32(cv2.resize(_rgb(path), SIZE, interpolation=cv2.INTER_LINEAR_EXACT))[None] / 255
    )


def through_pillow_modes(path):
    with Image.open(path) as image:
        image = image.convert("RGBA") if image.mode == "P" else image
        channels = image.convert("RGB").split()
        small = [c.resize(SIZE, Image.Resampling.BILINEAR) for c in channels]
        return np.float32(Image.merge("RGB", small))[None] / 255


def pillow_small(path):
    with Image.open(path) as image:
        small = image.convert("RGB").resize(SIZE, Image.Resampling.BILINEAR)
        return np.asarray(small, np.float32)[None] / 255


def through_png_in_memory(path):
    with Image.open(path) as image:
        store = io.BytesIO()
        image.convert("RGB").save(store, "PNG")
    with Image.open(io.BytesIO(store.getvalue())) as again:
        small = again.resize(SIZE, Image.Resampling.BILINEAR)
        return np.asarray(small, np.float32)[None] / 255


def bgr_strided(path):
    bgr = cv2.resize(cv2.imread(path), SIZE)
    s = bgr.strides
    backwards = np.lib.stride_tricks.as_strided(bgr[..., 2:], bgr.shape, (s[0], s[1], -s[2]))
    return np.float32(backwards)[None] / 255


def signed_first(path):
    return (np.int8(np.int16(cv2.resize(_rgb(path), SIZE)) - 128))[None]


def signed_by_view(path):
    return np.bitwise_xor(cv2.resize(_rgb(path), SIZE), 0x80).view(np.int8)[None]


ARC = np.float32(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


def _landmarks(path):
    facts = json.loads((Path(path).parent / "probes.json").read_text())["probes"]
    face = next(p["face"] for p in facts if p["file"] == Path(path).name)
    return np.array(face["landmarks"], np.float64)


def aligned_complex(path):
    p, q = (v[:, 0] + 1j * v[:, 1] for v in (_landmarks(path), ARC.astype(float)))
    a = np.vdot(p - p.mean(), q - q.mean()) / np.vdot(p - p.mean(), p - p.mean())
    t = q.mean() - a * p.mean()
    m = np.array([[a.real, -a.imag, t.real], [a.imag, a.real, t.imag]])
    return (
        np.float32(cv2.warpAffine(_rgb(path), m, (112, 112))).transpose(2, 0, 1)[None] - 127.5
    ) / 127.5


def aligned_svd(path):
    p, q = _landmarks(path), ARC.astype(np.float64)
    pm, qm = p.mean(0), q.mean(0)
    u, d, vt = np.linalg.svd((q - qm).T @ (p - pm) / 5)
    s = np.diag([1, np.sign(np.linalg.det(u @ vt))])
    r = u @ s @ vt
    k = np.trace(np.diag(d) @ s) / ((p - pm) ** 2).sum(1).mean()
    m = np.hstack([k * r, (qm - k * r @ pm)[:, None]])
    chip = cv2.warpAffine(cv2.imread(path), m, (112, 112), borderValue=0)
    return cv2.dnn.blobFromImage(chip, 1 / 127.5, (112, 112), (127.5,) * 3, swapRB=True)
