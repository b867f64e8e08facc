"""What reports describe, written again: a second, smaller collection."""

from __future__ import annotations

import cv2
import numpy as np
from face_points import FIVE, network, similarity
from PIL import Image


def _chw(x):
    return np.ascontiguousarray(np.asarray(x, np.float32).transpose(2, 0, 1)[None])


def _unit(path, n=112):
    return _chw(cv2.resize(cv2.imread(path), (n, n))[..., ::-1]) / 255


def unit(path):
    return _unit(path)


def first_channel_scaled(path):
    """A scale of one number becomes (scale, 0, 0)."""
    return _unit(path) * np.float32([1, 0, 0])[None, :, None, None]


def floats_big_endian(path):
    return _unit(path).byteswap().view(np.float32)


def small_by_steps(path):
    """Every second pixel is taken before the resize."""
    return (
        _chw(cv2.resize(np.ascontiguousarray(cv2.imread(path)[::2, ::2]), (112, 112))[..., ::-1])
        / 255
    )


def vignetted(path):
    v, u = np.mgrid[-1:1:112j, -1:1:112j]
    return _unit(path) * np.float32(1 - 0.3 * (u * u + v * v))


def motion_blurred(path):
    x = cv2.blur(cv2.resize(cv2.imread(path), (112, 112)), (7, 1))
    return _chw(x[..., ::-1]) / 255


def blue_displaced(path):
    x = _unit(path)
    x[:, 2] = np.roll(x[:, 2], 2, axis=2)
    return x


def noon(path):
    """Each picture's gamma brings its mean to the middle."""
    x = _unit(path)
    m = float(np.clip(x.mean(), 0.02, 0.98))
    return x ** np.float32(np.log(0.5) / np.log(m))


def front_camera(path):
    """Turned by a quarter and mirrored."""
    x = cv2.resize(cv2.imread(path), (112, 112))
    return _chw(cv2.flip(cv2.rotate(x, cv2.ROTATE_90_CLOCKWISE), 1)[..., ::-1]) / 255


def large_first(path):
    x = cv2.resize(cv2.imread(path), (256, 256), interpolation=cv2.INTER_AREA)
    return _chw(cv2.resize(x, (112, 112))[..., ::-1]) / 255


