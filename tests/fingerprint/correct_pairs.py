"""The same pipelines written twice or more: with OpenCV, Pillow, numpy, TensorFlow and C, fed paths, RGB or BGR.

Each group holds functions that do one thing. Whatever two of them differ in is rounding, so no pair may be called a
mismatch. The code is written as it is found in the field and shares nothing with the package.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

GRAY = np.array([0.299, 0.587, 0.114])
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
POINTS = np.float32(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


def planar(x):
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None], np.float32)


def bilinear(x, size):
    """Half-pixel bilinear in float64, border repeated; x (h, w, c), size (width, height)."""
    for axis, n in ((1, size[0]), (0, size[1])):
        m = x.shape[axis]
        at = np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
        low = np.minimum(np.floor(at).astype(int), max(m - 2, 0))
        f = (at - low).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        x = x.take(low, axis) * (1 - f) + x.take(np.minimum(low + 1, m - 1), axis) * f
    return x


def triangle(x, size):
    """Pillow's bilinear: a triangle as wide as the step, each axis rounded to bytes."""
    for axis, n in ((1, size[0]), (0, size[1])):
        m = x.shape[axis]
        step = m / n
        wide = max(step, 1.0)
        centre = (np.arange(n)[:, None] + 0.5) * step
        w = np.maximum(0, 1 - np.abs((np.arange(m)[None] + 0.5 - centre) / wide))
        w /= w.sum(axis=1, keepdims=True)
        x = np.moveaxis(np.tensordot(w, x, (1, axis)), 0, axis)
        x = np.clip(np.floor(x + 0.5), 0, 255)
    return x


# --- 112×112, stretched without antialias, RGB −1…1, EXIF applied
def face_cv2(path):
    x = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    return planar((cv2.resize(x, (112, 112)).astype(np.float32) - 127.5) / 127.5)


def face_cv2_late_colour(path):
    x = cv2.resize(cv2.imread(path), (112, 112))
    return planar(x[..., ::-1].astype(np.float32) / 127.5 - 1)


def face_blob(path):
    return cv2.dnn.blobFromImage(
        cv2.imread(path), 1 / 127.5, (112, 112), (127.5, 127.5, 127.5), swapRB=True
    )


def face_float(path):
    x = cv2.imread(path)[..., ::-1].astype(np.float32) / 127.5 - 1
    return planar(cv2.resize(x, (112, 112)))


def face_numpy(path):
    x = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    return planar(bilinear(x.astype(np.float64), (112, 112)) / 127.5 - 1)


def face_torch_style(path):
    x = cv2.imread(path)[..., ::-1].astype(np.float64)
    return planar((np.rint(bilinear(x, (112, 112))) / 255 - 0.5) / 0.5)


def face_of_frame(frame):
    x = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    return planar((cv2.resize(x, (112, 112)).astype(np.float32) - 127.5) / 127.5)


def face_of_bgr(bgr):
    return face_of_frame(bgr)


def face_of_rgb(rgb):
    return planar((cv2.resize(rgb, (112, 112)).astype(np.float32) - 127.5) / 127.5)


def face_of_pillow(picture: Image.Image):
    x = cv2.resize(np.asarray(picture), (112, 112))
    return planar((x.astype(np.float32) - 127.5) / 127.5)


def face_of_path_called_image(image):
    return face_cv2(image)


C_SOURCE = """
#include <math.h>
#include <stdint.h>
/* RGB planes of -1..1 from BGR rows of `stride` bytes, bilinear with half-pixel centres. */
void prepare(const uint8_t *bgr, int w, int h, int stride, float *out, int n) {
  for (int y = 0; y < n; y++) for (int x = 0; x < n; x++) {
    double sx = (x + 0.5) * w / n - 0.5, sy = (y + 0.5) * h / n - 0.5;
    sx = fmin(fmax(sx, 0), w - 1); sy = fmin(fmax(sy, 0), h - 1);
    int x0 = (int)sx, y0 = (int)sy;
    int x1 = x0 + 1 < w ? x0 + 1 : x0, y1 = y0 + 1 < h ? y0 + 1 : y0;
    double fx = sx - x0, fy = sy - y0;
    for (int c = 0; c < 3; c++) {
      const uint8_t *p = bgr + 2 - c;
      double top = p[y0 * stride + 3 * x0] * (1 - fx) + p[y0 * stride + 3 * x1] * fx;
      double low = p[y1 * stride + 3 * x0] * (1 - fx) + p[y1 * stride + 3 * x1] * fx;
      out[(c * n + y) * n + x] = (float)(floor(top * (1 - fy) + low * fy + 0.5) / 127.5 - 1);
    }
  }
}
"""


