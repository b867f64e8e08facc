"""Pipelines that differ: state kept between pictures, planes with their own strides, canvases in between."""

from __future__ import annotations

import cv2
import numpy as np

W, H = 160, 120


def _rgb(path):
    return np.ascontiguousarray(cv2.imread(path)[..., ::-1])


def _unit(x):
    return np.float32(x)[None] / 255


def unit(path):
    return _unit(cv2.resize(_rgb(path), (96, 96)))


def _boxed(x, size):
    h, w = x.shape[:2]
    k = min(size[0] / w, size[1] / h)
    nw, nh = round(w * k), round(h * k)
    out = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - nw) // 2, (size[1] - nh) // 2
    out[top : top + nh, left : left + nw] = cv2.resize(x, (nw, nh))
    return out


def boxed_then_stretched(path):
    return _unit(cv2.resize(_boxed(_rgb(path), (80, 160)), (96, 96)))


def boxed(path):
    return _unit(_boxed(_rgb(path), (96, 96)))


def _frame(path, chroma):
    raw = np.fromfile(path, np.uint8)
    both = np.concatenate([raw[: W * H], chroma(raw[W * H :]).ravel()])
    x = cv2.cvtColor(both.reshape(H * 3 // 2, W), cv2.COLOR_YUV2RGB_NV12)
    return _unit(cv2.resize(x, (96, 96)))


def frame(path):
    return _frame(path, np.copy)


def chroma_by_stride_of_luma(path):
    def read(uv):
        rows = [np.resize(uv[k * 192 :], W) for k in range(H // 2) if k * 192 < uv.size]
        return np.concatenate([*rows, np.full((H // 2 - len(rows)) * W, 128, np.uint8)])

    return _frame(path, read)


def _cut(path, start):
    raw = np.fromfile(path, np.uint8)
    y = raw[: W * H].reshape(H, W)[:, 2 : W - 2]
    uv = raw[W * H :].reshape(H // 2, W)[:, start : start + W - 4]
    both = np.concatenate([y, uv])
    return _unit(cv2.resize(cv2.cvtColor(both, cv2.COLOR_YUV2RGB_NV12), (96, 96)))


def cut_by_two(path):
    return _cut(path, 2)


def cut_by_two_chroma_by_three(path):
    return _cut(path, 3)


def _gray(path):
    return cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (96, 96))


def gray_three_times(path):
    return _unit(np.dstack([_gray(path)] * 3))


def gray_in_the_first(path):
    g = _gray(path)
    return _unit(np.dstack([g, np.zeros_like(g), np.zeros_like(g)]))


def through_a_small_canvas(path):
    x = _rgb(path)
    h, w = x.shape[:2]
    return _unit(cv2.resize(cv2.resize(x, (75, max(1, round(h * 75 / w)))), (96, 96)))


_FIRST = {}


def always_the_first(path):
    return _FIRST.setdefault("tensor", unit(path))


_BEFORE = {}


def smoothed_in_time(path):
    now = unit(path)
    _BEFORE["tensor"] = 0.5 * now + 0.5 * _BEFORE.get("tensor", now)
    return np.float32(_BEFORE["tensor"])


def less_mean(path):
    x = cv2.resize(_rgb(path), (96, 96))
    return (np.float32(x) - 112)[None]


def less_mean_in_bytes(path):
    x = cv2.resize(_rgb(path), (96, 96))
    return np.float32(cv2.subtract(x, (112, 112, 112, 0)))[None]


def resized_160(path):
    return _unit(cv2.resize(_rgb(path), (160, 160)))


def cut_or_padded_160(path):
    x = _rgb(path)
    for axis in (0, 1):
        n = x.shape[axis]
        if n > 160:
            x = np.take(x, range((n - 160) // 2, (n - 160) // 2 + 160), axis=axis)
        else:
            wide = [(0, 0)] * 3
            wide[axis] = ((160 - n) // 2, 160 - n - (160 - n) // 2)
            x = np.pad(x, wide)
    return _unit(x)