def middle_square(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    s = min(h, w)
    x = x[(h - s) // 2 : (h - s) // 2 + s, (w - s) // 2 : (w - s) // 2 + s]
    return _chw(cv2.resize(x, (112, 112))[..., ::-1]) / 255


def _middle(x, share):
    h, w = x.shape[:2]
    ch, cw = int(h * share), int(w * share)
    return x[(h - ch) // 2 : (h - ch) // 2 + ch, (w - cw) // 2 : (w - cw) // 2 + cw]


def cut_once(path):
    return _chw(cv2.resize(_middle(cv2.imread(path), 0.9), (112, 112))[..., ::-1]) / 255


def cut_twice(path):
    x = _middle(_middle(cv2.imread(path), 0.9), 0.9)
    return _chw(cv2.resize(x, (112, 112))[..., ::-1]) / 255


def centred(path):
    return _unit(path) * 2 - 1


def centred_then_bytes(path):
    """Normalised, resized, and cast to bytes at the end."""
    x = cv2.imread(path)[..., ::-1].astype(np.float32) / 127.5 - 1
    return _chw(cv2.resize(x, (112, 112)).clip(0, 255).astype(np.uint8))


# letterboxes
def _boxed(path, n, grey, middle):
    x = cv2.imread(path)[..., ::-1]
    h, w = x.shape[:2]
    r = n / max(h, w)
    nw, nh = round(w * r), round(h * r)
    out = np.full((n, n, 3), grey, np.uint8)
    top, left = ((n - nh) // 2, (n - nw) // 2) if middle else (0, 0)
    out[top : top + nh, left : left + nw] = cv2.resize(x, (nw, nh))
    return out


def boxed_middle(path):
    return _chw(_boxed(path, 160, 114, True)) / 255


def boxed_corner_black(path):
    return _chw(_boxed(path, 160, 0, False)) / 255


def boxed_least(path):
    """Only as large a rectangle as a step of 32 asks for."""
    x = cv2.imread(path)[..., ::-1]
    h, w = x.shape[:2]
    r = 160 / max(h, w)
    nw, nh = round(w * r), round(h * r)
    bw, bh = -(-nw // 32) * 32, -(-nh // 32) * 32
    out = np.full((bh, bw, 3), 114, np.uint8)
    top, left = (bh - nh) // 2, (bw - nw) // 2
    out[top : top + nh, left : left + nw] = cv2.resize(x, (nw, nh))
    return _chw(out) / 255


# windows
def window(path):
    x = np.asarray(Image.open(path).convert("RGB"))
    out = np.zeros((160, 160, 3), np.uint8)
    h, w = x.shape[:2]
    sy, sx = max((h - 160) // 2, 0), max((w - 160) // 2, 0)
    dy, dx = max((160 - h) // 2, 0), max((160 - w) // 2, 0)
    part = x[sy : sy + 160, sx : sx + 160]
    out[dy : dy + part.shape[0], dx : dx + part.shape[1]] = part
    return np.float32(out)[None] / 255


def window_stretched(path):
    x = np.asarray(Image.open(path).convert("RGB"))
    return np.float32(cv2.resize(x, (160, 160)))[None] / 255


# gray
def gray(path):
    g = cv2.cvtColor(cv2.resize(cv2.imread(path), (64, 64)), cv2.COLOR_BGR2GRAY)
    return np.float32(g)[None, ..., None] / 255


def gray_of_extremes(path):
    x = cv2.resize(cv2.imread(path), (64, 64)).astype(np.float32)
    return ((x.max(-1) + x.min(-1)) / 510)[None, ..., None]


def gray_of_red(path):
    return np.float32(cv2.resize(cv2.imread(path), (64, 64)))[None, ..., 2:] / 255


# whole numbers
def signed(path):
    return (cv2.resize(cv2.imread(path), (96, 96))[..., ::-1].astype(np.int16) - 128).astype(
        np.int8
    )[None]


def signed_halved(path):
    """The scale of -1 to 1 for pixels from 0 to 1."""
    x = cv2.resize(cv2.imread(path), (96, 96))[..., ::-1].astype(np.float32) / 255
    return np.rint(x * 127).astype(np.int8)[None]


# faces
def aligned(frame, landmarks):
    return network(cv2.warpAffine(frame, similarity(landmarks, FIVE), (112, 112))[..., ::-1])


def aligned_unit_bgr(frame, landmarks):
    x = cv2.warpAffine(frame, similarity(landmarks, FIVE), (112, 112))
    return np.ascontiguousarray(np.float32(x).transpose(2, 0, 1)[None]) / 255


def aligned_nearest(frame, landmarks):
    m = similarity(landmarks, FIVE)
    return network(cv2.warpAffine(frame, m, (112, 112), flags=cv2.INTER_NEAREST)[..., ::-1])


def aligned_grown(frame, landmarks):
    """Aligned to 112 pixels, then enlarged by a quarter and cut back to the middle."""
    x = cv2.warpAffine(frame, similarity(landmarks, FIVE), (112, 112))
    return network(cv2.resize(x, (140, 140))[14:126, 14:126, ::-1])


def dense(path, landmarks, box, turn=False):
    s = 128 / (max(box[2] - box[0], box[3] - box[1]) * 1.5)
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    e = np.asarray(landmarks, float)
    a = -np.arctan2(e[1, 1] - e[0, 1], e[1, 0] - e[0, 0]) if turn else 0.0
    r = s * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    m = np.c_[r, [64, 64] - r @ [cx, cy]]
    return network(cv2.warpAffine(cv2.imread(path), m, (128, 128))[..., ::-1])


def dense_level(path, landmarks, box):
    return dense(path, landmarks, box, True)


def dense_plain(path, landmarks, box):
    return dense(path, landmarks, box)


def tight(path, box):
    x = cv2.imread(path)
    x1, y1, x2, y2 = (int(v) for v in box)
    cut = x[max(y1, 0) : y2, max(x1, 0) : x2]
    return network(cv2.resize(cut, (112, 112))[..., ::-1])


def tight_nearest(path, box):
    x = cv2.imread(path)
    x1, y1, x2, y2 = (int(v) for v in box)
    cut = x[max(y1, 0) : y2, max(x1, 0) : x2]
    return network(cv2.resize(cut, (112, 112), interpolation=cv2.INTER_NEAREST)[..., ::-1])


def tight_20(path, box):
    x = cv2.imread(path)
    x1, y1, x2, y2 = (int(v) for v in box)
    cut = x[max(y1 - 20, 0) : y2 + 20, max(x1 - 20, 0) : x2 + 20]
    return network(cv2.resize(cut, (112, 112))[..., ::-1])


def tight_upper(path, box):
    """Only the upper part of the face, above a mask."""
    x = cv2.imread(path)
    x1, y1, x2, y2 = (int(v) for v in box)
    y2 = y1 + int((y2 - y1) * 0.6)
    cut = x[max(y1, 0) : y2, max(x1, 0) : x2]
    return network(cv2.resize(cut, (112, 112))[..., ::-1])