@functools.cache
def _library():
    folder = tempfile.mkdtemp(prefix="facelab-c-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source, library = Path(folder) / "prepare.c", Path(folder) / "prepare.so"
    source.write_text(C_SOURCE)
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(library), "-lm"], check=True
    )
    return ctypes.CDLL(str(library))


def face_c(path):
    x = np.ascontiguousarray(cv2.imread(path))
    out = np.empty((1, 3, 112, 112), np.float32)
    _library().prepare(
        x.ctypes.data_as(ctypes.c_void_p),
        x.shape[1],
        x.shape[0],
        x.strides[0],
        out.ctypes.data_as(ctypes.c_void_p),
        112,
    )
    return out


def face_tensorflow(path):
    import tensorflow as tf

    x = tf.convert_to_tensor(cv2.imread(path)[..., ::-1].copy())
    x = tf.image.resize(x, (112, 112), method="bilinear")
    return tf.transpose(x / 127.5 - 1, (2, 0, 1))[None]


def net_tensorflow(path):
    import tensorflow as tf

    x = np.asarray(Image.open(path).convert("RGB"))
    x = tf.image.resize(x, (96, 96), method="bilinear", antialias=True)
    return tf.transpose((x / 255 - MEAN) / STD, (2, 0, 1))[None]


# --- 96×96, Pillow's bilinear, ImageNet statistics, EXIF ignored
def net_pillow(path):
    x = Image.open(path).convert("RGB").resize((96, 96), Image.BILINEAR)
    return planar((np.asarray(x, np.float32) / 255 - MEAN) / STD)


def net_reordered(path):
    x = np.asarray(Image.open(path).convert("RGB").resize((96, 96), Image.BILINEAR), np.float32)
    return planar(x * (1 / (255 * STD)) - MEAN / STD)


def net_float64(path):
    x = np.asarray(Image.open(path).convert("RGB").resize((96, 96), 2), np.float64)
    return planar((x - MEAN * 255) / (STD * 255)).astype(np.float64)


def net_numpy(path):
    x = np.asarray(Image.open(path).convert("RGB"), np.float64)
    return planar((triangle(x, (96, 96)) / 255 - MEAN) / STD)


def net_cv2_decoder(path):
    x = cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)[..., ::-1]
    x = Image.fromarray(np.ascontiguousarray(x)).resize((96, 96), Image.BILINEAR)
    return planar((np.asarray(x, np.float32) / 255 - MEAN) / STD)


# --- 64×64 gray by OpenCV's area, 0…1
def gray_cv2(path):
    x = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    return cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA)[None, ..., None] / np.float32(255)


def gray_converted(path):
    x = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY)
    x = cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA)
    return x.astype(np.float32)[None, ..., None] / 255


def gray_numpy(path):
    x = np.rint(cv2.imread(path)[..., ::-1] @ GRAY).astype(np.uint8)
    x = cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA)
    return (x / 255.0).astype(np.float32)[None, ..., None]


def gray_late(path):
    x = cv2.resize(cv2.imread(path), (64, 64), interpolation=cv2.INTER_AREA)
    return (x[..., ::-1] @ GRAY / 255).astype(np.float32)[None, ..., None]


def gray_of_frame(frame):
    x = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    return cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA)[None, ..., None] / np.float32(255)


# --- letterboxed into 320×320, BGR 0…1, border 114
def _box(x, resize):
    h, w = x.shape[:2]
    k = min(320 / w, 320 / h)
    nw, nh = round(w * k), round(h * k)
    out = np.full((320, 320, 3), 114, np.float64)
    left, top = (320 - nw) // 2, (320 - nh) // 2
    out[top : top + nh, left : left + nw] = resize(x, (nw, nh))
    return planar(out / 255)


def box_cv2(path):
    return _box(cv2.imread(path), cv2.resize)


def box_numpy(path):
    return _box(cv2.imread(path).astype(np.float64), bilinear)


