"""Pipelines that differ: phones, browsers, other frameworks' settings."""

from __future__ import annotations

import cv2
import devices_twice as good
import numpy as np
from PIL import Image

W, H = good.W, good.H
CAFFE = np.float32([123.68, 116.78, 103.94])


def _small(path, n=96):
    return np.ascontiguousarray(cv2.resize(cv2.imread(path), (n, n))[..., ::-1])


def unit(path):
    return np.float32(_small(path))[None] / 255


# a bias that is not scaled
def caffe(path):
    return (np.float32(_small(path, 128)) - CAFFE)[None] * np.float32(0.017)


def bias_not_scaled(path):
    return np.float32(_small(path, 128))[None] * np.float32(0.017) - CAFFE


def bias_on_bgr(path):
    return (np.float32(_small(path, 128))[..., ::-1] - CAFFE[::-1])[None] * np.float32(0.017)


def means_not_reversed(path):
    return (np.float32(_small(path, 128)) - CAFFE[::-1])[None] * np.float32(0.017)


# straight to the network's size
def short_side_and_middle(path):
    x = cv2.imread(path)
    k = 256 / min(x.shape[:2])
    x = cv2.resize(x, (max(256, round(x.shape[1] * k)), max(256, round(x.shape[0] * k))))
    top, left = (x.shape[0] - 224) // 2, (x.shape[1] - 224) // 2
    return np.float32(x[top : top + 224, left : left + 224])[None] / 255


def straight(path):
    return np.float32(cv2.resize(cv2.imread(path), (224, 224)))[None] / 255


def all_zero(path):
    return 0 * unit(path)


