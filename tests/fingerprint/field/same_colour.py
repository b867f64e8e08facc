"""The same colours written in two ways: gray, HSV, Lab, YCbCr, raw camera frames. What differs is rounding."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

W, H = 160, 120


def _small(path, n=80):
    return cv2.resize(cv2.imread(path), (n, n), interpolation=cv2.INTER_AREA)


# hue, saturation, value with OpenCV's ranges
def hsv_cv2(path):
    return cv2.cvtColor(_small(path), cv2.COLOR_BGR2HSV)[None].astype(np.float32)


def hsv_numpy(path):
    b, g, r = np.moveaxis(_small(path).astype(np.float64), 2, 0)
    v, low = np.max([r, g, b], 0), np.min([r, g, b], 0)
    d = np.where(v == low, 1, v - low)
    h = np.select(
        [v == low, v == r, v == g],
        [0 * v, 60 * (g - b) / d, 120 + 60 * (b - r) / d],
        240 + 60 * (r - g) / d,
    )
    h = np.rint(h / 2)
    h = np.where(h < 0, h + 180, h)
    s = np.where(v > 0, np.rint((v - low) * 255 / np.where(v > 0, v, 1)), 0)
    return np.stack([h, s, v], -1)[None].astype(np.float32)


# CIE Lab in bytes
def lab_cv2(path):
    x = cv2.cvtColor(_small(path), cv2.COLOR_BGR2LAB)
    return x.transpose(2, 0, 1)[None] / np.float32(255)


def lab_skimage(path):
    from skimage.color import rgb2lab

    x = rgb2lab(_small(path)[..., ::-1] / 255.0)
    x = np.rint(np.dstack([x[..., 0] * 2.55, x[..., 1] + 128, x[..., 2] + 128]))
    return (np.clip(x, 0, 255) / 255).transpose(2, 0, 1)[None].astype(np.float32)


# YCbCr by two libraries
def ycc_cv2(path):
    x = cv2.cvtColor(_small(path), cv2.COLOR_BGR2YCrCb)[..., [0, 2, 1]]
    return x[None].astype(np.float32) / 255


def ycc_pillow(path):
    x = Image.fromarray(_small(path)[..., ::-1].copy()).convert("YCbCr")
    return np.float32(x)[None] / 255


# gray of a frame and of an RGB picture
def gray_of_frame(frame):
    g = cv2.cvtColor(cv2.resize(frame, (48, 48), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return g[None, None].astype("f4") / 255


def gray_of_rgb(rgb):
    x = cv2.resize(rgb, (48, 48), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).reshape(1, 1, 48, 48) / np.float32(255)


def gray_of_image_bgr(image_bgr):
    x = cv2.resize(image_bgr, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float32)
    return (x @ np.float32([0.114, 0.587, 0.299]) / 255)[None, None]


# NV12: OpenCV's conversion against floating point
def nv12_cv2(path):
    x = np.fromfile(path, np.uint8).reshape(H * 3 // 2, W)
    x = cv2.cvtColor(x, cv2.COLOR_YUV2RGB_NV12)
    return cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA)[None].astype(np.float32) / 255


def nv12_numpy(path):
    raw = np.fromfile(path, np.uint8).astype(np.float64)
    y = 1.164383 * np.maximum(raw[: W * H].reshape(H, W) - 16, 0)
    c = raw[W * H :].reshape(H // 2, W // 2, 2).repeat(2, 0).repeat(2, 1) - 128
    u, v = c[..., 0], c[..., 1]
    x = np.stack([y + 1.596027 * v, y - 0.391762 * u - 0.812968 * v, y + 2.017232 * u], -1)
    x = np.clip(np.rint(x), 0, 255).astype(np.uint8)
    return cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA)[None] / np.float32(255)


# YUYV likewise
def yuyv_cv2(path):
    x = np.fromfile(path, np.uint8).reshape(H, W, 2)
    return cv2.resize(cv2.cvtColor(x, cv2.COLOR_YUV2BGR_YUYV), (64, 48))[None].astype(np.float32)


def yuyv_numpy(path):
    x = np.fromfile(path, np.uint8).reshape(H, W // 2, 4).astype(np.int32)
    c = np.maximum(x[..., [0, 2]].reshape(H, W) - 16, 0)
    d, e = x[..., 1] - 128, x[..., 3] - 128
    d, e = d.repeat(2, 1), e.repeat(2, 1)
    r = (298 * c + 409 * e + 128) >> 8
    g = (298 * c - 100 * d - 208 * e + 128) >> 8
    b = (298 * c + 516 * d + 128) >> 8
    x = np.clip(np.stack([b, g, r], -1), 0, 255).astype(np.uint8)
    return cv2.resize(x, (64, 48)).astype(np.float32)[None]


# transparency left out
def opaque_pillow(path):
    x = Image.open(path).convert("RGB").resize((84, 84), Image.BILINEAR)
    return np.asarray(x)[None]


def opaque_sliced(path):
    im = Image.open(path)
    if im.mode == "RGBA":
        r, g, b, _ = im.split()
        im = Image.merge("RGB", (r, g, b))
    elif im.mode != "RGB":
        im = im.convert("RGB")
    return np.array(im.resize((84, 84), Image.BILINEAR), dtype=np.uint8)[np.newaxis]
