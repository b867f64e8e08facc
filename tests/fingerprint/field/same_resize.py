"""The same geometry written in two ways: kernels, letterboxes, centre crops, EXIF. What differs is rounding."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageOps


def _unit(x):
    return np.ascontiguousarray(np.asarray(x, np.float32).transpose(2, 0, 1)[None]) / 255


def _eight(im):
    """16 bits to the upper 8, as OpenCV reads them; three channels."""
    if im.mode.startswith("I"):
        im = Image.fromarray((np.asarray(im) >> 8).astype(np.uint8))
    return im.convert("RGB")


# bilinear with coefficients of 11 bits, as small inference libraries have it
def bilinear_cv2(path):
    return _unit(cv2.resize(cv2.imread(path), (120, 90))[..., ::-1])


def bilinear_fixed_point(path):
    x = cv2.imread(path)[..., ::-1].astype(np.int64)
    h, w = x.shape[:2]

    def weights(n, m):
        at = (np.arange(n) + 0.5) * (m / n) - 0.5
        low = np.floor(at).astype(int)
        f = np.where((low < 0) | (low >= m - 1), 0, at - low)
        low = np.clip(low, 0, m - 1)
        b = np.rint(f * 2048).astype(np.int64)
        return low, np.minimum(low + 1, m - 1), 2048 - b, b

    x0, x1, a0, a1 = weights(120, w)
    y0, y1, b0, b1 = weights(90, h)
    rows = x[:, x0] * a0[None, :, None] + x[:, x1] * a1[None, :, None]
    full = rows[y0] * b0[:, None, None] + rows[y1] * b1[:, None, None]
    return _unit(np.clip((full + (1 << 21)) >> 22, 0, 255))


def bilinear_skimage(path):
    from skimage.transform import resize

    x = _eight(ImageOps.exif_transpose(Image.open(path)))
    y = resize(
        np.asarray(x), (90, 120), order=1, mode="edge", anti_aliasing=False, preserve_range=True
    )
    return _unit(y)


def bilinear_scipy(path):
    from scipy.ndimage import map_coordinates

    x = cv2.imread(path)[..., ::-1].astype(np.float64)
    h, w = x.shape[:2]
    v, u = np.mgrid[0:90, 0:120]
    at = [(v + 0.5) * h / 90 - 0.5, (u + 0.5) * w / 120 - 0.5]
    planes = [map_coordinates(x[..., c], at, order=1, mode="nearest") for c in range(3)]
    return np.float32(planes)[None] / 255


# area: OpenCV's against a box filter written out
def area_cv2(path):
    x = cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    x = cv2.resize(x, (640, 480), interpolation=cv2.INTER_CUBIC)
    return _unit(cv2.resize(x, (60, 60), interpolation=cv2.INTER_AREA))


def area_by_sums(path):
    x = cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    x = cv2.resize(x, (640, 480), interpolation=cv2.INTER_CUBIC).astype(np.float64)
    for axis in (0, 1):
        total = np.concatenate([np.zeros_like(x.take([0], axis)), np.cumsum(x, axis)], axis)
        m = x.shape[axis]
        edge = np.arange(61) * m / 60
        low = np.minimum(np.floor(edge).astype(int), m - 1)
        f = (edge - low).reshape(-1, 1, 1) if axis == 0 else (edge - low).reshape(1, -1, 1)
        s = total.take(low, axis) * (1 - f) + total.take(low + 1, axis) * f
        x = np.diff(s, axis=axis) * 60 / m
    return _unit(x)


# Lanczos: Pillow's against one written out
def lanczos_pillow(path):
    return _unit(Image.open(path).convert("RGB").resize((72, 72), Image.LANCZOS))


def lanczos_numpy(path):
    x = np.asarray(Image.open(path).convert("RGB"), np.float64)
    for axis in (1, 0):
        m = x.shape[axis]
        step = m / 72
        s = max(step, 1)
        d = (np.arange(m) + 0.5 - (np.arange(72)[:, None] + 0.5) * step) / s
        k = np.where(np.abs(d) < 3, np.sinc(d) * np.sinc(d / 3), 0)
        k /= k.sum(1, keepdims=True)
        x = np.moveaxis(np.tensordot(k, x, (1, axis)), 0, axis)
        x = np.clip(np.rint(x), 0, 255)
    return _unit(x)


# nearest: Pillow's against index arithmetic
def nearest_pillow(path):
    x = Image.open(path).convert("L").resize((48, 48), Image.NEAREST)
    return np.asarray(x, np.float32).reshape(1, 48, 48, 1) / 255


def nearest_by_index(path):
    x = np.asarray(Image.open(path).convert("RGB")).astype(np.uint32)
    g = (x[..., 0] * 19595 + x[..., 1] * 38470 + x[..., 2] * 7471 + 0x8000) >> 16
    h, w = g.shape
    r = ((np.arange(48) + 0.5) * h / 48).astype(int)
    c = ((np.arange(48) + 0.5) * w / 48).astype(int)
    return (g[r][:, c].astype(np.float32) / 255.0)[None, ..., None]


# short side to 72, centre 64 cut, as torchvision does it
def centre_pillow(path):
    im = Image.open(path).convert("RGB")
    w, h = im.size
    if w < h:
        im = im.resize((72, int(72 * h / w)), Image.BILINEAR)
    else:
        im = im.resize((int(72 * w / h), 72), Image.BILINEAR)
    left, top = round((im.width - 64) / 2.0), round((im.height - 64) / 2.0)
    return _unit(im.crop((left, top, left + 64, top + 64)))


def centre_slices(path):
    im = Image.open(path).convert("RGB")
    scale_to = [72, 72]
    short = int(np.argmin(im.size))
    scale_to[1 - short] = 72 * im.size[1 - short] // im.size[short]
    x = np.array(im.resize(tuple(scale_to), Image.Resampling.BILINEAR), dtype=np.float32)
    top, left = (round((n - 64) / 2) for n in x.shape[:2])
    x = x[top:, left:][:64, :64]
    return np.moveaxis(x, 2, 0)[None] * np.float32(1 / 255)


# letterboxes: longest side and padding apart, paste, a border, ImageOps
def longest_then_pad(path):
    x = cv2.imread(path)[..., ::-1]
    h, w = x.shape[:2]
    s = 192 / max(h, w)
    x = cv2.resize(x, (max(1, round(w * s)), max(1, round(h * s))))
    dh, dw = 192 - x.shape[0], 192 - x.shape[1]
    x = np.pad(x, ((dh // 2, dh - dh // 2), (dw // 2, dw - dw // 2), (0, 0)))
    return _unit(x)


def longest_on_canvas(frame):
    h, w = frame.shape[:2]
    r = min(192 / h, 192 / w)
    size = round(w * r), round(h * r)
    canvas = np.zeros((192, 192, 3), dtype=np.uint8)
    y, x = (192 - size[1]) // 2, (192 - size[0]) // 2
    canvas[y : y + size[1], x : x + size[0]] = cv2.resize(frame, size)
    return cv2.dnn.blobFromImage(canvas, 1 / 255.0, swapRB=True)


def padded_by_pillow(path):
    im = Image.open(path).convert("RGB")
    return _unit(ImageOps.pad(im, (128, 128), method=Image.BICUBIC, color=(0, 0, 0)))


def padded_by_paste(path):
    im = Image.open(path).convert("RGB")
    w, h = im.size
    if w >= h:
        size = 128, round(h / w * 128)
    else:
        size = round(w / h * 128), 128
    out = Image.new("RGB", (128, 128))
    out.paste(im.resize(size, 3), (round((128 - size[0]) * 0.5), round((128 - size[1]) * 0.5)))
    return np.transpose(np.float32(out) / 255, (2, 0, 1))[None]


# EXIF by the tag, by the library, by the decoder
def exif_by_library(path):
    im = _eight(ImageOps.exif_transpose(Image.open(path)))
    return _unit(im.resize((90, 90), Image.BILINEAR))


def exif_by_tag(path):
    im = Image.open(path)
    tag = im.getexif().get(274, 1)
    x = np.asarray(_eight(im))
    if tag >= 5:
        x = x.transpose(1, 0, 2)
        tag = {5: 1, 6: 2, 7: 3, 8: 4}[tag]
    x = {1: x, 2: x[:, ::-1], 3: x[::-1, ::-1], 4: x[::-1]}[tag]
    return _unit(Image.fromarray(np.ascontiguousarray(x)).resize((90, 90), 2))


def exif_by_decoder(path):
    x = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    return _unit(Image.fromarray(x[..., ::-1].copy()).resize((90, 90), 2))


# blobFromImage's own crop against a cut by hand
def blob_crop(path):
    return cv2.dnn.blobFromImage(
        cv2.imread(path), 1 / 255.0, (100, 100), (0, 0, 0), swapRB=True, crop=True
    )


def crop_by_hand(path):
    x = cv2.imread(path)
    f = max(100 / x.shape[1], 100 / x.shape[0])
    x = cv2.resize(x, None, fx=f, fy=f)
    top, left = int(0.5 * (x.shape[0] - 100)), int(0.5 * (x.shape[1] - 100))
    return _unit(x[top : top + 100, left : left + 100, ::-1])


def bicubic_pillow(path):
    return _unit(_eight(Image.open(path)).resize((88, 88), Image.BICUBIC))


def bicubic_tensorflow(path):
    import tensorflow as tf

    x = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    x = tf.image.resize(x, (88, 88), method="bicubic", antialias=True)
    return tf.transpose(tf.round(tf.clip_by_value(x, 0, 255)) / 255, (2, 0, 1))[None]
