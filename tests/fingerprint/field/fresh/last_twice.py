"""The same thing written twice, last collection: other languages' libraries, raw frames, boxes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

W, H = 160, 120
MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])


# three columns of a table, one for each plane
def planes_joined(path):
    x = cv2.resize(cv2.imread(path)[..., ::-1], (192, 192))
    columns = []
    for c in range(3):
        plane = x[..., c].astype(np.float32)
        columns.append((plane - MEAN[c] * 255) * (1 / (STD[c] * 255)))
    return np.concatenate([c[None, None] for c in columns], axis=1)


def planes_at_once(frame):
    x = cv2.cvtColor(cv2.resize(frame, (192, 192)), cv2.COLOR_BGR2RGB)
    return np.transpose((x.astype(np.float64) / 255.0 - MEAN) / STD, (2, 0, 1))[None].astype("f4")


# gray of a canvas with four channels
def canvas_gray(rgb):
    x = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    g = cv2.resize(cv2.cvtColor(x, cv2.COLOR_RGBA2GRAY), (48, 48))
    return g.astype(np.float32).reshape(1, 48, 48, 1) / 255


def file_gray(path):
    g = cv2.resize(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY), (48, 48))
    return np.expand_dims(np.expand_dims(np.array(g, np.float32), -1), 0) * np.float32(1 / 255)


# made square below and to the right, then small
def square_by_border(path):
    x = cv2.imread(path)
    n = max(x.shape[:2])
    x = cv2.copyMakeBorder(x, 0, n - x.shape[0], 0, n - x.shape[1], cv2.BORDER_CONSTANT)
    return cv2.dnn.blobFromImage(x, 1 / 255.0, (160, 160), (0, 0, 0), True, False)


def square_by_canvas(rgb):
    h, w, _ = rgb.shape
    board = np.zeros((max(h, w), max(h, w), 3), np.uint8)
    board[:h, :w] = rgb
    x = cv2.resize(board, (160, 160), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(x.transpose(2, 0, 1))[np.newaxis] / np.float32(255)


# a face for a second network: one factor, three offsets
def second_stage(path, box):
    x = cv2.imread(path)
    x1, y1 = max(int(box[0]), 0), max(int(box[1]), 0)
    x2, y2 = min(int(box[2]), x.shape[1]), min(int(box[3]), x.shape[0])
    x = cv2.resize(x[y1:y2, x1:x2], (64, 128))[..., ::-1].astype(np.float32)
    return ((x - np.float32([124, 117, 104])) * np.float32(0.01735207)).transpose(2, 0, 1)[None]


def second_stage_of_rgb(rgb, box):
    h, w = rgb.shape[:2]
    x1, y1, x2, y2 = (int(v) for v in box)
    cut = rgb[max(0, y1) : min(h, y2), max(0, x1) : min(w, x2)]
    cut = cv2.resize(np.ascontiguousarray(cut), dsize=(64, 128), interpolation=cv2.INTER_LINEAR)
    return cv2.dnn.blobFromImage(cut, 0.01735207, None, (124, 117, 104))


# a box in shares of the picture
def relative_box(frame, box):
    h, w = frame.shape[:2]
    share = np.float64(box) / [w, h, w, h]
    x1, y1, x2, y2 = np.floor(share * [w, h, w, h] + 1e-9).astype(int).clip(0)
    cut = np.ascontiguousarray(frame[y1:y2, x1:x2, ::-1])
    return cv2.resize(cut, (96, 96))[None].astype(np.float32) / 127.5 - 1


def pixel_box(path, box):
    x1, y1, x2, y2 = (max(int(np.floor(v + 1e-9)), 0) for v in box)
    x = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[y1:y2, x1:x2]
    return (cv2.resize(x, (96, 96)).astype(np.float32) - 127.5)[None] / 127.5


# the middle seven eighths
def middle_share(path):
    x = cv2.imread(path)[..., ::-1]
    top, left = (int((n - n * 0.875) / 2) for n in x.shape[:2])
    h, w = x.shape[0] - 2 * top, x.shape[1] - 2 * left
    x = np.ascontiguousarray(x[top : top + h, left : left + w])
    return (cv2.resize(x, (224, 224)).astype(np.float32) / 255 - 0.5)[None] * 2


def middle_share_again(frame):
    h, w = frame.shape[:2]
    a, b = int(h * 0.125 / 2), int(w * 0.125 / 2)
    x = frame[a : h - a, b : w - b].copy()
    x = cv2.resize(x, (224, 224), interpolation=cv2.INTER_LINEAR)
    return np.float32(x[..., ::-1] * (2.0 / 255.0) - 1.0)[None]


# a texture whose rows begin below
def texture_below(rgb):
    x = cv2.resize(np.ascontiguousarray(rgb[::-1]), (128, 128))
    return np.float32(x[::-1])[None] / 255


def texture_above(path):
    return cv2.resize(cv2.imread(path)[..., ::-1], (128, 128))[None].astype(np.float32) / 255


# bytes with gray bars, as an accelerator takes them
def accelerator(path):
    x = cv2.imread(path)[..., ::-1]
    k = min(160 / x.shape[1], 160 / x.shape[0])
    w, h = max(1, int(x.shape[1] * k)), max(1, int(x.shape[0] * k))
    x = cv2.resize(np.ascontiguousarray(x), (w, h))
    t, s = (160 - h) // 2, (160 - w) // 2
    return cv2.copyMakeBorder(
        x, t, 160 - h - t, s, 160 - w - s, cv2.BORDER_CONSTANT, value=(127, 127, 127)
    )[None]


def accelerator_canvas(bgr):
    h, w = bgr.shape[:2]
    ratio = 160 / max(h, w)
    nh, nw = max(1, int(h * ratio)), max(1, int(w * ratio))
    board = np.zeros((1, 160, 160, 3), np.uint8) + np.uint8(127)
    y, x = (160 - nh) // 2, (160 - nw) // 2
    board[0, y : y + nh, x : x + nw] = cv2.resize(bgr, (nw, nh))[:, :, [2, 1, 0]]
    return board


# the middle square by a patch about a point
def patch_about_middle(path):
    x = cv2.imread(path)
    n = min(x.shape[:2])
    left, top = (x.shape[1] - n) // 2, (x.shape[0] - n) // 2
    x = cv2.getRectSubPix(x, (n, n), (left + (n - 1) / 2, top + (n - 1) / 2))
    return np.float32(cv2.resize(x, (96, 96))[..., ::-1])[None] / 255


def patch_sliced(rgb):
    h, w = rgb.shape[:2]
    n = min(h, w)
    x = rgb[(h - n) // 2 :, (w - n) // 2 :][:n, :n]
    return cv2.resize(np.ascontiguousarray(x), (96, 96))[None] * np.float32(1 / 255)


# raw frames
def raw_bgr_cv2(path):
    x = np.fromfile(path, np.uint8).reshape(H, W, 3)
    x = cv2.resize(cv2.cvtColor(x, cv2.COLOR_BGR2RGB), (96, 96))
    return (x.astype(np.float32)[None] - 127.5) / 127.5


def raw_bgr_planes(path):
    x = np.fromfile(path, np.uint8)
    b, g, r = (x[c::3].reshape(H, W) for c in range(3))
    return (
        np.float32([[cv2.resize(p, (96, 96)) for p in (r, g, b)]]).transpose(0, 2, 3, 1) / 127.5 - 1
    )


def raw_gray(path):
    g = cv2.resize(np.fromfile(path, np.uint8).reshape(H, W), (96, 96))
    return (g.astype(np.int16) - 128).astype(np.int8)[None, ..., None]


def raw_gray_xor(path):
    g = cv2.resize(np.frombuffer(Path(path).read_bytes(), np.uint8).reshape(H, W), (96, 96))
    return (g ^ 0x80).view(np.int8).reshape(1, 96, 96, 1)
