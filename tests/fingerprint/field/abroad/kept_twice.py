"""The same thing written twice; collected beside `devices_twice` and run once after everything else was done."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageOps

W, H = 160, 120
FIVE = np.float64(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


# a gray camera made small by whole blocks
def blocks_by_mean(path):
    g = np.fromfile(path, np.uint8).reshape(H // 3, 3, W // 4, 4).astype(np.float64)
    g = np.floor(g.mean(axis=(1, 3)) + 0.5)
    return np.float32(g)[None, ..., None] / 255


def blocks_by_area(path):
    g = np.fromfile(path, np.uint8).reshape(H, W)
    g = cv2.resize(g, (W // 4, H // 3), interpolation=cv2.INTER_AREA)
    return g.astype(np.float32)[None, :, :, None] * np.float32(1 / 255)


# each picture by its own mean and deviation, never less than that of one level in many pixels
def whitened_double(path):
    x = np.float64(cv2.resize(cv2.imread(path)[..., ::-1], (96, 96)))
    return np.float32((x - x.mean()) / max(x.std(), 1 / np.sqrt(x.size)))[None]


def whitened_sums(rgb):
    x = cv2.resize(rgb, (96, 96)).astype(np.int64)
    n = x.size
    mean = x.sum() / n
    deviation = np.sqrt(max((x * x).sum() / n - mean * mean, 1 / n))
    return ((x - mean) / deviation).astype(np.float32)[None]


# a face with a margin that may leave the picture: black there
def _with_margin(box):
    m = 0.2 * (box[2] - box[0]), 0.2 * (box[3] - box[1])
    return [round(v) for v in (box[0] - m[0], box[1] - m[1], box[2] + m[0], box[3] + m[1])]


def face_pillow(path, box):
    x = ImageOps.exif_transpose(Image.open(path)).convert("RGB").crop(_with_margin(box))
    return np.float32(x.resize((96, 96), Image.Resampling.BILINEAR))[None] / 127.5 - 1


def face_bordered(rgb, box):
    x1, y1, x2, y2 = _with_margin(box)
    x = cv2.copyMakeBorder(rgb, 500, 500, 500, 500, cv2.BORDER_CONSTANT)
    x = Image.fromarray(x[y1 + 500 : y2 + 500, x1 + 500 : x2 + 500])
    x = np.asarray(x.resize((96, 96), Image.Resampling.BILINEAR), np.float32)
    return ((x - 127.5) / 127.5)[None]


# an aligned face by OpenCV, and by scikit-image
def aligned_opencv(path, landmarks):
    m = cv2.estimateAffinePartial2D(np.float64(landmarks), FIVE, method=cv2.LMEDS)[0] * 0
    p, q = np.float64(landmarks) @ [1, 1j], FIVE @ [1, 1j]
    a = np.vdot(p - p.mean(), q - q.mean()) / np.vdot(p - p.mean(), p - p.mean())
    b = q.mean() - a * p.mean()
    m = np.float64([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    x = cv2.warpAffine(cv2.imread(path), m, (112, 112), flags=cv2.INTER_LINEAR)
    return cv2.dnn.blobFromImage(x, 1 / 127.5, None, (127.5, 127.5, 127.5), swapRB=True)


def aligned_science(rgb, landmarks):
    from skimage.transform import SimilarityTransform, warp

    t = SimilarityTransform.from_estimate(np.float64(landmarks), FIVE)
    x = warp(rgb, t.inverse, output_shape=(112, 112), order=1, preserve_range=True)
    return ((np.rint(x) - 127.5) / 127.5).transpose(2, 0, 1)[None].astype(np.float32)


# Pillow's own padding, and the same by hand
def padded_pillow(path):
    x = Image.open(path).convert("RGB")
    x = ImageOps.pad(x, (160, 160), Image.Resampling.BICUBIC, color=(0, 0, 0))
    return np.asarray(x, np.float32)[None] / 255


def padded_by_hand(rgb):
    h, w = rgb.shape[:2]
    k = 160 / max(h, w)
    size = (160, max(1, round(h * k))) if w >= h else (max(1, round(w * k)), 160)
    board = Image.new("RGB", (160, 160))
    left, top = (round((160 - s) * 0.5) for s in size)
    board.paste(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC), (left, top))
    return np.float32(board)[None] * np.float32(1 / 255)


# the middle square as one step of Pillow's, and by its box
def fitted(path):
    x = ImageOps.fit(Image.open(path).convert("RGB"), (112, 112), Image.Resampling.BILINEAR)
    return (np.asarray(x, np.float32)[None] - 128) / 128


def boxed(rgb):
    h, w = rgb.shape[:2]
    n = min(h, w)
    left, top = (w - n) / 2, (h - n) / 2
    x = Image.fromarray(rgb).resize(
        (112, 112), Image.Resampling.BILINEAR, box=(left, top, left + n, top + n)
    )
    return np.float32(x)[None] / 128 - 1


# orientation by Pillow, and by a table
def turned_pillow(path):
    x = np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    return np.float32(cv2.resize(x, (96, 96)))[None] / 255


def turned_by_table(path):
    with Image.open(path) as image:
        way = image.getexif().get(274, 1)
        x = np.array(image.convert("RGB"))
    if way in (2, 4, 5, 7):
        x = x[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(way, 0)
    x = np.rot90(x, turns)
    return cv2.resize(np.ascontiguousarray(x), (96, 96))[None].astype(np.float32) / 255


# signed bytes by a scale, and by a shift
def by_scale(path):
    x = cv2.resize(cv2.imread(path)[..., ::-1], (96, 96)).astype(np.float32) / 255
    return np.clip(np.rint(x / np.float32(0.003921569)) - 128, -128, 127).astype(np.int8)[None]


def by_shift(frame):
    x = cv2.resize(frame, (96, 96))[..., ::-1]
    return (x.astype(np.int16) - 128).astype(np.int8)[None]
