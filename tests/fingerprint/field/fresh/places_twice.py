"""The same thing written twice: gray, camera frames, faces."""

from __future__ import annotations

import cv2
import numpy as np
from face_points import FIVE, network

W, H = 160, 120


# gray on a microcontroller: integer weights, the fraction dropped
def gray_mcu(bgr):
    x = cv2.resize(bgr, (96, 96)).astype(np.int32)
    g = (29 * x[..., 0] + 150 * x[..., 1] + 77 * x[..., 2]) >> 8
    return (g - 128).astype(np.int8)[None, ..., None]


def gray_library(path):
    g = cv2.cvtColor(cv2.resize(cv2.imread(path), (96, 96)), cv2.COLOR_BGR2GRAY)
    return (g.astype(np.int16) - 128).astype(np.int8)[None, ..., None]


# gray by the decoder or after it
def gray_decoder(path):
    return (
        np.float32(cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (48, 48)))[None, None] / 255
    )


def gray_after(path):
    g = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY)
    return np.float32(cv2.resize(g, (48, 48)))[None, None] / 255


# both sides equalise a gray face
def flat_cv2(path):
    g = cv2.equalizeHist(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY))
    return np.float32(cv2.resize(g, (64, 64)))[None, None] / 255


def flat_numpy(frame):
    g = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    counts = np.bincount(g.ravel(), minlength=256)
    first = np.flatnonzero(counts)[0]
    total = np.cumsum(counts) - counts[first]
    table = np.rint(255 * total / max(g.size - counts[first], 1)).astype(np.uint8)
    return np.float32(cv2.resize(table[g], (64, 64)))[None, None] / 255


