"""Ports with one mistake each, as reports describe them, and the models that they were ported from."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image
from ported_twice import CAFFE, FIVE, MEAN, STD, H, W, linear, planes, similarity


def mobile(path):
    x = cv2.resize(cv2.imread(path)[..., ::-1], (224, 224))
    return planes((x - np.float64([123.68, 116.78, 103.94])) * 0.017)


def mobile_blue_means(path):
    x = cv2.resize(cv2.imread(path)[..., ::-1], (224, 224))
    return planes((x - np.float64([103.94, 116.78, 123.68])) * 0.017)


def vgg(path):
    return planes(cv2.resize(cv2.imread(path), (224, 224)) - CAFFE)


def vgg_on_red_first(path):
    return planes(cv2.resize(cv2.imread(path)[..., ::-1], (224, 224)) - CAFFE)


def sharp(path):
    x = cv2.resize(cv2.imread(path), (224, 224), interpolation=cv2.INTER_CUBIC)
    return planes(x - CAFFE)


def sharp_beyond_white(rgb):
    """Floats keep what the kernel overshoots."""
    x = cv2.resize(np.float32(rgb), (224, 224), interpolation=cv2.INTER_CUBIC)
    return planes(x[..., ::-1] - CAFFE)


def covered(frame):
    return cv2.dnn.blobFromImage(frame, 1 / 128, (96, 112), (127.5,) * 3, swapRB=True, crop=True)


def covered_one_mean(frame):
    return cv2.dnn.blobFromImage(frame, 1 / 128, (96, 112), 127.5, swapRB=True, crop=True)


def torch_like(path):
    x = np.asarray(Image.open(path).convert("RGB").resize((192, 192), Image.BILINEAR))
    return planes((x / 255.0 - MEAN) / STD)


def deviations_backwards(image: Image.Image):
    x = np.asarray(image.resize((192, 192), Image.BILINEAR))
    return planes((x / 255.0 - MEAN) / STD[::-1])


def rescaled_twice(image: Image.Image):
    x = np.asarray(image.resize((192, 192), Image.BILINEAR))
    return planes((x / 255.0 / 255.0 - MEAN) / STD)


def one_scale(image: Image.Image):
    x = np.asarray(image.resize((192, 192), Image.BILINEAR))
    return planes(x * (2 / 255) - 1)


def four_neighbours(rgb):
    return planes((linear(rgb, (192, 192)) / 255.0 - MEAN) / STD)


def shrunk_on_load(image: Image.Image):
    if min(image.size) >= 2 * 48:
        image = image.reduce(2)
    x = np.asarray(image.resize((192, 192), Image.BILINEAR))
    return planes((x / 255.0 - MEAN) / STD)


def middle_left_out(image: Image.Image):
    image = image.resize((220, 220), Image.BILINEAR).crop((14, 14, 206, 206))
    return planes((np.asarray(image) / 255.0 - MEAN) / STD)


def face(path, landmarks):
    x = cv2.warpAffine(cv2.imread(path)[..., ::-1], similarity(landmarks, FIVE), (112, 112))
    return planes(x) / 127.5 - 1


def face_there_and_back(path, landmarks):
    x = cv2.warpAffine(cv2.imread(path)[..., ::-1], similarity(FIVE, landmarks), (112, 112))
    return planes(x) / 127.5 - 1


def face_narrow(path, landmarks):
    narrow = FIVE - [8, 0]
    x = cv2.warpAffine(cv2.imread(path)[..., ::-1], similarity(landmarks, narrow), (96, 112))
    return planes(cv2.resize(x, (112, 112))) / 127.5 - 1


def face_of_blue_first(path, landmarks):
    x = cv2.warpAffine(cv2.imread(path), similarity(landmarks, FIVE), (112, 112))
    return planes(x) / 127.5 - 1


def _frame(path):
    raw = np.fromfile(path, np.uint8)
    return raw[: W * H].reshape(H, W), raw[W * H :]


def _seen(y, u, v):
    y, u, v = 1.164 * (np.float64(y) - 16), np.float64(u) - 128, np.float64(v) - 128
    rgb = np.stack([y + 1.596 * v, y - 0.391 * u - 0.813 * v, y + 2.018 * u], -1)
    return planes(np.clip(np.rint(rgb), 0, 255)) / 255


def _wide(plane):
    return np.repeat(np.repeat(plane.reshape(H // 2, W // 2), 2, 0), 2, 1)


def camera(path):
    y, chroma = _frame(path)
    return _seen(y, _wide(chroma[0::2]), _wide(chroma[1::2]))


def camera_blue_face(path):
    y, chroma = _frame(path)
    return _seen(y, _wide(chroma[1::2]), _wide(chroma[0::2]))


def camera_three_planes(path):
    y, chroma = _frame(path)
    half = len(chroma) // 2
    return _seen(y, _wide(chroma[:half]), _wide(chroma[half:]))


def detector(frame):
    x = cv2.resize(frame, (300, 300))
    return planes((np.float32(x) - 127.5) / 127.5)


def detector_by_128(frame):
    x = cv2.resize(frame, (300, 300))
    return planes((np.float32(x) - 128) / 128)


def detector_by_corner(frame):
    h, w = frame.shape[:2]
    at = np.float32(np.meshgrid(np.arange(300) * (w / 300), np.arange(300) * (h / 300)))
    x = cv2.remap(
        np.float32(frame), at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return planes((x - 127.5) / 127.5)


def boxed(frame):
    h, w = frame.shape[:2]
    k = min(256 / w, 256 / h)
    nw, nh = round(w * k), round(h * k)
    out = np.full((256, 256, 3), 114, np.uint8)
    out[(256 - nh) // 2 :, (256 - nw) // 2 :][:nh, :nw] = cv2.resize(frame, (nw, nh))
    return planes((out[..., ::-1] / 255.0 - MEAN) / STD)


def boxed_in_zeros(frame):
    h, w = frame.shape[:2]
    k = min(256 / w, 256 / h)
    nw, nh = round(w * k), round(h * k)
    x = (cv2.resize(frame, (nw, nh))[..., ::-1] / 255.0 - MEAN) / STD
    out = np.zeros((256, 256, 3))
    out[(256 - nh) // 2 :, (256 - nw) // 2 :][:nh, :nw] = x
    return planes(out)
