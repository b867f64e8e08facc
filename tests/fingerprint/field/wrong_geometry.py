"""Geometry that differs: kernels, pixel centres, letterboxes, crops, turns, layouts, as reports describe it."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image


def _unit(x):
    return np.ascontiguousarray(np.asarray(x, np.float32).transpose(2, 0, 1)[None]) / 255


def _rgb(path):
    return cv2.imread(path)[..., ::-1]


# kernels
def pillow_bilinear(path):
    return _unit(Image.fromarray(_rgb(path).copy()).resize((96, 96), Image.BILINEAR))


def cv2_linear(path):
    return _unit(cv2.resize(_rgb(path), (96, 96)))


def cv2_area(path):
    return _unit(cv2.resize(_rgb(path), (96, 96), interpolation=cv2.INTER_AREA))


def cv2_nearest(path):
    return _unit(cv2.resize(_rgb(path), (96, 96), interpolation=cv2.INTER_NEAREST))


def cv2_cubic(path):
    return _unit(cv2.resize(_rgb(path), (96, 96), interpolation=cv2.INTER_CUBIC))


def pillow_nearest(path):
    return _unit(Image.fromarray(_rgb(path).copy()).resize((96, 96), Image.NEAREST))


def blurred_first(path):
    x = cv2.GaussianBlur(cv2.imread(path), (5, 5), 0)[..., ::-1]
    return _unit(cv2.resize(x, (96, 96)))


def _bilinear_at(x, ys, xs):
    x = x.astype(np.float64)
    h, w = x.shape[:2]
    y0, x0 = np.floor(ys).astype(int), np.floor(xs).astype(int)
    fy, fx = (ys - y0)[:, None, None], (xs - x0)[None, :, None]
    y1, x1 = np.minimum(y0 + 1, h - 1), np.minimum(x0 + 1, w - 1)
    top = x[y0][:, x0] * (1 - fx) + x[y0][:, x1] * fx
    low = x[y1][:, x0] * (1 - fx) + x[y1][:, x1] * fx
    return top * (1 - fy) + low * fy


def legacy_centres(path):
    """TensorFlow 1 and early LiteRT: out * in / n without half a pixel."""
    x = _rgb(path)
    h, w = x.shape[:2]
    return _unit(_bilinear_at(x, np.arange(96) * h / 96, np.arange(96) * w / 96))


def corners_aligned(path):
    x = _rgb(path)
    h, w = x.shape[:2]
    return _unit(_bilinear_at(x, np.arange(96) * (h - 1) / 95, np.arange(96) * (w - 1) / 95))


def muxed_first(path):
    """The stream is scaled to 640×480 before the network's size."""
    x = cv2.resize(_rgb(path), (640, 480))
    return _unit(cv2.resize(x, (96, 96)))


def small_first(path):
    """A preview of 64×64 is scaled up."""
    return _unit(cv2.resize(cv2.resize(_rgb(path), (64, 64)), (96, 96)))