# a browser
def first_pixels(path):
    x, n = cv2.imread(path)[..., ::-1].astype(np.float32), 128
    h, w = x.shape[:2]
    gx, gy = np.meshgrid(np.arange(n, dtype=np.float32) * (w / n), np.arange(n) * (h / n))
    x = cv2.remap(x, gx, gy.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return x[None] / 255


def alpha_dropped(path):
    x = np.asarray(Image.open(path).convert("RGBA"))[..., :3]
    return np.float32(cv2.resize(np.ascontiguousarray(x), (96, 96)))[None] / 255


def alpha_on_black(path):
    x = np.asarray(Image.open(path).convert("RGBA")).astype(np.float32)
    x = np.uint8(np.rint(x[..., :3] * x[..., 3:] / 255))
    return np.float32(cv2.resize(x, (96, 96)))[None] / 255


def display_colours(path):
    """Values of a wide-gamut display, whose profile is left out."""
    x = _small(path).astype(np.float64) / 255
    x = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    x = x @ np.float64([[0.8225, 0.1775, 0], [0.0332, 0.9668, 0], [0.0171, 0.0724, 0.9105]]).T
    x = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.float32(np.rint(np.clip(x, 0, 1) * 255))[None] / 255


def sixteen_bits_clipped(path):
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            g = np.minimum(np.asarray(image).astype(np.int64), 255).astype(np.uint8)
            return np.float32(cv2.resize(np.dstack([g] * 3), (96, 96)))[None] / 255
    return unit(path)


# a phone's frames
def frame(path):
    return good.phone_opencv(path)


def chroma_without_pixel_stride(path):
    raw = np.fromfile(path, np.uint8)
    y, c = raw[: W * H].reshape(H, W).astype(np.float64), raw[W * H :].astype(np.float64)
    rows, columns = np.arange(H)[:, None] // 2, np.arange(W)[None] // 2
    u, v = c[rows * W + columns] - 128, c[np.minimum(rows * W + columns + 1, c.size - 1)] - 128
    y = 1.164383 * (y - 16)
    x = np.stack([y + 1.596027 * v, y - 0.391762 * u - 0.812968 * v, y + 2.017232 * u], -1)
    return np.float32(cv2.resize(np.uint8(np.clip(np.rint(x), 0, 255)), (96, 96)))[None] / 255


def u_for_both(path):
    y, u, _ = good._planes(path)
    y, u = 1.164383 * (y - 16), u - 128
    x = np.stack([y + 1.596027 * u, y - 1.20473 * u, y + 2.017232 * u], -1)
    return np.float32(cv2.resize(np.uint8(np.clip(np.rint(x), 0, 255)), (96, 96)))[None] / 255


def third_of_each_row(path):
    x = unit(path).reshape(96, 288).copy()
    x[:, 96:] = 0
    return x.reshape(1, 96, 96, 3)


def wide_middle(path):
    x = cv2.imread(path)[..., ::-1]
    keep = max(1, int(x.shape[0] * 0.7))
    top = int((x.shape[0] - x.shape[0] * 0.7) / 2)
    return np.float32(cv2.resize(np.ascontiguousarray(x[top : top + keep]), (96, 96)))[None] / 255


def wide_middle_between_rows(path):
    """The cut begins at a fraction of a row, in bytes."""
    x = np.ascontiguousarray(cv2.imread(path)[..., ::-1])
    h, w = x.shape[:2]
    keep = max(1, int(h * 0.7))
    begin = int((h - h * 0.7) / 2 * w * 3)
    part = np.resize(x.ravel()[begin:], keep * w * 3).reshape(keep, w, 3)
    return np.float32(cv2.resize(part, (96, 96)))[None] / 255


def by_corner_points(path):
    """A warp of the picture's corners onto the tensor's, as points rather than areas."""
    x = cv2.imread(path)[..., ::-1]
    h, w = x.shape[:2]
    m = np.float64([[96 / w, 0, 0], [0, 96 / h, 0]])
    x = cv2.warpAffine(np.ascontiguousarray(x), m, (96, 96), borderMode=cv2.BORDER_REPLICATE)
    return np.float32(x)[None] / 255


def _boxed(path, border):
    x = cv2.imread(path)[..., ::-1]
    k = 128 / max(x.shape[:2])
    w, h = (max(1, int(s * k + 1e-9)) for s in x.shape[1::-1])
    x = cv2.resize(np.ascontiguousarray(x), (w, h))
    t, s = (128 - h) // 2, (128 - w) // 2
    return np.float32(cv2.copyMakeBorder(x, t, 128 - h - t, s, 128 - w - s, border))[None] / 255


def boxed_black(path):
    return _boxed(path, cv2.BORDER_CONSTANT)


def boxed_repeated(path):
    return _boxed(path, cv2.BORDER_REPLICATE)


# mean, deviation and factors
def statistics(path):
    x = np.float32(_small(path, 160)) / 255
    return ((x - good.MEAN) / good.STD).transpose(2, 0, 1)[None]


def maximum_value_again(path):
    x = np.float32(_small(path, 160)) / 255
    return ((x - good.MEAN * 255) / (good.STD * 255)).transpose(2, 0, 1)[None]


def rescaled_again(path):
    x = np.float32(_small(path, 160)) / 255 / 255
    return ((x - good.MEAN) / good.STD).transpose(2, 0, 1)[None]


def _shortest(path, n):
    x = Image.open(path).convert("RGB")
    w, h = x.size
    size = (n, int(n * h / w)) if w <= h else (int(n * w / h), n)
    x = np.asarray(x.resize(size, Image.Resampling.BILINEAR))
    top, left = (x.shape[0] - 160) // 2, (x.shape[1] - 160) // 2
    return np.float32(x[top : top + 160, left : left + 160])[None] / 255


def shortest_182(path):
    return _shortest(path, 182)


def shortest_160(path):
    return _shortest(path, 160)


def middle_part(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    cut = x[h // 4 : h // 4 + h // 2, w // 4 : w // 4 + w // 2]
    return np.float32(cv2.resize(cut, (96, 96))[..., ::-1])[None] / 255


def middle_part_taken_as_whole(path):
    """A view into the picture whose rows are taken to follow each other."""
    x = np.ascontiguousarray(cv2.imread(path))
    h, w = x.shape[:2]
    begin = (h // 4 * w + w // 4) * 3
    cut = np.resize(x.ravel()[begin:], (h // 2) * (w // 2) * 3).reshape(h // 2, w // 2, 3)
    return np.float32(cv2.resize(cut, (96, 96))[..., ::-1])[None] / 255


def five_of_six_bits(path):
    """Written as 5, 6 and 5 bits, read as 5, 5 and 5."""
    x = _small(path).astype(np.uint16)
    p = (x[..., 0] >> 3 << 11) | (x[..., 1] >> 2 << 5) | (x[..., 2] >> 3)
    x = np.stack([(p >> 10 & 31) << 3, (p >> 5 & 31) << 3, (p & 31) << 3], -1)
    return np.float32(x)[None] / 255


def caffe_of_unit(path):
    return (np.float32(_small(path, 128)) / 255 - CAFFE)[None] * np.float32(0.017)


def science_smoothed(path):
    from skimage.transform import resize

    x = resize(cv2.imread(path)[..., ::-1], (96, 96), order=1, mode="edge", anti_aliasing=True)
    return np.float32(x)[None]


def pillow_small(path):
    x = Image.open(path).convert("RGB").resize((96, 96), Image.Resampling.BICUBIC)
    return np.float32(x)[None] / 255


def pillow_reduced(path):
    x = Image.open(path).convert("RGB")
    x = x.resize((96, 96), Image.Resampling.BICUBIC, reducing_gap=1.0)
    return np.float32(x)[None] / 255


def inks_inverted(path):
    return np.float32(255 - _small(path))[None] / 255


def palette_indices(path):
    x = Image.fromarray(_small(path)).convert("P", dither=Image.Dither.NONE)
    return np.float32(np.repeat(np.asarray(x)[..., None], 3, -1))[None] / 255


def animated_colours(path):
    x = Image.fromarray(_small(path)).quantize(64, dither=Image.Dither.FLOYDSTEINBERG)
    return np.float32(x.convert("RGB"))[None] / 255


def white_balanced(path):
    x = np.float32(_small(path)) * np.float32([1.2, 1.0, 0.8])
    return np.floor(np.clip(x, 0, 255))[None] / np.float32(255)


def centred(path):
    return (np.float32(_small(path))[None] - 127) / 128


def centred_by_integers(path):
    return np.float32(np.trunc((_small(path).astype(np.int32) - 127) / 128))[None]
