"""The same thing written twice: values, kernels and crops as deployment code writes them."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _chw(x, dtype=np.float32):
    return np.ascontiguousarray(np.asarray(x).transpose(2, 0, 1)[None]).astype(dtype)


# a texture unit's bilinear filter keeps eight bits of the position
def texture_unit(path):
    x = cv2.imread(path).astype(np.float64)
    h, w = x.shape[:2]
    ys = np.round(((np.arange(112) + 0.5) * h / 112 - 0.5) * 256) / 256
    xs = np.round(((np.arange(112) + 0.5) * w / 112 - 0.5) * 256) / 256
    ys, xs = np.clip(ys, 0, h - 1), np.clip(xs, 0, w - 1)
    y0, x0 = np.floor(ys).astype(int), np.floor(xs).astype(int)
    fy, fx = (ys - y0)[:, None, None], (xs - x0)[None, :, None]
    y1, x1 = np.minimum(y0 + 1, h - 1), np.minimum(x0 + 1, w - 1)
    top = x[y0][:, x0] * (1 - fx) + x[y0][:, x1] * fx
    low = x[y1][:, x0] * (1 - fx) + x[y1][:, x1] * fx
    return _chw(((top * (1 - fy) + low * fy)[..., ::-1] / 255 - MEAN) / STD)


def texture_reference(path):
    x = cv2.cvtColor(cv2.resize(cv2.imread(path), (112, 112)), cv2.COLOR_BGR2RGB)
    return _chw((x / 255 - MEAN) / STD)


# resize in float behind the conversion, as a graph's own preprocessing does
def graph_inside(bgr):
    x = cv2.resize(bgr.astype(np.float32)[..., ::-1], (160, 120), interpolation=cv2.INTER_LINEAR)
    return _chw((x - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375))


def graph_outside(path):
    x = cv2.resize(cv2.imread(path), (160, 120))
    mean, std = np.float32([103.53, 116.28, 123.675]), np.float32([57.375, 57.12, 58.395])
    return _chw(((x - mean) / std)[..., ::-1])


# scale and bias: x * scale + bias with bias = -mean / std
def scale_and_bias(path):
    scale = np.float32([0.01712475, 0.017507, 0.01742919])
    bias = np.float32([-2.117904, -2.035714, -1.804444])
    x = cv2.resize(cv2.imread(path), (160, 120))[..., ::-1].astype(np.float32)
    return _chw(x * scale + bias)


def _axis(n, m, kernel, support):
    """Pillow's weights in floating point, nothing rounded in between."""
    scale = max(n / m, 1.0)
    centre = (np.arange(m) + 0.5) * n / m
    at = (np.arange(n)[None] + 0.5 - centre[:, None]) / scale
    w = np.where(np.abs(at) < support, kernel(at), 0.0)
    return w / w.sum(axis=1, keepdims=True)


def _cubic(t, a=-0.5):
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    return np.where(t < 1, near, (((t - 5) * t + 8) * t - 4) * a)


def _float_resize(x, size, kernel, support):
    x = np.asarray(x, float)
    rows = _axis(x.shape[0], size[1], kernel, support)
    columns = _axis(x.shape[1], size[0], kernel, support)
    return np.einsum(
        "xw,ywc->yxc", columns, np.einsum("yh,hwc->ywc", rows, x, optimize=True), optimize=True
    )


# timm: bicubic to 128 on the short side, centre of 112
def timm_pillow(path):
    im = Image.open(path).convert("RGB")
    w, h = im.size
    size = (128, int(128 * h / w)) if w <= h else (int(128 * w / h), 128)
    im = im.resize(size, Image.BICUBIC)
    left, top = round((size[0] - 112) / 2), round((size[1] - 112) / 2)
    return _chw((np.asarray(im.crop((left, top, left + 112, top + 112))) / 255 - MEAN) / STD)


def timm_tensor(path):
    """The tensor variant keeps floats until its end."""
    x = np.asarray(Image.open(path).convert("RGB"))
    h, w = x.shape[:2]
    size = (128, int(128 * h / w)) if w <= h else (int(128 * w / h), 128)
    x = np.clip(np.rint(_float_resize(x, size, _cubic, 2)), 0, 255)
    left, top = round((size[0] - 112) / 2), round((size[1] - 112) / 2)
    return _chw((x[top : top + 112, left : left + 112] / 255 - MEAN) / STD)


# antialiased bilinear: a triangle window against Pillow
def triangular(rgb):
    x = _float_resize(rgb, (96, 96), lambda t: 1 - np.abs(t), 1)
    return (x / 127.5 - 1).astype(np.float32)[None]


def triangular_pillow(path):
    im = Image.fromarray(cv2.imread(path)[..., ::-1].copy()).resize((96, 96), Image.BILINEAR)
    return np.float32((np.asarray(im) - 127.5) / 127.5)[None]


