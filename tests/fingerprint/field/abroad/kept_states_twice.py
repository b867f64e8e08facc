"""Pipelines that do the same: own buffers, frames changed in place, other orders in memory, cut planes."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

W, H = 160, 120


def _rgb(path):
    return np.ascontiguousarray(cv2.imread(path)[..., ::-1])


def unit(path):
    return np.float32(cv2.resize(_rgb(path), (96, 96)))[None] / 255


_BUFFER = np.empty((1, 96, 96, 3), np.float32)


def own_buffer(path):
    np.divide(cv2.resize(_rgb(path), (96, 96)), 255, out=_BUFFER[0], casting="same_kind")
    return _BUFFER


def pixels(rgb):
    return np.float32(cv2.resize(rgb, (96, 96)))[None] / 127.5 - 1


def pixels_in_place(rgb):
    small = np.float32(cv2.resize(rgb, (96, 96)))
    rgb[:] = 0
    small /= 127.5
    small -= 1
    return small[None]


def columns_first(path):
    return np.asfortranarray(unit(path))


def big_endian(path):
    return unit(path).astype(">f4")


def frame_then_cut(path):
    raw = np.fromfile(path, np.uint8).reshape(H * 3 // 2, W)
    x = cv2.cvtColor(raw, cv2.COLOR_YUV2RGB_NV12)[8 : H - 8, 4 : W - 4]
    return np.float32(cv2.resize(np.ascontiguousarray(x), (96, 96)))[None] / 255


def planes_cut(path):
    raw = np.fromfile(path, np.uint8)
    y = raw[: W * H].reshape(H, W)[8 : H - 8, 4 : W - 4]
    uv = raw[W * H :].reshape(H // 2, W)[4 : H // 2 - 4, 4 : W - 4]
    x = cv2.cvtColor(np.concatenate([y, uv]), cv2.COLOR_YUV2RGB_NV12)
    return np.float32(cv2.resize(x, (96, 96)))[None] / 255


def cut_or_padded(path):
    x = _rgb(path)
    h, w = x.shape[:2]
    out = np.zeros((160, 160, 3), np.uint8)
    top, left = (160 - h) // 2, (160 - w) // 2
    inside = x[max(0, -top) : max(0, -top) + 160, max(0, -left) : max(0, -left) + 160]
    top, left = max(0, top), max(0, left)
    out[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return np.float32(out)[None] / 255


def cut_or_padded_pillow(path):
    x = Image.fromarray(_rgb(path))
    w, h = x.size
    left, top = -((160 - w) // 2), -((160 - h) // 2)
    return np.float32(np.asarray(x.crop((left, top, left + 160, top + 160))))[None] / 255


def gray_stacked(path):
    g = cv2.resize(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY), (96, 96))
    return np.float32(np.stack([g, g, g], -1))[None] / 255


def gray_converted(path):
    g = cv2.resize(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY), (96, 96))
    return np.float32(cv2.cvtColor(g, cv2.COLOR_GRAY2RGB))[None] / 255


def less_mean(path):
    return (np.float32(cv2.resize(_rgb(path), (96, 96))) - 112)[None]


def less_mean_in_words(path):
    x = np.int16(cv2.resize(_rgb(path), (96, 96)))
    x -= 112
    return np.float32(x)[None]
