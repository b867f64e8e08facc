"""Mistakes beside the pipelines of other libraries: two at once, small ones, and those that look like another."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageOps

SIZE = (96, 96)


def _finished(small):
    return np.float32(small)[None] / 127.5 - 1


def opencv(path):
    return _finished(cv2.resize(np.ascontiguousarray(cv2.imread(path)[..., ::-1]), SIZE))


def turbo_not_turned(path):
    if not path.endswith(".jpg"):
        with Image.open(path) as image:
            return _finished(cv2.resize(np.asarray(image.convert("RGB")), SIZE))
    return _finished(cv2.resize(simplejpeg.decode_jpeg(Path(path).read_bytes()), SIZE))


def turbo_bgr_fast(path):
    with Image.open(path) as image:
        turned = image.getexif().get(0x0112, 1) != 1
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    if turned or not path.endswith(".jpg"):
        return _finished(cv2.resize(np.ascontiguousarray(upright[..., ::-1]), SIZE))
    data = Path(path).read_bytes()
    x = simplejpeg.decode_jpeg(data, colorspace="BGR", fastdct=True, fastupsample=True)
    return _finished(cv2.resize(x, SIZE))


def plain(rgb):
    return _finished(cv2.resize(rgb, SIZE))


def bgr_and_unit(rgb):
    return np.float32(cv2.resize(rgb[..., ::-1].copy(), SIZE))[None] / 255


def area_and_centred(rgb):
    return np.float32(cv2.resize(rgb, SIZE, interpolation=cv2.INTER_AREA))[None] - 128


def slightly_blurred(rgb):
    return _finished(cv2.resize(cv2.GaussianBlur(rgb, (3, 3), 0.5), SIZE))


def slightly_noisy(rgb):
    noise = np.random.default_rng(7).normal(0, 6, (96, 96, 3))
    return _finished(np.clip(cv2.resize(rgb, SIZE) + noise, 0, 255).round())


def one_column_lost(rgb):
    return _finished(cv2.resize(np.ascontiguousarray(rgb[:, :-1]), SIZE))


def gamma_of_screen(rgb):
    x = cv2.resize(rgb, SIZE) / 255
    return np.float32(np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4) * 2 - 1)[None]


def saturation_lost(rgb):
    small = cv2.resize(rgb, SIZE).astype(np.float32)
    gray = small @ np.float32([0.299, 0.587, 0.114])
    return _finished(0.5 * small + 0.5 * gray[..., None])


def hue_turned(rgb):
    hsv = cv2.cvtColor(cv2.resize(rgb, SIZE), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + 20) % 180
    return _finished(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
