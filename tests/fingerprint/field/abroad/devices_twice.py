"""The same thing written twice: phones, browsers, other frameworks' ways of saying it."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageOps

MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])
W, H = 160, 120


# a factor and a bias for each channel, behind a cut to the middle square
def factor_and_bias(rgb):
    n = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - n) // 2, (rgb.shape[1] - n) // 2
    x = cv2.resize(np.ascontiguousarray(rgb[top : top + n, left : left + n]), (224, 224))
    planes = [np.float32(2 / 255) * x[..., c] + np.float32(-1.0) for c in range(3)]
    return np.stack(planes)[None].astype(np.float32)


def mean_and_deviation(path):
    x = cv2.imread(path)
    n = min(x.shape[:2])
    top, left = (x.shape[0] - n) // 2, (x.shape[1] - n) // 2
    x = cv2.resize(np.ascontiguousarray(x[top : top + n, left : left + n]), (224, 224))
    return cv2.dnn.blobFromImage(x, 1 / 127.5, None, (127.5, 127.5, 127.5), swapRB=True)


# a reciprocal that is made once, and mean and deviation of 0 to 1
def by_reciprocal(frame):
    x = cv2.cvtColor(cv2.resize(frame, (160, 160)), cv2.COLOR_BGR2RGB).astype(np.float32)
    x -= MEAN * 255.0
    x *= np.reciprocal(STD * 255.0, dtype=np.float32)
    return x.transpose(2, 0, 1)[None]


def by_parts(path):
    x = cv2.resize(cv2.imread(path)[..., ::-1], (160, 160)) / 255.0
    return np.float32((x - MEAN) / STD).transpose(2, 0, 1)[None]


# a browser's resize in floating point, and OpenCV's in bytes
def browser_resize(rgb):
    n, (h, w) = 128, rgb.shape[:2]
    y, x = (np.clip((np.arange(n) + 0.5) * (s / n) - 0.5, 0, s - 1) for s in (h, w))
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    y1, x1 = np.minimum(y0 + 1, h - 1), np.minimum(x0 + 1, w - 1)
    fy, fx = (y - y0)[:, None, None], (x - x0)[None, :, None]
    p = rgb.astype(np.float32)
    top = p[y0][:, x0] * (1 - fx) + p[y0][:, x1] * fx
    low = p[y1][:, x0] * (1 - fx) + p[y1][:, x1] * fx
    return np.float32(top * (1 - fy) + low * fy)[None] / 255


def bytes_resize(path):
    return np.float32(cv2.resize(cv2.imread(path), (128, 128))[..., ::-1])[None] / 255


# a canvas that stores its colours multiplied by an alpha which is one everywhere
def opaque_canvas(rgb):
    a = np.full((*rgb.shape[:2], 1), 255, np.uint16)
    stored = (rgb.astype(np.uint16) * a + 127) // 255
    given = np.minimum((stored * 255 + a // 2) // a, 255).astype(np.uint8)
    return np.float32(cv2.resize(given, (96, 96)))[None] / 127.5 - 1


def no_canvas(path):
    x = cv2.resize(cv2.imread(path)[..., ::-1], (96, 96)).astype(np.float32)
    return (x[None] - 127.5) / 127.5


# rows of four channels that are padded to 64 bytes, and skipped rightly
def padded_rows(bgr):
    h, w = bgr.shape[:2]
    row = -(-4 * w // 64) * 64
    raw = np.full((h, row), 77, np.uint8)
    raw[:, : 4 * w] = np.dstack([bgr, np.full((h, w), 255, np.uint8)]).reshape(h, 4 * w)
    view = np.lib.stride_tricks.as_strided(raw, (h, w, 4), (row, 4, 1))
    x = cv2.resize(np.ascontiguousarray(view[..., 2::-1]), (96, 96))
    return x[None].astype(np.float32) / 127.5 - 1


# mean and deviation fused with the factor of 1/255
def fused(rgb):
    x = Image.fromarray(rgb).resize((192, 192), Image.Resampling.BICUBIC)
    mean, std = MEAN * 255, STD * 255
    return np.float32((np.asarray(x, np.float32) - mean) / std).transpose(2, 0, 1)[None]


def rescaled_first(path):
    x = Image.open(path).convert("RGB").resize((192, 192), Image.Resampling.BICUBIC)
    x = np.asarray(x).astype(np.float64) * 0.00392156862745098
    return ((x - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)


# frames of a phone's camera by integers, and by OpenCV
def _planes(path):
    raw = np.fromfile(path, np.uint8)
    y = raw[: W * H].reshape(H, W).astype(np.int32)
    uv = raw[W * H :].reshape(H // 2, W // 2, 2).astype(np.int32)
    return y, np.kron(uv[..., 0], np.ones((2, 2), int)), np.kron(uv[..., 1], np.ones((2, 2), int))


def phone_integers(path):
    y, u, v = _planes(path)
    y, u, v = 1192 * np.maximum(y - 16, 0), u - 128, v - 128
    x = np.stack([y + 1634 * v, y - 833 * v - 400 * u, y + 2066 * u], -1)
    x = (np.clip(x, 0, 262143) >> 10).astype(np.uint8)
    return np.float32(cv2.resize(x, (96, 96)))[None] / 255


def phone_opencv(path):
    raw = np.fromfile(path, np.uint8).reshape(H * 3 // 2, W)
    x = cv2.cvtColor(raw, cv2.COLOR_YUV2RGB_NV12)
    return cv2.resize(x, (96, 96))[None].astype(np.float32) * np.float32(1 / 255)


# a frame made small as bytes of four channels, and as floats of three
def small_as_bytes(rgb):
    x = cv2.resize(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]), (128, 128))
    return np.float32(x[..., :3].reshape(-1)).reshape(1, 128, 128, 3) / 255


def small_as_floats(path):
    x = cv2.imread(path)[..., ::-1].astype(np.float32)
    return cv2.resize(x, (128, 128))[None] / 255


# gray by Pillow and by its formula in integers
def gray_pillow(path):
    g = ImageOps.exif_transpose(Image.open(path)).convert("RGB").convert("L")
    return np.float32(g.resize((48, 48), Image.Resampling.BILINEAR))[None, ..., None] / 255


def gray_integers(path):
    x = cv2.imread(path).astype(np.uint32)
    g = (x[..., 2] * 19595 + x[..., 1] * 38470 + x[..., 0] * 7471 + 0x8000) >> 16
    g = Image.fromarray(g.astype(np.uint8)).resize((48, 48), Image.Resampling.BILINEAR)
    return np.asarray(g, np.float32).reshape(1, 48, 48, 1) * np.float32(1 / 255)


# a pixel as one integer of 32 bits
def packed_pixels(rgb):
    x = cv2.resize(rgb, (64, 64)).astype(np.int64)
    p = (255 << 24) | (x[..., 0] << 16) | (x[..., 1] << 8) | x[..., 2]
    out = np.stack([(p >> 16) & 255, (p >> 8) & 255, p & 255], -1)
    return ((out - 128) / 128).astype(np.float32)[None]


def plain_pixels(frame):
    return np.float32(cv2.resize(frame, (64, 64))[..., ::-1])[None] / 128 - 1


# corners laid on corners, cut off towards 0 or rounded
def _corners(x, n=96):
    h, w = x.shape[:2]
    gx, gy = np.meshgrid(np.arange(n) * ((w - 1) / (n - 1)), np.arange(n) * ((h - 1) / (n - 1)))
    x0, y0 = (np.minimum(np.floor(v), s - 2).astype(int) for v, s in ((gx, w), (gy, h)))
    fx, fy = (gx - x0)[..., None], (gy - y0)[..., None]
    p = x.astype(np.float64)
    top = p[y0, x0] * (1 - fx) + p[y0, x0 + 1] * fx
    return top * (1 - fy) + (p[y0 + 1, x0] * (1 - fx) + p[y0 + 1, x0 + 1] * fx) * fy


def corners_truncated(rgb):
    return np.float32(np.trunc(_corners(rgb) + 1e-9))[None] / 255


def corners_rounded(path):
    return np.float32(np.rint(_corners(cv2.imread(path)[..., ::-1])))[None] / 255


# a gray camera whose rows are aligned to 64 bytes, read rightly
def gray_rows_aligned(path):
    raw = np.full((H, 192), 200, np.uint8)
    raw[:, :W] = np.fromfile(path, np.uint8).reshape(H, W)
    view = np.lib.stride_tricks.as_strided(raw, (H, W), (192, 1))
    return cv2.resize(view.copy(), (64, 64)).reshape(1, 1, 64, 64).astype(np.float32) / 255


def gray_rows(path):
    g = cv2.resize(np.fromfile(path, np.uint8).reshape(H, W), (64, 64))
    return np.float32(g)[None, None] * np.float32(1 / 255)


# a face by whole pixels
def face_floored(path, box):
    x = cv2.imread(path)
    x1, y1, x2, y2 = (int(v) for v in np.floor(box))
    cut = x[max(y1, 0) : y2, max(x1, 0) : x2]
    return cv2.dnn.blobFromImage(cut, 1 / 128.0, (96, 96), (127.5, 127.5, 127.5), swapRB=True)


def face_origin_and_size(rgb, box):
    x, y = (max(0, int(v // 1)) for v in box[:2])
    w, h = (
        int(min(s, v // 1)) - o for s, v, o in zip(rgb.shape[1::-1], box[2:], (x, y), strict=True)
    )
    cut = cv2.resize(np.ascontiguousarray(rgb[y : y + h, x : x + w]), (96, 96))
    return ((cut.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]


# a webcam's frames by OpenCV, and by real numbers
def webcam_opencv(path):
    raw = np.fromfile(path, np.uint8).reshape(H, W, 2)
    x = cv2.cvtColor(raw, cv2.COLOR_YUV2RGB_YUYV)
    return np.float32(cv2.resize(x, (96, 96)))[None] / 255


def webcam_reals(path):
    raw = np.fromfile(path, np.uint8).reshape(H, W // 2, 4).astype(np.float64)
    y = raw[..., [0, 2]].reshape(H, W)
    u, v = (np.repeat(raw[..., i], 2, axis=1) - 128 for i in (1, 3))
    y = (y - 16) * 255 / 219
    x = np.stack([y + 1.596 * v, y - 0.3918 * u - 0.813 * v, y + 2.0172 * u], -1)
    x = np.uint8(np.clip(np.floor(x + 0.5), 0, 255))
    return cv2.resize(x, (96, 96))[None].astype(np.float32) / 255


# the short side to 256 and the middle 224, sizes rounded down, the odd pixel below
def middle_of_256(path):
    x = Image.open(path).convert("RGB")
    w, h = x.size
    size = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    x = x.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((s - 224) / 2.0) for s in x.size)
    x = np.asarray(x.crop((left, top, left + 224, top + 224)), np.float32)
    return ((x - MEAN * 255) / (STD * 255)).transpose(2, 0, 1)[None]


def middle_by_position(rgb):
    h, w = rgb.shape[:2]
    size = (256, 256 * h // w) if w <= h else (256 * w // h, 256)
    x = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
    top, left = (int(np.rint(0.5 * (s - 224))) for s in x.shape[:2])
    x = x[top : top + 224, left : left + 224]
    return np.float32((x / 255.0 - MEAN) / STD).transpose(2, 0, 1)[None]


# scikit-image's resize to 0…1, without smoothing and with repeated edges
def science_resize(rgb):
    from skimage.transform import resize

    return np.float32(resize(rgb, (96, 96), order=1, mode="edge", anti_aliasing=False))[None]


def plain_resize(path):
    return np.float32(cv2.resize(cv2.imread(path)[..., ::-1], (96, 96)))[None] / 255
