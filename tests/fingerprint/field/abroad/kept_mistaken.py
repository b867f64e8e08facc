"""Pipelines that differ; collected beside `devices_mistaken` and run once after everything else was done."""

from __future__ import annotations

import cv2
import numpy as np

W, H = 160, 120


def _small(path, n=96):
    return np.ascontiguousarray(cv2.resize(cv2.imread(path), (n, n))[..., ::-1])


def _unit(x):
    return np.float32(x)[None] / 255


def unit(path):
    return _unit(_small(path))


def hue_180(path):
    return _unit(cv2.cvtColor(_small(path), cv2.COLOR_RGB2HSV))


def hue_255(path):
    return _unit(cv2.cvtColor(_small(path), cv2.COLOR_RGB2HSV_FULL))


def _webcam(path, red, green_u, green_v, blue):
    raw = np.fromfile(path, np.uint8).reshape(H, W // 2, 4).astype(np.float64)
    y = (raw[..., [0, 2]].reshape(H, W) - 16) * 255 / 219
    u, v = (np.repeat(raw[..., i], 2, axis=1) - 128 for i in (1, 3))
    x = np.stack([y + red * v, y - green_u * u - green_v * v, y + blue * u], -1)
    x = np.uint8(np.clip(np.rint(x), 0, 255))
    return _unit(cv2.resize(x, (96, 96)))


def webcam(path):
    return _webcam(path, 1.596, 0.3918, 0.813, 2.0172)


def webcam_of_television(path):
    return _webcam(path, 1.7927, 0.2132, 0.5329, 2.1124)


def wide(path):
    return _unit(cv2.resize(cv2.imread(path)[..., ::-1], (128, 96)))


def high(path):
    return _unit(cv2.resize(cv2.imread(path)[..., ::-1], (96, 128)))


def _cut(path, x1, y1, x2, y2):
    x = cv2.imread(path)[..., ::-1]
    x1, y1, x2, y2 = max(0, x1), max(0, y1), min(x.shape[1], x2), min(x.shape[0], y2)
    return _unit(cv2.resize(np.ascontiguousarray(x[y1:y2, x1:x2]), (96, 96)))


def face(path, box):
    return _cut(path, *(round(v) for v in box))


def face_size_as_corner(path, box):
    x1, y1, x2, y2 = (round(v) for v in box)
    return _cut(path, min(x1, x2 - x1), min(y1, y2 - y1), max(x1, x2 - x1), max(y1, y2 - y1))


def denoised(path):
    return _unit(cv2.bilateralFilter(_small(path), 5, 40, 40))


def shaded(path):
    x = np.float32(_small(path))
    r = np.hypot(*np.meshgrid(np.linspace(-1, 1, 96), np.linspace(-1, 1, 96)))
    return _unit(np.rint(x * (1 - 0.25 * r[..., None] ** 2)))


def bent_by_lens(path):
    x = cv2.imread(path)[..., ::-1]
    h, w = x.shape[:2]
    k = np.float64([[w, 0, w / 2], [0, w, h / 2], [0, 0, 1]])
    x = cv2.undistort(np.ascontiguousarray(x), k, np.float64([0.25, 0.05, 0, 0]))
    return _unit(cv2.resize(x, (96, 96)))


def one_field(path):
    x = cv2.imread(path)[..., ::-1]
    x = np.repeat(x[::2], 2, axis=0)[: x.shape[0]]
    return _unit(cv2.resize(np.ascontiguousarray(x), (96, 96)))


def through_sensor(path):
    """One colour a pixel, the others interpolated."""
    x = cv2.imread(path)[..., ::-1]
    raw = x[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = x[::2, ::2, 0], x[1::2, 1::2, 2]
    x = cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB)
    return _unit(cv2.resize(x, (96, 96)))


def mean_pixel(path):
    return np.float32(_small(path))[None] - np.float32([123.68, 116.78, 103.94])


def mean_picture(path):
    ramp = np.linspace(-20, 20, 96, dtype=np.float32)[:, None, None]
    return mean_pixel(path) - ramp


def as_reals(path):
    return np.float32(_small(path))[None]


def rounded_down(path):
    x = cv2.imread(path)[..., ::-1]
    top, left = (int(s * 0.0625) for s in x.shape[:2])
    h, w = (int(s * 0.875) for s in x.shape[:2])
    return _unit(cv2.resize(np.ascontiguousarray(x[top : top + h, left : left + w]), (96, 96)))


def rounded_up(path):
    x = cv2.imread(path)[..., ::-1]
    top, left = (int(np.ceil(s * 0.0625)) for s in x.shape[:2])
    h, w = (int(s * 0.875) for s in x.shape[:2])
    return _unit(cv2.resize(np.ascontiguousarray(x[top : top + h, left : left + w]), (96, 96)))


def raw_rows(path):
    return _unit(cv2.resize(np.fromfile(path, np.uint8).reshape(H, W, 3), (96, 96)))


def raw_columns(path):
    x = np.fromfile(path, np.uint8).reshape(W, H, 3)
    return _unit(cv2.resize(x, (96, 96)))


def gray(path):
    g = np.fromfile(path, np.uint8).reshape(H, W)
    return np.float32(cv2.resize(g, (96, 96)))[None, ..., None] / 255


def gray_shifted_too_little(path):
    g = (np.fromfile(path, np.uint8).reshape(H, W).astype(np.uint16) << 2).astype(np.uint8)
    return np.float32(cv2.resize(g, (96, 96)))[None, ..., None] / 255


def brighter(path):
    return _unit(cv2.add(_small(path), np.full((96, 96, 3), 20, np.uint8)))


def nearly_opaque(path):
    return np.float32(_small(path))[None] * np.float32(0.9 / 255)


def vivid(path):
    x = np.float32(_small(path))
    g = x @ np.float32([0.299, 0.587, 0.114])
    x = g[..., None] + 1.3 * (x - g[..., None])
    return _unit(np.rint(np.clip(x, 0, 255)))


def _boxed(path, turned):
    x = cv2.imread(path)[..., ::-1]
    x = np.ascontiguousarray(x[:, ::-1] if turned else x)
    k = 160 / max(x.shape[:2])
    w, h = (max(1, int(s * k + 1e-9)) for s in x.shape[1::-1])
    board = np.full((160, 160, 3), 114, np.uint8)
    t, s = (160 - h) // 2, (160 - w) // 2
    board[t : t + h, s : s + w] = cv2.resize(x, (w, h))
    return _unit(board)


def letterboxed(path):
    return _boxed(path, False)


def selfie_letterboxed(path):
    return _boxed(path, True)


def sixth_bit_lost(path):
    return _unit(_small(path) & 0xDF)


def cropped_then_padded(path):
    x = _small(path)
    return _unit(cv2.copyMakeBorder(x[8:-8, 8:-8], 8, 8, 8, 8, cv2.BORDER_REFLECT_101))
