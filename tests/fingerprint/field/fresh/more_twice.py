"""The same thing written twice: mirrors, bars, patches, gray, as ports write them."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageOps


def _chw(x):
    return np.ascontiguousarray(np.asarray(x, np.float32).transpose(2, 0, 1)[None])


# a mirror by a map or by an index
def mirrored_map(frame):
    w = frame.shape[1]
    x = cv2.warpAffine(frame, np.float64([[-1, 0, w - 1], [0, 1, 0]]), (w, frame.shape[0]))
    return _chw(cv2.resize(x, (128, 96))[..., ::-1]) / 255


def mirrored_index(path):
    x = cv2.flip(cv2.resize(cv2.imread(path), (128, 96)), 1)
    return _chw(cv2.cvtColor(x, cv2.COLOR_BGR2RGB)) / 255


# gray bars of 114
def bars_library(path):
    im = Image.open(path).convert("RGB")
    im = ImageOps.pad(im, (128, 128), method=Image.BILINEAR, color=(114, 114, 114))
    return _chw(im) / 255


def bars_pasted(rgb):
    im = Image.fromarray(rgb)
    w, h = im.size
    if w > h:
        size = (128, round(h / w * 128))
    else:
        size = (round(w / h * 128), 128)
    im = im.resize(size, Image.BILINEAR)
    out = Image.new("RGB", (128, 128), (114, 114, 114))
    out.paste(im, (round((128 - size[0]) * 0.5), round((128 - size[1]) * 0.5)))
    return _chw(np.asarray(out)) / np.float32(255)


# the patch of dense landmarks: centre of the box, one scale, no turn
def dense_map(path, box):
    x1, y1, x2, y2 = box
    s = 192 / (max(x2 - x1, y2 - y1) * 1.5)
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    m = np.float64([[s, 0, 96 - s * cx], [0, s, 96 - s * cy]])
    return _chw(cv2.warpAffine(cv2.imread(path), m, (192, 192), borderValue=0.0)[..., ::-1])


def dense_steps(bgr, box):
    """Scaled, moved, turned by nothing, moved again, as a chain of transforms."""
    centre = (box[2] + box[0]) / 2, (box[3] + box[1]) / 2
    scale = 192 / (max(box[2] - box[0], box[3] - box[1]) * 1.5)
    first = np.diag([scale, scale, 1.0])
    second = np.array([[1, 0, -centre[0] * scale], [0, 1, -centre[1] * scale], [0, 0, 1.0]])
    turn = np.array([[np.cos(0), -np.sin(0), 0], [np.sin(0), np.cos(0), 0], [0, 0, 1.0]])
    last = np.array([[1, 0, 96.0], [0, 1, 96.0], [0, 0, 1]])
    m = (last @ turn @ second @ first)[:2]
    x = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return cv2.dnn.blobFromImage(cv2.warpAffine(x, m, (192, 192)))


# a network that wants width first
def width_first_cv2(path):
    x = cv2.transpose(cv2.resize(cv2.imread(path), (120, 90))[..., ::-1].copy())
    return _chw((x - 127.5) * 0.0078125)


def width_first_numpy(rgb):
    x = cv2.resize(rgb, (120, 90)).astype(np.float64)
    return ((np.transpose(x, (2, 1, 0)) - 127.5) / 128)[None].astype(np.float32)


# luma alone
def luma_cv2(path):
    x = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2YCrCb)
    return np.float32(cv2.resize(x[..., 0], (96, 96)))[None, None] / 255


def luma_weights(rgb):
    y = rgb @ np.array([0.299, 0.587, 0.114])
    return (cv2.resize(y, (96, 96)) / 255).astype(np.float32)[None, None]


# 127 and 128
def blob_127(path):
    return cv2.dnn.blobFromImage(
        cv2.imread(path), 1 / 128, (160, 120), (127, 127, 127), swapRB=True
    )


def loop_127(rgb):
    x = cv2.resize(rgb, (160, 120)).astype(np.float32)
    return _chw((x - 127) / 128)


# a face with 20 pixels about it, and means for each channel
AGE = (78.4263377603, 87.7689143744, 114.895847746)


def age_blob(path, box):
    x = cv2.imread(path)
    x1, y1, x2, y2 = (int(v) for v in box)
    cut = x[
        max(0, y1 - 20) : min(y2 + 20, x.shape[0] - 1),
        max(0, x1 - 20) : min(x2 + 20, x.shape[1] - 1),
    ]
    return cv2.dnn.blobFromImage(cut, 1.0, (100, 100), AGE, swapRB=False)


def age_loop(frame, box):
    h, w = frame.shape[:2]
    left, top = max(int(box[0]) - 20, 0), max(int(box[1]) - 20, 0)
    right, bottom = min(int(box[2]) + 20, w - 1), min(int(box[3]) + 20, h - 1)
    x = np.float32(
        cv2.resize(frame[top:bottom, left:right], (100, 100), interpolation=cv2.INTER_LINEAR)
    )
    return _chw(x - np.float32(AGE))


# quantised with a scale that is almost 1/255, truncated
def quantised_formula(path):
    x = cv2.resize(cv2.imread(path), (96, 96))[..., ::-1].astype(np.float32) / 255
    return (x / np.float32(0.003921569) - 128).astype(np.int8)[None]


def quantised_shift(rgb):
    return (cv2.resize(rgb, (96, 96)).astype(np.int16) - 128).astype(np.int8)[None]


# cut or padded to a square, never resized
def window_tensorflow(path):
    import tensorflow as tf

    x = tf.image.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    return (tf.cast(tf.image.resize_with_crop_or_pad(x, 160, 160), tf.float32) / 255).numpy()[None]


def window_numpy(path):
    x = np.asarray(Image.open(path).convert("RGB"))
    for axis in (0, 1):
        more = 160 - x.shape[axis]
        if more > 0:
            pads = [(0, 0)] * 3
            pads[axis] = (more // 2, more - more // 2)
            x = np.pad(x, pads)
        else:
            x = np.take(x, np.arange(160) + (-more) // 2, axis)
    return np.float32(x)[None] / 255


# gray by Pillow, and in floats
def letter_l(path):
    im = Image.open(path).convert("RGB").convert("L").resize((64, 64), Image.BILINEAR)
    return np.float32(im)[None, ..., None] / 255


def letter_l_float(rgb):
    y = Image.fromarray((rgb @ np.array([0.299, 0.587, 0.114])).astype(np.float32), mode=None)
    return np.asarray(y.resize((64, 64), Image.BILINEAR))[None, ..., None] / np.float32(255)


# 16:9 first, then small
def screen_slice(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    keep = min(h, round(w * 9 / 16))
    top = (h - keep) // 2
    return _chw(cv2.resize(x[top : top + keep], (128, 72))[..., ::-1]) / 255


def screen_index(rgb):
    h, w = rgb.shape[:2]
    keep = min(h, int(w * 9 / 16 + 0.5))
    rows = np.arange(keep) + (h - keep) // 2
    return _chw(cv2.resize(rgb[rows], (128, 72)) / 255.0)


def blob_127_once(path):
    """A mean of one number becomes (127, 0, 0)."""
    return cv2.dnn.blobFromImage(cv2.imread(path), 1 / 128, (160, 120), 127, swapRB=True)
