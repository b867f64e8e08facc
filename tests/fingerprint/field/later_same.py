"""The same pipeline written twice, second collection: written after the search was changed, and run once first."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageOps

FFHQ = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)


# padded to a square first, then resized
def square_then_small(path):
    x = cv2.imread(path)
    n = max(x.shape[:2])
    top, left = (n - x.shape[0]) // 2, (n - x.shape[1]) // 2
    x = cv2.copyMakeBorder(x, top, n - x.shape[0] - top, left, n - x.shape[1] - left, 0)
    return cv2.resize(x, (100, 100), interpolation=cv2.INTER_AREA)[None].astype(np.float32) / 255


def square_then_small_numpy(frame):
    h, w = frame.shape[:2]
    n = max(h, w)
    board = np.zeros((n, n, 3), np.uint8)
    board[(n - h) // 2 : (n - h) // 2 + h, (n - w) // 2 : (n - w) // 2 + w] = frame
    small = cv2.resize(board, (100, 100), interpolation=cv2.INTER_AREA)
    return (small / np.float64(255))[np.newaxis].astype("float32")


# 48 pixels of gray, then the middle 44, as the FER networks have it
def fer_crop(path):
    g = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY)
    g = cv2.resize(g, (48, 48))
    return g[2:46, 2:46].astype(np.float32)[None, None] / 255


def fer_crop_pillow(image: Image.Image):
    g = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY)
    g = Image.fromarray(cv2.resize(g, dsize=(48, 48), interpolation=cv2.INTER_LINEAR))
    return np.array(g.crop((2, 2, 46, 46)), dtype="f4").reshape(1, 1, 44, 44) * (1 / 255)


# 0.5 and 0.5, undone and done again
def half_half(path):
    im = Image.open(path).convert("RGB").resize((112, 112), Image.BICUBIC)
    return ((np.float32(im) / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None]


def half_half_there_and_back(path):
    im = Image.open(path).convert("RGB").resize((112, 112), Image.BICUBIC)
    x = (np.array(im).astype(np.float64) / 255 - 0.5) / 0.5
    x = np.clip((x * 0.5 + 0.5) * 255, 0, 255).round().astype(np.uint8)
    return np.ascontiguousarray((x.astype(np.float32) - 127.5).transpose(2, 0, 1)[None]) / 127.5


# the restoration template of 512 pixels, gray outside
def restored(path, landmarks):
    m = cv2.estimateAffinePartial2D(np.asarray(landmarks), FFHQ, method=cv2.LMEDS)[0]
    x = cv2.warpAffine(cv2.imread(path), m, (512, 512), borderValue=(135, 133, 132))
    return (x[..., ::-1].astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]


def restored_of_frame(frame, landmarks):
    p = np.array(landmarks, dtype=np.float64)
    m, _ = cv2.estimateAffinePartial2D(p, FFHQ.copy(), method=cv2.LMEDS)
    warped = cv2.warpAffine(
        frame, m, (512, 512), borderMode=cv2.BORDER_CONSTANT, borderValue=(135, 133, 132)
    )
    return cv2.dnn.blobFromImage(warped, 1 / 127.5, None, (127.5, 127.5, 127.5), swapRB=True)


# three points, as OpenFace has it
THREE = np.float32([[30, 35], [66, 35], [48, 70]])


def three_points(path, landmarks):
    p = np.float32(landmarks)
    p = np.float32([p[0], p[1], (p[3] + p[4]) / 2])
    x = cv2.warpAffine(cv2.imread(path)[..., ::-1], cv2.getAffineTransform(p, THREE), (96, 96))
    return x.astype(np.float32).transpose(2, 0, 1)[None] / 255


def three_points_solved(rgb, landmarks):
    p = np.asarray(landmarks, float)
    p = np.stack([p[0], p[1], p[3:5].mean(0)])
    m = np.linalg.solve(np.column_stack([p, np.ones(3)]), THREE.astype(float)).T
    x = cv2.warpAffine(rgb, m, (96, 96), flags=cv2.INTER_LINEAR)
    return np.moveaxis(x, -1, 0)[np.newaxis] / np.float32(255)


# two channels of signs: x / 255 by a Java port that masks its bytes
def masked_bytes(path):
    x = cv2.resize(cv2.imread(path), (64, 64))[..., ::-1]
    signed = np.ascontiguousarray(x).view(np.int8).astype(np.int32)
    return ((signed & 0xFF) / 255.0).astype(np.float32)[None]


def plain_division(path):
    return cv2.resize(cv2.imread(path), (64, 64))[None, ..., ::-1].astype(np.float32) / 255


# packed integers, as Bitmap.getPixels gives them
def packed(rgb):
    x = cv2.resize(rgb, (72, 72)).astype(np.int64)
    value = (0xFF << 24) | (x[..., 0] << 16) | (x[..., 1] << 8) | x[..., 2]
    planes = [((value >> s) & 0xFF) for s in (16, 8, 0)]
    return ((np.stack(planes, -1) - 127.5) / 127.5).astype(np.float32)[None]


def unpacked(bgr):
    x = cv2.cvtColor(cv2.resize(bgr, (72, 72)), cv2.COLOR_BGR2RGB)
    return cv2.normalize(x.astype(np.float32), None, -1, 1, cv2.NORM_MINMAX)[None] * 0 + (
        x[None].astype(np.float32) / 127.5 - 1
    )


# hue, saturation and value as shares, by two libraries
def hsv_skimage(path):
    from skimage.color import rgb2hsv

    return rgb2hsv(cv2.resize(cv2.imread(path), (64, 64))[..., ::-1]).astype(np.float32)[None]


def hsv_float_cv2(path):
    x = cv2.resize(cv2.imread(path), (64, 64)).astype(np.float32) / 255
    x = cv2.cvtColor(x, cv2.COLOR_BGR2HSV)
    return (x * np.float32([1 / 360, 1, 1]))[None]


# equalised luma
def equalised_luma(path):
    x = cv2.cvtColor(cv2.resize(cv2.imread(path), (96, 96)), cv2.COLOR_BGR2YCrCb)
    x[..., 0] = cv2.equalizeHist(x[..., 0])
    return cv2.cvtColor(x, cv2.COLOR_YCrCb2RGB)[None].astype(np.float32) / 255


def equalised_luma_split(frame):
    y, cr, cb = cv2.split(cv2.cvtColor(cv2.resize(frame, (96, 96)), cv2.COLOR_BGR2YCrCb))
    x = cv2.cvtColor(cv2.merge([cv2.equalizeHist(y), cr, cb]), cv2.COLOR_YCrCb2BGR)
    return x[None, ..., ::-1] / np.float32(255)


# reduced by whole blocks, then bicubic
def two_steps(path):
    im = Image.open(path).convert("RGB").resize((256, 256), Image.BILINEAR)
    return np.float32(im.resize((80, 80), Image.BICUBIC))[None] / 255


def two_steps_cut(path):
    with Image.open(path) as im:
        big = im.convert("RGB").resize((256, 256), resample=Image.Resampling.BILINEAR)
    return np.array([np.asarray(big.resize((80, 80), 3, box=(0, 0, 256, 256)))], "f4") * (1 / 255)


# a square of the face with its margin replicated at the border
def replicated(path, box):
    x = cv2.imread(path)
    n = int(max(box[2] - box[0], box[3] - box[1]) * 1.4)
    cx, cy = int((box[0] + box[2]) // 2), int((box[1] + box[3]) // 2)
    big = cv2.copyMakeBorder(x, n, n, n, n, cv2.BORDER_REPLICATE)
    cut = big[cy + n - n // 2 : cy + n - n // 2 + n, cx + n - n // 2 : cx + n - n // 2 + n]
    return cv2.resize(cut, (96, 96))[None, ..., ::-1].astype(np.float32)


def replicated_by_index(rgb, box):
    n = int(1.4 * max(box[2] - box[0], box[3] - box[1]))
    cx, cy = (int((box[i] + box[i + 2]) // 2) for i in (0, 1))
    h, w = rgb.shape[:2]
    rows = np.clip(np.arange(n) + cy - n // 2, 0, h - 1)
    columns = np.clip(np.arange(n) + cx - n // 2, 0, w - 1)
    return np.expand_dims(cv2.resize(rgb[rows][:, columns], (96, 96)), 0).astype(np.float32)


# by a library's own pad to a multiple of 32
def padded_32(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    x = cv2.copyMakeBorder(x, 0, -h % 32, 0, -w % 32, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return x.transpose(2, 0, 1)[None].astype(np.float32) - 127.5


def padded_32_ceil(frame):
    h, w = frame.shape[:2]
    out = np.zeros((int(np.ceil(h / 32)) * 32, int(np.ceil(w / 32)) * 32, 3), np.float32)
    out[:h, :w] = frame
    return np.moveaxis(out, 2, 0)[None] - 127.5


def exif_rotated(path):
    x = np.asarray(ImageOps.exif_transpose(Image.open(path).convert("RGB")))
    return cv2.resize(x, (60, 80), interpolation=cv2.INTER_AREA)[None].astype(np.float32) / 255


def exif_copied(path):
    im = Image.open(path)
    ImageOps.exif_transpose(im, in_place=True)
    x = np.array(im.convert("RGB"))
    return np.float32([cv2.resize(x, (60, 80), interpolation=3)]) / 255
