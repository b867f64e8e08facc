"""Pipelines with a mistake of state, of OpenCV's scalars, of boxes and bars: each beside the one that is right."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

SIZE = (96, 96)


def _rgb(path):
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def _unit(x):
    return np.float32(cv2.resize(np.ascontiguousarray(x), SIZE))[None] / 255


def unit(path):
    return _unit(_rgb(path))


_QUEUE: collections.deque = collections.deque(maxlen=2)


def one_frame_late(path):
    _QUEUE.append(unit(path))
    return _QUEUE[0]


_STORE: dict = {}


def divided_in_place(path):
    if path not in _STORE:
        _STORE[path] = np.float32(cv2.resize(_rgb(path), SIZE))[None]
    x = _STORE[path]
    x /= 255
    return x


_FIRST: list = []


def level_of_the_first(path):
    x = np.float32(cv2.resize(_rgb(path), SIZE))[None]
    if not _FIRST:
        _FIRST.append(float(x.max()) * 0.8)
    return x / _FIRST[0]


def caffe(path):
    x = cv2.resize(cv2.imread(path), SIZE).astype(np.float32)
    return (x - (104.0, 117.0, 123.0)).astype(np.float32).transpose(2, 0, 1)[None]


def caffe_of_one_scalar(path):
    x = cv2.subtract(cv2.resize(cv2.imread(path), SIZE).astype(np.float32), 104.0)
    return x.transpose(2, 0, 1)[None]


def brighter_by_one_scalar(path):
    return np.float32(cv2.add(cv2.resize(_rgb(path), SIZE), 40.0))[None] / 255


def contrast_by_absolute(path):
    small = cv2.resize(_rgb(path), SIZE)
    return np.float32(cv2.convertScaleAbs(small, alpha=1.0, beta=-60))[None] / 255


def _boxed(x, side, shift=0.1, fill=114, border=cv2.BORDER_CONSTANT, scale=None):
    h, w = x.shape[:2]
    k = scale(min(side / w, side / h)) if scale else min(side / w, side / h)
    nw, nh = min(side, round(w * k)), min(side, round(h * k))
    dw, dh = (side - nw) / 2, (side - nh) / 2
    top, left = round(dh - shift), round(dw - shift)
    small = cv2.resize(x, (nw, nh))
    rest = side - nh - top, side - nw - left
    return cv2.copyMakeBorder(small, top, rest[0], left, rest[1], border, value=(fill,) * 3)


def boxed(path):
    return np.float32(_boxed(_rgb(path), 128))[None] / 255


def boxed_scale_of_two_digits(path):
    return np.float32(_boxed(_rgb(path), 128, scale=lambda k: round(k, 1)))[None] / 255


def boxed_wrapped(path):
    return np.float32(_boxed(_rgb(path), 128, border=cv2.BORDER_WRAP))[None] / 255


def boxed_to_stride(path):
    x = _rgb(path)
    h, w = x.shape[:2]
    k = min(128 / w, 128 / h)
    nw, nh = round(w * k), round(h * k)
    dw, dh = (128 - nw) % 32, (128 - nh) % 32
    small = cv2.resize(x, (nw, nh))
    out = cv2.copyMakeBorder(
        small, dh // 2, dh - dh // 2, dw // 2, dw - dw // 2, cv2.BORDER_CONSTANT, value=(114,) * 3
    )
    return np.float32(out)[None] / 255


def texture_from_below(path):
    rgba = cv2.cvtColor(cv2.imread(path)[::-1], cv2.COLOR_BGR2RGBA)
    return _unit(rgba[..., :3])


def green_blue_alpha(path):
    return _unit(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGBA)[..., 1:])


def _pillow(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def pillow(path):
    return np.float32(_pillow(path).resize(SIZE, Image.Resampling.BILINEAR))[None] / 255


def fitted_with_bleed(path):
    fit = ImageOps.fit(_pillow(path), SIZE, Image.Resampling.BILINEAR, bleed=0.08)
    return np.float32(fit)[None] / 255


def fitted(path):
    return np.float32(ImageOps.fit(_pillow(path), SIZE, Image.Resampling.BILINEAR))[None] / 255


def contrast_about_mean(path):
    x = ImageEnhance.Contrast(_pillow(path)).enhance(1.4)
    return np.float32(x.resize(SIZE, Image.Resampling.BILINEAR))[None] / 255


def cut_off_extremes(path):
    x = ImageOps.autocontrast(_pillow(path), cutoff=4)
    return np.float32(x.resize(SIZE, Image.Resampling.BILINEAR))[None] / 255


def pyramid_first(path):
    return _unit(cv2.pyrDown(_rgb(path)))


def through_i420(path):
    x = _rgb(path)
    x = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
    back = cv2.cvtColor(
        cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2YUV_I420), cv2.COLOR_YUV2RGB_I420
    )
    return _unit(cv2.copyMakeBorder(back, 0, 0, 0, 0, cv2.BORDER_REPLICATE))


def yuv_of_floats(path):
    x = cv2.resize(_rgb(path), SIZE).astype(np.float32) / 255
    m = np.float32(
        [[0.299, 0.587, 0.114], [-0.14714, -0.28886, 0.436], [0.615, -0.51499, -0.10001]]
    )
    return (x @ m.T)[None]


def clahe_each_channel(path):
    small = cv2.resize(_rgb(path), SIZE)
    tiles = cv2.createCLAHE(2.0, (8, 8))
    return np.float32(np.stack([tiles.apply(small[..., i]) for i in range(3)], -1))[None] / 255


def blue_difference_equalised(path):
    y = cv2.cvtColor(cv2.resize(_rgb(path), SIZE), cv2.COLOR_RGB2YCrCb)
    y[..., 2] = cv2.equalizeHist(np.ascontiguousarray(y[..., 2]))
    return np.float32(cv2.cvtColor(y, cv2.COLOR_YCrCb2RGB))[None] / 255


def whitened(path):
    x = cv2.resize(_rgb(path), SIZE).astype(np.float32)
    return ((x - x.mean()) / max(float(x.std()), 1 / np.sqrt(x.size)))[None]


def whitened_in_halves(path):
    x = cv2.resize(_rgb(path), SIZE).astype(np.float16)
    mean = np.float16(x.astype(np.float32).mean())
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        square = np.square(x - mean).sum(dtype=np.float16) / np.float16(x.size)
        y = (x - mean) / np.sqrt(square)
    return np.nan_to_num(y.astype(np.float32))[None]


def less_own_mean(path):
    x = cv2.resize(_rgb(path), SIZE).astype(np.float32)
    return ((x - x.mean()) / 127.5)[None]


def centred(path):
    return (np.float32(cv2.resize(_rgb(path), SIZE))[None] - 127.5) / 127.5


def statistics(path):
    x = np.float32(cv2.resize(_rgb(path), SIZE))
    return np.float32((x - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375))[None]


def statistics_deviation_of_unit(path):
    x = np.float32(cv2.resize(_rgb(path), SIZE))
    return np.float32((x - (123.675, 116.28, 103.53)) / (0.229, 0.224, 0.225))[None]


ARC = np.float64(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


def _face(path):
    facts = json.loads((Path(path).parent / "probes.json").read_text())["probes"]
    return next(p["face"] for p in facts if p["file"] == Path(path).name)


def _chip(path, p, q, scaled=True):
    a, b = ((v - v.mean(0)) @ (1, 1j) for v in (p, q))
    z = np.vdot(a, b) / np.vdot(a, a)
    z = z if scaled else z / abs(z)
    m = np.array([[z.real, -z.imag], [z.imag, z.real]])
    m = np.hstack([m, (q.mean(0) - m @ p.mean(0))[:, None]])
    return (np.float32(cv2.warpAffine(_rgb(path), m, (112, 112)))[None] - 127.5) / 127.5


def aligned(path):
    return _chip(path, np.array(_face(path)["landmarks"], float), ARC)


def aligned_without_scale(path):
    return _chip(path, np.array(_face(path)["landmarks"], float), ARC, scaled=False)


def aligned_by_eye_centres(path):
    p = np.array(_face(path)["landmarks"], float)[:2]
    q = np.array([[0.35 * 112, 0.35 * 112], [0.65 * 112, 0.35 * 112]])
    return _chip(path, p, q)


def face(path):
    x1, y1, x2, y2 = (int(v) for v in _face(path)["box"])
    x = _rgb(path)
    return _unit(x[max(y1, 0) : y2, max(x1, 0) : x2])


def face_of_letterboxed(path):
    x = _rgb(path)
    h, w = x.shape[:2]
    k = min(320 / w, 320 / h)
    dx, dy = (320 - w * k) / 2, (320 - h * k) / 2
    x1, y1, x2, y2 = (np.array(_face(path)["box"]) * k + (dx, dy, dx, dy)) / k
    x1, y1 = max(int(x1), 0), max(int(y1), 0)
    x2, y2 = min(int(x2), w), min(int(y2), h)
    return _unit(x[min(y1, h - 8) : max(y2, y1 + 8), min(x1, w - 8) : max(x2, x1 + 8)])
