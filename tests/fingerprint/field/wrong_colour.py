"""Colours that differ: channel order, gray, camera frames, HSV, decoders, as reports describe it."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

W, H = 160, 120


def _small(path):
    return cv2.resize(cv2.imread(path), (96, 96))


def _nhwc(x):
    return np.ascontiguousarray(x)[None].astype(np.float32)


def rgb(path):
    return _nhwc(_small(path)[..., ::-1]) / 255


def bgr(path):
    return _nhwc(_small(path)) / 255


def grb(path):
    return _nhwc(_small(path)[..., [1, 2, 0]]) / 255


def gray_in_three(path):
    g = cv2.cvtColor(_small(path), cv2.COLOR_BGR2GRAY)
    return _nhwc(np.dstack([g, g, g])) / 255


# gray
def gray(path):
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_BGR2GRAY)[..., None]) / 255


def gray_of_wrong_order(path):
    x = np.ascontiguousarray(_small(path)[..., ::-1])
    return _nhwc(cv2.cvtColor(x, cv2.COLOR_BGR2GRAY)[..., None]) / 255


def gray_mean(path):
    return _nhwc(_small(path).mean(-1, keepdims=True)) / 255


def gray_green(path):
    return _nhwc(_small(path)[..., 1:2]) / 255


def gray_709(path):
    return _nhwc(_small(path) @ np.array([[0.0722], [0.7152], [0.2126]])) / 255


def gray_value(path):
    """The brightest channel, HSV's value."""
    return _nhwc(_small(path).max(-1, keepdims=True)) / 255


# other colour spaces
def hsv(path):
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_BGR2HSV))


def hsv_full(path):
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_BGR2HSV_FULL))


def hsv_of_wrong_order(path):
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_RGB2HSV))


def hls(path):
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_BGR2HLS))


def plain_bytes(path):
    return _nhwc(_small(path)[..., ::-1])


def lab(path):
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_BGR2LAB)) / 255


def lab_of_wrong_order(path):
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_RGB2LAB)) / 255


def lab_linear(path):
    """The variant without the sRGB curve."""
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_LBGR2LAB)) / 255


def ycrcb(path):
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_BGR2YCrCb)) / 255


def ycbcr(path):
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_BGR2YCrCb)[..., [0, 2, 1]]) / 255


def yuv(path):
    """The analogue coefficients."""
    return _nhwc(cv2.cvtColor(_small(path), cv2.COLOR_BGR2YUV)[..., [0, 2, 1]]) / 255


# camera frames, NV12
def _planes(path):
    raw = np.fromfile(path, np.uint8).astype(np.float64)
    c = raw[W * H :].reshape(H // 2, W // 2, 2).repeat(2, 0).repeat(2, 1) - 128
    return raw[: W * H].reshape(H, W), c[..., 0], c[..., 1]


def _frame(y, u, v, kr=0.299, kb=0.114, full=False):
    kg = 1 - kr - kb
    a, b = (1, 1) if full else (255 / 219, 255 / 224)
    y = a * (y - (0 if full else 16))
    r, bl = y + b * 2 * (1 - kr) * v, y + b * 2 * (1 - kb) * u
    g = y - b * 2 * (1 - kr) * kr / kg * v - b * 2 * (1 - kb) * kb / kg * u
    x = np.clip(np.rint(np.stack([r, g, bl], -1)), 0, 255).astype(np.uint8)
    return _nhwc(cv2.resize(x, (80, 60))) / 255


def nv12(path):
    return _frame(*_planes(path))


def nv12_full(path):
    return _frame(*_planes(path), full=True)


def nv12_709(path):
    return _frame(*_planes(path), kr=0.2126, kb=0.0722)


def nv12_as_nv21(path):
    y, u, v = _planes(path)
    return _frame(y, v, u)


def nv12_gray_only(path):
    y, _, _ = _planes(path)
    return _frame(y, 0 * y, 0 * y)


def nv12_padded_rows(path):
    """The rows' padding of 16 bytes is taken for pixels."""
    y, u, v = _planes(path)
    y = np.pad(y, ((0, 0), (0, 16))).ravel()[: W * H].reshape(H, W)
    return _frame(y, u, v)


# decoders and files
def sixteen_shifted(path):
    x = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    x = (x >> 8).astype(np.uint8) if x.dtype == np.uint16 else x
    x = x if x.ndim == 2 else cv2.cvtColor(x[..., :3], cv2.COLOR_BGR2GRAY)
    return _nhwc(cv2.resize(x, (96, 96))[..., None]) / 255


def sixteen_clipped(path):
    x = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    x = np.minimum(x, 255).astype(np.uint8)
    x = x if x.ndim == 2 else cv2.cvtColor(x[..., :3], cv2.COLOR_BGR2GRAY)
    return _nhwc(cv2.resize(x, (96, 96))[..., None]) / 255


def alpha_dropped(path):
    x = np.asarray(Image.open(path).convert("RGB"))
    return _nhwc(cv2.resize(x, (96, 96))) / 255


def alpha_on_white(path):
    im = Image.open(path)
    if im.mode == "RGBA":
        paper = Image.new("RGBA", im.size, (255, 255, 255, 255))
        im = Image.alpha_composite(paper, im)
    return _nhwc(cv2.resize(np.asarray(im.convert("RGB")), (96, 96))) / 255


def through_webp(path):
    out = io.BytesIO()
    Image.fromarray(_small(path)[..., ::-1].copy()).save(out, "WEBP", quality=60)
    return _nhwc(np.asarray(Image.open(out).convert("RGB"))) / 255


def through_jpeg_file(path):
    x = cv2.imread(path)
    _, data = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, 80])
    x = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return _nhwc(cv2.resize(x, (96, 96))[..., ::-1]) / 255


def sharpened(path):
    x = _small(path)
    x = cv2.addWeighted(x, 1.6, cv2.GaussianBlur(x, (0, 0), 1.2), -0.6, 0)
    return _nhwc(x[..., ::-1]) / 255


def bilateral(path):
    return _nhwc(cv2.bilateralFilter(_small(path), 7, 40, 40)[..., ::-1]) / 255


def white_balanced(path):
    """Gray world: each channel's gain follows the picture."""
    x = _small(path).astype(np.float64)
    x *= x.mean() / np.maximum(x.mean((0, 1)), 1)
    return _nhwc(np.clip(x, 0, 255)[..., ::-1]) / 255


def saturation_raised(path):
    x = cv2.cvtColor(_small(path), cv2.COLOR_BGR2HSV).astype(np.float64)
    x[..., 1] = np.minimum(x[..., 1] * 1.4, 255)
    return _nhwc(cv2.cvtColor(np.uint8(x), cv2.COLOR_HSV2RGB)) / 255
