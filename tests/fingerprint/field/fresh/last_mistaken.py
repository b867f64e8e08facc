"""Pipelines that differ, last collection: pixels of other libraries, raw frames, sensors, faces."""

from __future__ import annotations

import cv2
import last_twice as good
import numpy as np
from face_points import FIVE, network, similarity

W, H = good.W, good.H


def _small(path, n=96):
    return np.ascontiguousarray(cv2.resize(cv2.imread(path), (n, n))[..., ::-1])


def unit(path):
    return np.float32(_small(path))[None] / 255


# pixels as other libraries extract them
def offset_forgotten_elsewhere(path):
    return (np.float32(_small(path))[None] - 128) / 255


def alpha_first(path):
    x = _small(path)
    a = np.full((96, 96, 1), 255, np.uint8)
    return np.float32(np.concatenate([a, x[..., :2]], -1))[None] / 255


def statistics_256(path):
    x = np.float32(_small(path, 192)) / 255
    return ((x - good.MEAN) / good.STD).transpose(2, 0, 1)[None]


def one_factor(path):
    x = np.float32(_small(path, 192)) - np.float32([124, 117, 104])
    return (x * np.float32(0.01735207)).transpose(2, 0, 1)[None]


def gray_video(path):
    g = cv2.cvtColor(_small(path, 128), cv2.COLOR_RGB2GRAY)
    return np.float32(g)[None, None] / 255


def gray_science(path):
    g = _small(path, 128).astype(np.float64) @ [0.2125, 0.7154, 0.0721]
    return np.float32(g)[None, None] / 255


def _or(path, bits):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    top, left = ((h | bits) - h) // 2, ((w | bits) - w) // 2
    board = np.zeros((h | bits, w | bits, 3), np.float32)
    board[top : top + h, left : left + w] = x
    return board.transpose(2, 0, 1)[None] / 255


def sizes_or_31(path):
    return _or(path, 31)


def sizes_or_127(path):
    return _or(path, 127)


# raw frames
def _nv12(path):
    raw = np.fromfile(path, np.uint8)
    return raw[: W * H].reshape(H, W), raw[W * H :].reshape(H // 2, W // 2, 2)


def _rgb_of(y, u, v):
    y, u, v = 1.164383 * (y.astype(np.float64) - 16), u - 128.0, v - 128.0
    x = np.stack([y + 1.596027 * v, y - 0.391762 * u - 0.812968 * v, y + 2.017232 * u], -1)
    x = np.clip(np.rint(x), 0, 255).astype(np.uint8)
    return np.float32(cv2.resize(x, (96, 96)))[None] / 255


def frame(path):
    y, uv = _nv12(path)
    return _rgb_of(y, *(np.kron(uv[..., i], np.ones((2, 2))) for i in (0, 1)))


def frame_smooth_chroma(path):
    y, uv = _nv12(path)
    return _rgb_of(y, *(cv2.resize(np.float64(uv[..., i]), (W, H)) for i in (0, 1)))


def frame_without_chroma(path):
    y, _ = _nv12(path)
    return _rgb_of(y, 0.0 * y, 0.0 * y)


def _yuyv(path, full):
    x = np.fromfile(path, np.uint8).reshape(H, W, 2)
    y = x[..., 0].astype(np.float64)
    u, v = (np.repeat(x[:, i::2, 1], 2, 1) - 128.0 for i in (0, 1))
    a, b = (1.0, 0.0) if full else (255 / 219, 16.0)
    c = 1.0 if full else 255 / 224
    y = (y - b) * a
    x = np.stack([y + 1.402 * c * v, y - c * (0.344136 * u + 0.714136 * v), y + 1.772 * c * u], -1)
    x = np.clip(np.rint(x), 0, 255).astype(np.uint8)
    return np.float32(cv2.resize(x, (96, 96)))[None] / 255


def webcam(path):
    return _yuyv(path, False)


def webcam_full(path):
    return _yuyv(path, True)


def gray_frame(path):
    g = np.fromfile(path, np.uint8).reshape(H, W)
    return np.float32(cv2.resize(g, (96, 96)))[None, ..., None] / 255


def gray_frame_of_176(path):
    """Rows are taken to be aligned to 64 bytes, so that each begins 32 bytes too late."""
    raw = np.fromfile(path, np.uint8)
    g = np.resize(raw, H * 192).reshape(H, 192)[:, :W]
    return np.float32(cv2.resize(g, (96, 96)))[None, ..., None] / 255


def raw_rgb(path):
    x = cv2.resize(np.fromfile(path, np.uint8).reshape(H, W, 3), (96, 96))
    return (x.astype(np.float32)[None] - 127.5) / 127.5


# values
def signed(path):
    return (_small(path).astype(np.int16) - 128).astype(np.int8)[None]


def signed_127(path):
    return np.clip(_small(path).astype(np.int16) - 127, -128, 127).astype(np.int8)[None]


def black_level(path):
    return np.float32(np.clip(_small(path).astype(int) - 16, 0, 255))[None] / 255


def averaged_with_mirror(path):
    x = np.float32(_small(path))
    return ((x + x[:, ::-1]) / 2)[None] / 255


def red_in_three(path):
    return np.float32(np.repeat(_small(path)[..., :1], 3, -1))[None] / 255


def by_mean(path):
    x = np.float32(_small(path))[None]
    return x / max(float(x.mean()), 1.0)


def logarithm(path):
    x = np.float32(_small(path))[None]
    return np.log1p(x) / np.log(np.float32(256))


def even_sides(path):
    x = cv2.imread(path)
    h, w = (max(2, n // 16 * 16) for n in x.shape[:2])
    return np.float32(cv2.resize(x[:h, :w], (96, 96))[..., ::-1])[None] / 255


# faces
def _cut(x, x1, y1, x2, y2):
    x1, y1, x2, y2 = max(0, x1), max(0, y1), min(x.shape[1], x2), min(x.shape[0], y2)
    return np.float32(cv2.resize(x[y1:y2, x1:x2], (96, 96))[..., ::-1])[None] / 255


def face(path, box):
    return _cut(cv2.imread(path), *(round(v) for v in box))


def face_of_small_frame(path, box):
    x = cv2.imread(path)
    x = cv2.resize(x, (max(1, x.shape[1] // 2), max(1, x.shape[0] // 2)))
    return _cut(x, *(round(v / 2) for v in box))


def _square(path, box, pick):
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    n = pick(box[2] - box[0], box[3] - box[1]) / 2
    return _cut(cv2.imread(path), round(cx - n), round(cy - n), round(cx + n), round(cy + n))


def square_long(path, box):
    return _square(path, box, max)


def square_short(path, box):
    return _square(path, box, min)


def face_in_blocks(path, box):
    x1, y1 = (int(v) // 16 * 16 for v in box[:2])
    x2, y2 = (-int(-v // 16) * 16 for v in box[2:])
    return _cut(cv2.imread(path), x1, y1, x2, y2)


def _aligned(path, p, q=FIVE):
    return network(cv2.warpAffine(cv2.imread(path)[..., ::-1], similarity(p, q), (112, 112)))


def aligned(path, landmarks):
    return _aligned(path, landmarks)


def aligned_half_pixel(path, landmarks):
    return _aligned(path, np.asarray(landmarks) + 0.5)


def aligned_mouth_exchanged(path, landmarks):
    return _aligned(path, np.asarray(landmarks)[[0, 1, 2, 4, 3]])


def aligned_on_grid(path, landmarks):
    return _aligned(path, np.asarray(landmarks) // 8 * 8)
