"""Values that differ: what a report said of means, scales, ranges, whitening and quantised inputs, written again."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageOps

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _rgb(path, n=112):
    return cv2.cvtColor(cv2.resize(cv2.imread(path), (n, n)), cv2.COLOR_BGR2RGB)


def _chw(x):
    return np.ascontiguousarray(np.asarray(x).transpose(2, 0, 1)[None]).astype(np.float32)


def imagenet(path):
    return _chw((_rgb(path) / 255 - MEAN) / STD)


def precedence(path):
    """The brackets are missing: x - mean / std."""
    return _chw(_rgb(path) / 255 - MEAN / STD)


def divided_twice(path):
    x = _rgb(path).astype(np.float32) / 255
    return _chw((x / 255 - MEAN) / STD)


def max_pixel_value_one(path):
    """Statistics of 0…1 applied to 0…255."""
    return _chw((_rgb(path).astype(np.float32) - MEAN) / STD)


def means_only(path):
    return _chw(_rgb(path) / 255 - MEAN)


def half_statistics(path):
    return _chw((_rgb(path) / 255 - 0.5) / 0.5)


def statistics_in_bgr_order(path):
    return _chw((_rgb(path) / 255 - MEAN[::-1]) / STD[::-1])


def raw_bytes(path):
    return _chw(_rgb(path))


def unit(path):
    return _chw(_rgb(path) / 255)


def by_256(path):
    return _chw(_rgb(path) / 256)


def insight_128(path):
    return _chw((_rgb(path) - 127.5) / 128)


def insight_127_5(path):
    return _chw((_rgb(path) - 127.5) / 127.5)


def insight_on_unit(path):
    """The cut-out is 0…1 already when the standardisation for 0…255 runs."""
    return _chw((_rgb(path) / 255 - 127.5) / 128)


# RetinaFace: 104, 117, 123 off blue, green, red
def retina(path):
    return _chw(cv2.resize(cv2.imread(path), (160, 120)).astype(np.float32) - (104, 117, 123))


def retina_means_swapped(path):
    return _chw(cv2.resize(cv2.imread(path), (160, 120)).astype(np.float32) - (123, 117, 104))


def retina_on_rgb(path):
    x = cv2.resize(cv2.imread(path), (160, 120))[..., ::-1]
    return _chw(x.astype(np.float32) - (104, 117, 123))


def retina_saturated(path):
    """cv2.subtract on bytes stops at 0."""
    x = cv2.resize(cv2.imread(path), (160, 120))
    return _chw(cv2.subtract(x, (104, 117, 123, 0)).astype(np.float32))


def retina_wrapped(path):
    """Bytes minus bytes wrap."""
    x = cv2.resize(cv2.imread(path), (160, 120))
    return _chw((x - np.uint8([104, 117, 123])).astype(np.float32))


# FER: gray 64×64
def fer_raw(path):
    g = cv2.resize(cv2.imread(path, 0), (64, 64))
    return g.astype(np.float32)[None, None]


def fer_centred(path):
    g = cv2.resize(cv2.imread(path, 0), (64, 64))
    return ((g.astype(np.float32) - 127.5) / 127.5)[None, None]


def fer_unit(path):
    return fer_raw(path) / 255


def fer_truncated(path):
    """A float picture of 0…1 goes through bytes once more."""
    return fer_unit(path).astype(np.uint8).astype(np.float32)


def fer_equalised(path):
    g = cv2.equalizeHist(cv2.resize(cv2.imread(path, 0), (64, 64)))
    return g.astype(np.float32)[None, None] / 255


def fer_autocontrast(path):
    g = ImageOps.autocontrast(Image.fromarray(cv2.resize(cv2.imread(path, 0), (64, 64))))
    return np.float32(g)[None, None] / 255


def fer_gamma(path):
    return (fer_unit(path) ** (1 / 1.8)).astype(np.float32)


def fer_brightened(path):
    g = cv2.convertScaleAbs(cv2.resize(cv2.imread(path, 0), (64, 64)), alpha=1.25, beta=15)
    return g.astype(np.float32)[None, None] / 255


def fer_inverted(path):
    return 1 - fer_unit(path)


# whitening: over all values or each channel's own
def white_all(path):
    x = _rgb(path, 96).astype(np.float32)
    return _chw((x - x.mean()) / x.std())


def white_by_channel(path):
    x = _rgb(path, 96).astype(np.float32)
    return _chw((x - x.mean((0, 1))) / x.std((0, 1)))


def white_never(path):
    return _chw((_rgb(path, 96).astype(np.float32) - 120) / 60)


def min_max(path):
    x = _rgb(path, 96).astype(np.float32)
    return _chw((x - x.min()) / (x.max() - x.min()))


def unit_96(path):
    return _chw(_rgb(path, 96) / 255)


def by_maximum(path):
    x = _rgb(path, 96).astype(np.float32)
    return _chw(x / x.max())


# quantised inputs
def int8_right(path):
    return (_rgb(path, 96).astype(np.int16) - 128).astype(np.int8)[None]


def int8_zero_point_missing(path):
    """scale 1/127.5 without its zero point: half of the range is lost."""
    q = np.round(_rgb(path, 96) / 255.0 * 127)
    return q.astype(np.int8)[None]


def int8_cast(path):
    return _rgb(path, 96).view(np.int8)[None]


def rgb565(path):
    """Bitmap.Config.RGB_565."""
    x = _rgb(path)
    x = np.stack([x[..., 0] & 0xF8, x[..., 1] & 0xFC, x[..., 2] & 0xF8], -1)
    return _chw(x / 255)


def half(path):
    return unit(path).astype(np.float16)


def palette(path):
    """Stored as a picture of 256 colours on the way."""
    x = Image.fromarray(_rgb(path)).quantize(256).convert("RGB")
    return _chw(np.asarray(x) / 255)


def dithered_noise(path):
    x = _rgb(path) + np.random.default_rng().normal(0, 3, (112, 112, 3))
    return _chw(x / 255)


def fixed_noise(path):
    x = _rgb(path) + np.random.default_rng(1).normal(0, 6, (112, 112, 3))
    return _chw(x / 255)