def box_bordered(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    k = 320 / max(h, w)
    x = cv2.resize(x, (round(w * k), round(h * k)), interpolation=cv2.INTER_LINEAR)
    dw, dh = 320 - x.shape[1], 320 - x.shape[0]
    left, top = dw // 2, dh // 2
    x = cv2.copyMakeBorder(x, top, dh - top, left, dw - left, 0, value=(114, 114, 114))
    return planar(x.astype(np.float32) / 255)


def box_of_frame(frame):
    return _box(frame, cv2.resize)


# --- aligned by five landmarks
def _similarity(p):
    p, q = np.asarray(p, float), POINTS.astype(float)
    rows = np.array([[[x, -y, 1, 0], [y, x, 0, 1]] for x, y in p]).reshape(-1, 4)
    a, b, tx, ty = np.linalg.lstsq(rows, q.ravel(), rcond=None)[0]
    return np.array([[a, -b, tx], [b, a, ty]])


def chip_cv2(path, landmarks):
    x = cv2.warpAffine(cv2.imread(path)[..., ::-1], _similarity(landmarks), (112, 112))
    return planar((x.astype(np.float32) - 127.5) / 128)


def chip_late_colour(path, face):
    x = cv2.warpAffine(cv2.imread(path), _similarity(face["landmarks"]), (112, 112))
    return planar((x[..., ::-1].astype(np.float64) - 127.5) / 128)


def chip_umeyama(path, landmarks):
    p, q = np.asarray(landmarks, float), POINTS.astype(float)
    a, b = p - p.mean(0), q - q.mean(0)
    u, s, v = np.linalg.svd(b.T @ a)
    d = np.diag([1, np.sign(np.linalg.det(u @ v))])
    r = u @ d @ v * ((s * np.diag(d)).sum() / (a**2).sum())
    m = np.hstack([r, (q.mean(0) - r @ p.mean(0))[:, None]])
    x = cv2.warpAffine(cv2.imread(path)[..., ::-1], m, (112, 112), flags=cv2.INTER_LINEAR)
    return planar((x.astype(np.float32) - 127.5) / 128)


def chip_of_frame(frame, landmarks):
    x = cv2.warpAffine(frame, _similarity(landmarks), (112, 112))
    return planar((x[..., ::-1].astype(np.float32) - 127.5) / 128)


# --- bytes for a quantised model, centre square
def bytes_cv2(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    n = min(h, w)
    x = x[(h - n) // 2 : (h - n) // 2 + n, (w - n) // 2 : (w - n) // 2 + n, ::-1]
    return cv2.resize(np.ascontiguousarray(x), (96, 96), interpolation=cv2.INTER_AREA)[None]


def bytes_pillow_cut(path):
    x = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    n, (w, h) = min(x.size), x.size
    x = np.asarray(x.crop(((w - n) // 2, (h - n) // 2, (w - n) // 2 + n, (h - n) // 2 + n)))
    return cv2.resize(x, (96, 96), interpolation=cv2.INTER_AREA)[None]


# --- whitened per picture, and sizes that follow the picture
def white(path):
    x = cv2.resize(cv2.imread(path)[..., ::-1], (80, 80)).astype(np.float32)
    return planar((x - x.mean()) / x.std())


def white_of_01(path):
    x = cv2.resize(cv2.imread(path)[..., ::-1], (80, 80)) / 255.0
    return planar((x - np.mean(x)) / max(np.std(x), 1 / np.sqrt(x.size)))


def long_side(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    s = 256 / max(h, w)
    return planar(cv2.resize(x, (round(w * s), round(h * s))) / 255.0)


def long_side_float(path):
    x = cv2.imread(path).astype(np.float32) / 255
    h, w = x.shape[:2]
    s = 256 / max(h, w)
    return planar(cv2.resize(x, (round(w * s), round(h * s))))


GROUPS = {
    "face": (
        face_cv2,
        face_cv2_late_colour,
        face_blob,
        face_float,
        face_numpy,
        face_torch_style,
        face_of_frame,
        face_of_bgr,
        face_of_rgb,
        face_of_pillow,
        face_of_path_called_image,
        face_c,
        face_tensorflow,
    ),
    "net": (net_pillow, net_reordered, net_float64, net_numpy, net_cv2_decoder, net_tensorflow),
    "gray": (gray_cv2, gray_converted, gray_numpy, gray_late, gray_of_frame),
    "box": (box_cv2, box_numpy, box_bordered, box_of_frame),
    "chip": (chip_cv2, chip_late_colour, chip_umeyama, chip_of_frame),
    "bytes": (bytes_cv2, bytes_pillow_cut),
    "white": (white, white_of_01),
    "long side": (long_side, long_side_float),
}