# planar floats between a least and a greatest value, as Apple's image library converts them
def planar_to_range(bgr):
    low, high = np.float32(-1), np.float32(1)
    planes = [cv2.resize(np.ascontiguousarray(bgr[..., c]), (160, 160)) for c in (2, 1, 0)]
    return np.stack([p * ((high - low) / np.float32(255)) + low for p in planes])[None]


def planar_plain(path):
    x = cv2.resize(cv2.imread(path), (160, 160))[..., ::-1]
    return _chw(x / 127.5 - 1)


# half precision throughout
def half_throughout(path):
    x = cv2.resize(cv2.imread(path), (112, 112))[..., ::-1].astype(np.float16)
    return _chw((x - np.float16(127.5)) * np.float16(1 / 128), np.float16)


def half_at_the_end(frame):
    x = cv2.resize(frame, (112, 112)).astype(np.float64)[..., ::-1]
    return _chw((x - 127.5) / 128, np.float16)


# int8, symmetric: C's roundf against numpy's half to even
def symmetric_c(path):
    x = cv2.resize(cv2.imread(path), (64, 64)).astype(np.float64) / 255 * 2 - 1
    q = np.sign(x) * np.floor(np.abs(x) * 127 + 0.5)
    return np.clip(q, -128, 127).astype(np.int8)[None]


def symmetric_table(path):
    x = np.arange(256) / 127.5 - 1
    table = np.clip(np.rint(x * 127), -128, 127).astype(np.int8)
    return table[cv2.resize(cv2.imread(path), (64, 64))][None]


# a sensor mounted on its side
def sideways_cv2(frame):
    x = cv2.rotate(frame, cv2.ROTATE_90_CLOCKWISE)
    return _chw(cv2.resize(x, (96, 128)) / 255)


def sideways_numpy(path):
    """Resized first, turned afterwards: the same weights."""
    x = cv2.resize(cv2.imread(path), (128, 96))
    return _chw(np.rot90(x, k=3) / np.float32(255))


# both sides brighten with the same curve
def curve_lut(path):
    table = np.rint(255 * (np.arange(256) / 255) ** (1 / 2.2)).astype(np.uint8)
    x = cv2.LUT(cv2.imread(path), table)
    return _chw(cv2.resize(x, (96, 96))[..., ::-1] / 255)


def curve_power(rgb):
    x = np.rint(255 * np.power(rgb / 255, 1 / 2.2)).astype(np.uint8)
    return _chw(np.float32(cv2.resize(x, (96, 96))) * np.float32(1 / 255))


# contrast-limited equalising of the lightness
def lightness_bgr(frame):
    lab = cv2.cvtColor(cv2.resize(frame, (96, 96)), cv2.COLOR_BGR2LAB)
    light, a, b = cv2.split(lab)
    light = cv2.createCLAHE(2.0, (8, 8)).apply(light)
    return _chw(cv2.cvtColor(cv2.merge([light, a, b]), cv2.COLOR_LAB2RGB) / 255)


def lightness_rgb(path):
    x = cv2.cvtColor(cv2.resize(cv2.imread(path), (96, 96)), cv2.COLOR_BGR2RGB)
    lab = cv2.cvtColor(x, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(lab[..., 0])
    return _chw(np.float32(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)) / 255)


# 87.5 % of the middle, as slim's evaluation cuts it
def middle_tensorflow(path):
    import tensorflow as tf

    x = tf.image.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    x = tf.image.central_crop(tf.cast(x, tf.float32), 0.875)
    return (tf.image.resize(x, (96, 96)) / 127.5 - 1).numpy()[None]


def middle_numpy(path):
    x = np.asarray(Image.open(path).convert("RGB"))
    h, w = x.shape[:2]
    top, left = int((h - h * 0.875) / 2), int((w - w * 0.875) / 2)
    x = cv2.resize(x[top : h - top, left : w - left], (96, 96))
    return (x.astype(np.float32) / 127.5 - 1)[None]


# black bars, the tensor library's way and by hand
def bars_tensorflow(path):
    import tensorflow as tf

    x = tf.image.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    return (tf.image.resize_with_pad(x, 128, 128) / 255).numpy()[None]


def bars_numpy(path):
    x = np.asarray(Image.open(path).convert("RGB"))
    h, w = x.shape[:2]
    r = max(w / 128, h / 128)
    nw, nh = int(np.floor(w / r)), int(np.floor(h / r))
    top, left = int((128 - h / r) / 2), int((128 - w / r) / 2)
    out = np.zeros((128, 128, 3), np.float32)
    out[top : top + nh, left : left + nw] = cv2.resize(x, (nw, nh))
    return out[None] / 255