# letterboxes
def _letterbox(x, n=160, fill=114, up=True, centre=True):
    h, w = x.shape[:2]
    r = n / max(h, w)
    if not up:
        r = min(r, 1.0)
    nw, nh = round(w * r), round(h * r)
    if (nw, nh) != (w, h):
        x = cv2.resize(x, (nw, nh))
    left, top = ((n - nw) // 2, (n - nh) // 2) if centre else (0, 0)
    return cv2.copyMakeBorder(
        x, top, n - nh - top, left, n - nw - left, cv2.BORDER_CONSTANT, value=(fill,) * 3
    )


def letterbox(path):
    return _unit(_letterbox(_rgb(path)))


def stretched(path):
    return _unit(cv2.resize(_rgb(path), (160, 160)))


def letterbox_black(path):
    return _unit(_letterbox(_rgb(path), fill=0))


def letterbox_top_left(path):
    return _unit(_letterbox(_rgb(path), centre=False))


def letterbox_never_enlarged(path):
    return _unit(_letterbox(_rgb(path), up=False))


def letterbox_repeated_border(path):
    x = _rgb(path)
    h, w = x.shape[:2]
    r = 160 / max(h, w)
    x = cv2.resize(x, (round(w * r), round(h * r)))
    top, left = (160 - x.shape[0]) // 2, (160 - x.shape[1]) // 2
    return _unit(
        cv2.copyMakeBorder(
            x,
            top,
            160 - x.shape[0] - top,
            left,
            160 - x.shape[1] - left,
            cv2.BORDER_REPLICATE,
        )
    )


def letterbox_bgr(path):
    return _unit(_letterbox(cv2.imread(path)))


def letterbox_by_warp(path):
    """One affine map for scale and offset, as GPU kernels have it."""
    x = _rgb(path)
    h, w = x.shape[:2]
    s = min(160 / w, 160 / h)
    m = np.array([[s, 0, (160 - s * w + s - 1) / 2], [0, s, (160 - s * h + s - 1) / 2]])
    return _unit(
        cv2.warpAffine(x, m, (160, 160), borderMode=cv2.BORDER_CONSTANT, borderValue=(114,) * 3)
    )


# crops
def short_side_then_centre(path):
    x = _rgb(path)
    s = 110 / min(x.shape[:2])
    x = cv2.resize(x, (round(x.shape[1] * s), round(x.shape[0] * s)))
    top, left = (x.shape[0] - 96) // 2, (x.shape[1] - 96) // 2
    return _unit(x[top : top + 96, left : left + 96])


def short_side_no_margin(path):
    x = _rgb(path)
    s = 96 / min(x.shape[:2])
    x = cv2.resize(x, (round(x.shape[1] * s), round(x.shape[0] * s)))
    top, left = (x.shape[0] - 96) // 2, (x.shape[1] - 96) // 2
    return _unit(x[top : top + 96, left : left + 96])


def short_side_top_left(path):
    x = _rgb(path)
    s = 110 / min(x.shape[:2])
    x = cv2.resize(x, (round(x.shape[1] * s), round(x.shape[0] * s)))
    return _unit(x[:96, :96])


def centre_square(path):
    x = _rgb(path)
    n = min(x.shape[:2])
    top, left = (x.shape[0] - n) // 2, (x.shape[1] - n) // 2
    return _unit(cv2.resize(x[top : top + n, left : left + n], (96, 96)))


# turns, mirrors, layouts
def sensor_turned(path):
    return _unit(cv2.resize(np.rot90(_rgb(path)).copy(), (96, 96)))


def selfie(path):
    return _unit(cv2.resize(cv2.flip(cv2.imread(path), 1)[..., ::-1], (96, 96)))


def upside_down(path):
    """A texture's rows begin at the bottom."""
    return _unit(cv2.resize(cv2.flip(cv2.imread(path), 0)[..., ::-1], (96, 96)))


def reshaped(path):
    x = cv2.resize(_rgb(path), (96, 96)).astype(np.float32) / 255
    return x.reshape(1, 3, 96, 96)


def axes_swapped(path):
    x = cv2.resize(_rgb(path), (96, 96)).astype(np.float32) / 255
    return x.transpose(2, 1, 0)[None].copy()


def channels_last(path):
    return cv2.resize(_rgb(path), (96, 96)).astype(np.float32)[None] / 255


def without_batch(path):
    return cv2_linear(path)[0]


def wide(path):
    return _unit(cv2.resize(_rgb(path), (160, 96)))


def wide_swapped(path):
    """cv2.resize was given height and width."""
    return _unit(cv2.resize(_rgb(path), (96, 160)))


def exif_ignored(path):
    x = np.asarray(Image.open(path).convert("RGB"))
    return _unit(cv2.resize(x, (96, 96)))


def thumbnail(path):
    im = Image.open(path).convert("RGB")
    im.thumbnail((64, 64), Image.BICUBIC)
    out = Image.new("RGB", (64, 64))
    out.paste(im, (0, 0))
    return _unit(out)


def long_side_pasted(path):
    im = Image.open(path).convert("RGB")
    k = 64 / max(im.size)
    size = tuple(max(1, round(v * k)) for v in im.size)
    if k < 1:
        im = im.resize(size, Image.BICUBIC)
    out = Image.new("RGB", (64, 64))
    out.paste(im, (0, 0))
    return _unit(out)


def drafted(path):
    """The JPEG decoder halves the picture before Pillow resizes it."""
    im = Image.open(path)
    im.draft("RGB", (48, 48))
    return _unit(im.convert("RGB").resize((48, 48), Image.BILINEAR))


def not_drafted(path):
    return _unit(Image.open(path).convert("RGB").resize((48, 48), Image.BILINEAR))