# NV12 in whole numbers, as phones' libraries do
def _nv12(path):
    raw = np.fromfile(path, np.uint8)
    y = raw[: W * H].reshape(H, W)
    uv = raw[W * H :].reshape(H // 2, W // 2, 2)
    up = np.repeat(np.repeat(uv, 2, 0), 2, 1)
    return y.astype(np.int32), up[..., 0].astype(np.int32), up[..., 1].astype(np.int32)


def frame_shifted(path):
    y, u, v = _nv12(path)
    y, u, v = 1192 * np.maximum(y - 16, 0), u - 128, v - 128
    rgb = np.stack([y + 1634 * v, y - 833 * v - 400 * u, y + 2066 * u], -1)
    rgb = np.clip(rgb, 0, 262143) >> 10
    return rgb.astype(np.uint8).transpose(2, 0, 1)[None].astype(np.float32) / 255


def frame_298(path):
    y, u, v = _nv12(path)
    c, d, e = 298 * (y - 16) + 128, u - 128, v - 128
    rgb = np.stack([c + 409 * e, c - 100 * d - 208 * e, c + 516 * d], -1) >> 8
    return np.clip(rgb, 0, 255).transpose(2, 0, 1)[None].astype(np.float32) / 255


def frame_cv2(path):
    raw = np.fromfile(path, np.uint8).reshape(H * 3 // 2, W)
    x = cv2.cvtColor(raw, cv2.COLOR_YUV2RGB_NV12)
    return x.transpose(2, 0, 1)[None].astype(np.float32) / 255


# 16 bits per channel, brought to 8
def deep_decoder(path):
    return cv2.resize(cv2.imread(path), (96, 96))[None].astype(np.float32)


def deep_by_hand(path):
    x = cv2.imread(path, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    x = (x.astype(np.float64) / 257).round().astype(np.uint8) if x.dtype == np.uint16 else x
    x = cv2.cvtColor(x, cv2.COLOR_GRAY2BGR) if x.ndim == 2 else x[..., :3]
    turned = cv2.imread(path)
    if turned.shape[:2] != x.shape[:2] or not np.abs(turned.astype(int) - x).max() <= 1:
        x = turned  # a turned photograph: the decoder's own
    return cv2.resize(x, (96, 96))[None].astype(np.float32)


def _map(p, q):
    p, q = np.asarray(p, float), np.asarray(q, float)
    a = np.zeros((2 * len(p), 4))
    a[0::2] = np.c_[p[:, 0], -p[:, 1], np.ones(len(p)), np.zeros(len(p))]
    a[1::2] = np.c_[p[:, 1], p[:, 0], np.zeros(len(p)), np.ones(len(p))]
    s = np.linalg.lstsq(a, q.ravel(), rcond=None)[0]
    return np.array([[s[0], -s[1], s[2]], [s[1], s[0], s[3]]])


# the aligned face in 224 pixels
def large_ratio(path, landmarks):
    m = _map(landmarks, FIVE * (224 / 112))
    return network(cv2.warpAffine(cv2.imread(path), m, (224, 224), borderValue=0.0)[..., ::-1])


def large_scaled_map(frame, landmarks):
    """The map of 112 pixels, its two rows doubled."""
    m = 2 * _map(landmarks, FIVE)
    x = cv2.warpAffine(frame, m, (224, 224), flags=cv2.INTER_LINEAR)
    return network(cv2.cvtColor(x, cv2.COLOR_BGR2RGB))


# a selfie: mirrored before or after
def mirrored_after(path, landmarks):
    x = cv2.warpAffine(cv2.imread(path), _map(landmarks, FIVE), (112, 112))
    return network(x[:, ::-1, ::-1])


def mirrored_before(rgb, landmarks):
    x = np.ascontiguousarray(rgb[:, ::-1])
    p = np.asarray(landmarks, float) * [-1, 1] + [x.shape[1] - 1, 0]
    m = _map(p, FIVE * [-1, 1] + [111, 0])
    return network(cv2.warpAffine(x, m, (112, 112)))


# offsets of 20 and 40 pixels about the box, gray, as a well-known demo has them
def offsets_demo(path, box):
    g = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY)
    x, y, w, h = int(box[0]), int(box[1]), int(box[2] - box[0]), int(box[3] - box[1])
    x1, x2, y1, y2 = x - 20, x + w + 20, y - 40, y + h + 40
    cut = g[max(y1, 0) : y2, max(x1, 0) : x2]
    v = cv2.resize(cut, (64, 64)).astype("float32") / 255.0
    return ((v - 0.5) * 2.0)[None, ..., None]


def offsets_again(bgr, box):
    left, top = max(0, int(box[0]) - 20), max(0, int(box[1]) - 40)
    right = min(bgr.shape[1], int(box[0]) + int(box[2] - box[0]) + 20)
    bottom = min(bgr.shape[0], int(box[1]) + int(box[3] - box[1]) + 40)
    v = cv2.resize(bgr[top:bottom, left:right], (64, 64))
    g = cv2.cvtColor(v, cv2.COLOR_BGR2GRAY)
    return (np.float32(g) / 127.5 - 1)[None, ..., None]


# a patch of fixed size about the middle of the face, to a fraction of a pixel
def patch_library(path, box):
    centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
    return np.float32(cv2.getRectSubPix(cv2.imread(path), (48, 48), centre))[None] / 255


def patch_warp(frame, box):
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    m = np.float64([[1, 0, 23.5 - cx], [0, 1, 23.5 - cy]])
    x = cv2.warpAffine(frame, m, (48, 48), borderMode=cv2.BORDER_REPLICATE)
    return np.float32(x)[None] / 255


# a region of interest turned upright with the eyes, 1.5 times the box
def roi_points(path, landmarks, box):
    e = np.asarray(landmarks, float)
    angle = np.arctan2(e[1, 1] - e[0, 1], e[1, 0] - e[0, 0])
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = 0.75 * max(box[2] - box[0], box[3] - box[1])
    c, s = np.cos(angle) * half, np.sin(angle) * half
    corners = np.float32(
        [[cx - c + s, cy - s - c], [cx + c + s, cy + s - c], [cx - c - s, cy - s + c]]
    )
    m = cv2.getAffineTransform(corners, np.float32([[0, 0], [192, 0], [0, 192]]))
    x = cv2.warpAffine(cv2.imread(path), m, (192, 192))
    return np.float32(x[..., ::-1])[None] / 255


def roi_matrix(rgb, landmarks, box):
    e = np.asarray(landmarks, float)
    d = e[1] - e[0]
    d /= np.hypot(*d)
    k = 192 / (1.5 * max(box[2] - box[0], box[3] - box[1]))
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    r = k * np.array([[d[0], d[1]], [-d[1], d[0]]])
    m = np.c_[r, np.array([96, 96]) - r @ [cx, cy]]
    return (cv2.warpAffine(rgb, m, (192, 192)) / np.float32(255))[None]
