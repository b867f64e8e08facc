"""Pipelines that differ, second collection: written after the search was changed, and run once first."""

from __future__ import annotations

import cv2
import later_same as same
import numpy as np
from PIL import Image


def _net(x):
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None]).astype(np.float32)


# the page that warns of signed bytes
def signed_bytes(path):
    x = np.ascontiguousarray(cv2.resize(cv2.imread(path), (64, 64))[..., ::-1])
    return (x.view(np.int8) / 255.0).astype(np.float32)[None]


# TensorFlow's means in BGR order taken off RGB
def vgg_rgb(path):
    x = cv2.cvtColor(cv2.resize(cv2.imread(path), (224, 224)), cv2.COLOR_BGR2RGB)
    return (x.astype(np.float32) - np.float32([103.939, 116.779, 123.68]))[None]


def vgg_right(path):
    x = cv2.resize(cv2.imread(path), (224, 224))
    return (x.astype(np.float32) - np.float32([103.939, 116.779, 123.68]))[None]


def vgg_unit(path):
    return vgg_right(path) / 255


# resized and padded in the other order, and stretched
def small_then_square(path):
    x = cv2.imread(path)
    k = 100 / max(x.shape[:2])
    x = cv2.resize(
        x,
        (max(1, round(x.shape[1] * k)), max(1, round(x.shape[0] * k))),
        interpolation=cv2.INTER_AREA,
    )
    top, left = (100 - x.shape[0]) // 2, (100 - x.shape[1]) // 2
    x = cv2.copyMakeBorder(x, top, 100 - x.shape[0] - top, left, 100 - x.shape[1] - left, 0)
    return x[None].astype(np.float32) / 255


def stretched_small(path):
    x = cv2.resize(cv2.imread(path), (100, 100), interpolation=cv2.INTER_AREA)
    return x[None].astype(np.float32) / 255


# FER: the crop is forgotten, or ten crops begin at a corner
def fer_no_crop(path):
    g = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY)
    return cv2.resize(g, (44, 44)).astype(np.float32)[None, None] / 255


def fer_corner(path):
    g = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY)
    return cv2.resize(g, (48, 48))[:44, :44].astype(np.float32)[None, None] / 255


def fer_negative(path):
    return 1 - same.fer_crop(path)


# the restoration template
def restored_unit(path, landmarks):
    return (same.restored(path, landmarks) + 1) / 2


def restored_bgr(path, landmarks):
    return same.restored(path, landmarks)[:, ::-1].copy()


def restored_wrong_eyes(path, landmarks):
    return same.restored(path, np.asarray(landmarks)[[1, 0, 2, 4, 3]])


# three points
def three_points_nose(path, landmarks):
    p = np.float32(landmarks)[:3]
    x = cv2.warpAffine(cv2.imread(path)[..., ::-1], cv2.getAffineTransform(p, same.THREE), (96, 96))
    return _net(x) / 255


def three_points_bgr(path, landmarks):
    return same.three_points(path, landmarks)[:, ::-1].copy()


# hue
def hsv_degrees(path):
    x = cv2.resize(cv2.imread(path), (64, 64)).astype(np.float32) / 255
    return cv2.cvtColor(x, cv2.COLOR_BGR2HSV)[None]


def hsv_of_bgr(path):
    from skimage.color import rgb2hsv

    return rgb2hsv(cv2.resize(cv2.imread(path), (64, 64))).astype(np.float32)[None]


# reduced
def one_step(path):
    im = Image.open(path).convert("RGB").resize((80, 80), Image.BICUBIC)
    return np.float32(im)[None] / 255


def two_steps_nearest(path):
    im = Image.open(path).convert("RGB").resize((256, 256), Image.BILINEAR)
    return np.float32(im.resize((80, 80), Image.NEAREST))[None] / 255


# the square about the face
def _square(path, box, times, border):
    x = cv2.imread(path)
    n = int(max(box[2] - box[0], box[3] - box[1]) * times)
    left, top = (int((box[i] + box[i + 2]) // 2) + n - n // 2 for i in (0, 1))
    big = cv2.copyMakeBorder(x, n, n, n, n, border)
    return cv2.resize(big[top : top + n, left : left + n], (96, 96))[None, ..., ::-1].astype("f4")


def black_outside(path, box):
    return _square(path, box, 1.4, cv2.BORDER_CONSTANT)


def narrower(path, box):
    return _square(path, box, 1.2, cv2.BORDER_REPLICATE)


def squeezed(path, box):
    x1, y1, x2, y2 = (max(0, int(v)) for v in box)
    return cv2.resize(cv2.imread(path)[y1:y2, x1:x2], (96, 96))[None, ..., ::-1].astype(np.float32)


# sizes that follow the picture
def padded_64(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    x = cv2.copyMakeBorder(x, 0, -h % 64, 0, -w % 64, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return _net(x) - 127.5


def padded_32_no_mean(path):
    return same.padded_32(path) + 127.5


# colour that a display's profile or a filter changed
def warmer(path):
    x = cv2.resize(cv2.imread(path), (64, 64))[..., ::-1].astype(np.float32)
    return np.clip(x * np.float32([1.15, 1.0, 0.85]), 0, 255)[None] / 255


def sepia(path):
    x = cv2.resize(cv2.imread(path), (64, 64))[..., ::-1].astype(np.float32)
    m = np.float32([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
    return np.clip(x @ m.T, 0, 255)[None] / 255


def contrast_half(path):
    x = cv2.resize(cv2.imread(path), (64, 64))[..., ::-1].astype(np.float32)
    return ((x - 128) * 0.5 + 128)[None] / 255


def clahe(path):
    x = cv2.cvtColor(cv2.resize(cv2.imread(path), (96, 96)), cv2.COLOR_BGR2LAB)
    x[..., 0] = cv2.createCLAHE(2.0, (8, 8)).apply(x[..., 0])
    return cv2.cvtColor(x, cv2.COLOR_LAB2RGB)[None].astype(np.float32) / 255


def plain_96(path):
    return cv2.resize(cv2.imread(path), (96, 96))[None, ..., ::-1].astype(np.float32) / 255


def tensorflow_decoded(path):
    import tensorflow as tf

    x = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    return cv2.resize(x.numpy(), (64, 64))[None].astype(np.float32) / 255


def vertical_half(path):
    """A camera's interlaced field: every second row."""
    x = cv2.imread(path)[::2]
    return cv2.resize(x, (64, 64))[None, ..., ::-1].astype(np.float32) / 255
