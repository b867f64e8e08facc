"""Pipelines that do the same by other libraries: other decoders, compilers, graphs and arithmetic."""

from __future__ import annotations

from pathlib import Path

import cv2
import imageio.v3
import numpy as np
import simplejpeg
from PIL import Image, ImageOps

SIZE = (96, 96)


def _finished(small):
    return np.float32(small)[None] / 127.5 - 1


def _turned(path):
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def opencv(path):
    return _finished(cv2.resize(np.ascontiguousarray(cv2.imread(path)[..., ::-1]), SIZE))


def imageio_turned(path):
    if not path.endswith(".jpg"):
        return _finished(cv2.resize(_turned(path), SIZE))
    return _finished(cv2.resize(imageio.v3.imread(path, plugin="pillow", rotate=True), SIZE))


def turbo(path):
    if not path.endswith(".jpg"):
        return _finished(cv2.resize(_turned(path), SIZE))
    with Image.open(path) as image:
        way = image.getexif().get(0x0112, 1)
    x = simplejpeg.decode_jpeg(Path(path).read_bytes(), colorspace="RGB")
    turns = {2: (0, 1), 3: (2, 0), 4: (2, 1), 5: (3, 1), 6: (3, 0), 7: (1, 1), 8: (1, 0)}
    quarter, mirrored = turns.get(way, (0, 0))
    x = np.rot90(x, quarter)
    x = x[:, ::-1] if mirrored else x
    return _finished(cv2.resize(np.ascontiguousarray(x), SIZE))


def lazily_by_dask(rgb):
    import dask.array as da

    x = da.from_array(cv2.resize(rgb, SIZE), chunks=(32, 96, 3))
    return (x.astype("float32") / 127.5 - 1)[None]


def plain_rgb(rgb):
    return _finished(cv2.resize(rgb, SIZE))


def compiled(rgb):
    import numba

    @numba.njit(cache=False)
    def work(x, out):
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                for c in range(3):
                    out[0, i, j, c] = x[i, j, c] * np.float32(1 / 127.5) - np.float32(1)

    out = np.empty((1, 96, 96, 3), np.float32)
    work(cv2.resize(rgb, SIZE), out)
    return out


def by_torch_formula(rgb):
    x = np.float32(cv2.resize(rgb, SIZE)) / np.float32(255)
    return ((x - np.float32(0.5)) / np.float32(0.5))[None]


def area_then_linear(rgb):
    small = cv2.resize(rgb, (48, 48), interpolation=cv2.INTER_AREA)
    return np.float32(small)[None] / 255


def area_by_integral(rgb):
    h, w = rgb.shape[:2]
    total = cv2.integral(rgb.astype(np.float64))
    ys, xs = np.arange(49) * h / 48, np.arange(49) * w / 48

    def at(values, where, n):
        low = np.minimum(np.floor(where).astype(int), n - 1)
        f = (where - low).reshape(-1, *[1] * (values.ndim - 1))
        return values[low] * (1 - f) + values[low + 1] * f

    rows = at(total, ys, h)
    both = at(rows.transpose(1, 0, 2), xs, w).transpose(1, 0, 2)
    sums = np.diff(np.diff(both, axis=0), axis=1)
    return np.float32(np.rint(sums / (h / 48 * w / 48)))[None] / 255


def tensorflow_graph(rgb):
    import tensorflow as tf

    x = tf.image.resize(tf.cast(rgb, tf.float32), SIZE[::-1], antialias=True)
    return (tf.round(x)[None] - 127.5) / 127.5


def pillow_graph(rgb):
    small = Image.fromarray(rgb).resize(SIZE, Image.Resampling.BILINEAR)
    return (np.float32(small)[None] - 127.5) / 127.5


def whitened_by_parts(rgb):
    x = np.float32(cv2.resize(rgb, SIZE))
    mean, deviation = cv2.meanStdDev(x.reshape(-1, 1))
    return ((x - mean[0, 0]) / deviation[0, 0])[None].astype(np.float32)


def whitened_plain(rgb):
    x = cv2.resize(rgb, SIZE).astype(np.float64)
    return np.float32((x - x.mean()) / x.std())[None]


def equalised_pillow(rgb):
    gray = np.asarray(Image.fromarray(rgb).convert("L").resize((48, 48), Image.Resampling.BILINEAR))
    return np.float32(cv2.equalizeHist(gray))[None, None] / 255


def equalised_by_hand(rgb):
    gray = np.asarray(Image.fromarray(rgb).convert("L").resize((48, 48), Image.Resampling.BILINEAR))
    total = np.bincount(gray.ravel(), minlength=256).cumsum()
    least = total[total > 0][0]
    if least == total[-1]:
        return np.float32(gray)[None, None] / 255
    table = np.rint((total - least) * (255 / (total[-1] - least))).clip(0, 255)
    return np.float32(table[gray])[None, None] / 255
