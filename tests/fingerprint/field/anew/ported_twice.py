"""Ports that give other bytes than their models and are right: other arithmetic, order, formula or library."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

FIVE = np.float64(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
MEAN, STD = np.float64([0.485, 0.456, 0.406]), np.float64([0.229, 0.224, 0.225])
CAFFE = np.float64([103.939, 116.779, 123.68])
W, H = 160, 120


def similarity(p, q):
    """The similarity that takes points `p` to `q` by least squares."""
    p, q = np.asarray(p, float) @ [1, 1j], np.asarray(q, float) @ [1, 1j]
    a = np.vdot(p - p.mean(), q - q.mean()) / np.vdot(p - p.mean(), p - p.mean())
    b = q.mean() - a * p.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def linear(x, size, scale=None):
    """Half-pixel bilinear of floats, each weight exact; `scale` is the step between two places (x, y)."""
    w, h = size
    rows, columns = x.shape[:2]
    sx, sy = scale or (columns / w, rows / h)
    u = np.clip((np.arange(w) + 0.5) * sx - 0.5, 0, columns - 1)
    v = np.clip((np.arange(h) + 0.5) * sy - 0.5, 0, rows - 1)
    u0, v0 = np.minimum(u.astype(int), columns - 2), np.minimum(v.astype(int), rows - 2)
    fu, fv = (u - u0)[None, :, None], (v - v0)[:, None, None]
    x = np.float64(x)
    top = x[v0][:, u0] * (1 - fu) + x[v0][:, u0 + 1] * fu
    bottom = x[v0 + 1][:, u0] * (1 - fu) + x[v0 + 1][:, u0 + 1] * fu
    return top * (1 - fv) + bottom * fv


def planes(x):
    return np.ascontiguousarray(np.moveaxis(np.float32(x), -1, 0)[None])


# an array of floats instead of bytes is resized
def bytes_resized(path):
    return planes((cv2.resize(cv2.imread(path)[..., ::-1], (160, 128)) / 255.0 - MEAN) / STD)


def floats_resized(rgb):
    x = cv2.resize(rgb.astype(np.float32), (160, 128))
    return planes((x - 255 * MEAN) / (255 * STD))


# weights in 256ths, as small ports keep them
def small_bytes(rgb):
    return np.float32(cv2.resize(rgb, (96, 112)))[None] / 127.5 - 1


def small_fixed(rgb):
    w, h = 96, 112
    rows, columns = rgb.shape[:2]
    x = np.clip(((2 * np.arange(w) + 1) * columns * 128) // w - 128, 0, (columns - 1) * 256)
    y = np.clip(((2 * np.arange(h) + 1) * rows * 128) // h - 128, 0, (rows - 1) * 256)
    x0, y0 = np.minimum(x >> 8, columns - 2), np.minimum(y >> 8, rows - 2)
    fx, fy = (x - x0 * 256)[None, :, None], (y - y0 * 256)[:, None, None]
    p = rgb.astype(np.int64)
    top = p[y0][:, x0] * (256 - fx) + p[y0][:, x0 + 1] * fx
    low = p[y0 + 1][:, x0] * (256 - fx) + p[y0 + 1][:, x0 + 1] * fx
    out = (top * (256 - fy) + low * fy + 32768) >> 16
    return np.float32(out - 127.5)[None] / np.float32(127.5)


# half-precision arithmetic behind the resize
def tower(path):
    x = np.asarray(Image.open(path).convert("RGB").resize((224, 224), Image.BICUBIC))
    return planes((x / 255.0 - MEAN) / STD)


def tower_half(image: Image.Image):
    x = np.asarray(image.resize((224, 224), Image.BICUBIC)).astype(np.float16)
    scale, bias = (1 / (255 * STD)).astype(np.float16), (-MEAN / STD).astype(np.float16)
    return planes(x * scale + bias)


def tower_fused(image: Image.Image):
    x = np.float32(image.resize((224, 224), Image.BICUBIC))
    return planes((x - np.float32(MEAN * 255)) * np.float32(1 / (STD * 255)))


# a mean picture, which holds one colour
def caffe(path):
    return planes(cv2.resize(cv2.imread(path), (224, 224)) - CAFFE)


def caffe_mean_picture(rgb):
    mean = np.broadcast_to(np.float32(CAFFE[::-1]), rgb.shape)
    return planes(cv2.resize(np.float32(rgb) - mean, (224, 224))[..., ::-1])


# a similarity as a matrix of three rows
def face(path, landmarks):
    x = cv2.warpAffine(cv2.imread(path)[..., ::-1], similarity(landmarks, FIVE), (112, 112))
    return planes(x) / 127.5 - 1


def face_in_perspective(path, landmarks):
    m = np.vstack([similarity(landmarks, FIVE), [0, 0, 1]])
    x = cv2.warpPerspective(cv2.imread(path), m, (112, 112))
    return planes(x[..., ::-1]) / 127.5 - 1


def face_by_blas(path, landmarks):
    """The closed form in single precision."""
    p, q = np.float32(landmarks), np.float32(FIVE)
    a = np.zeros((10, 4), np.float32)
    a[0::2], a[1::2] = (
        np.c_[p[:, 0], -p[:, 1], np.ones(5), np.zeros(5)],
        np.c_[p[:, 1], p[:, 0], np.zeros(5), np.ones(5)],
    )
    c, s, dx, dy = np.linalg.lstsq(a, q.ravel(), rcond=None)[0]
    m = np.float32([[c, -s, dx], [s, c, dy]])
    x = cv2.warpAffine(cv2.imread(path), m, (112, 112))
    return (planes(x[..., ::-1]) - 127.5) * np.float32(0.0078431373)


# NV12 of the full range: by floats, and by 6 bits as on phones
def nv12_full(path):
    raw = np.fromfile(path, np.uint8)
    y = np.float64(raw[: W * H].reshape(H, W))
    uv = np.float64(raw[W * H :].reshape(H // 2, W // 2, 2)) - 128
    u, v = (np.repeat(np.repeat(uv[..., k], 2, 0), 2, 1) for k in (0, 1))
    rgb = np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], -1)
    return planes(np.clip(np.rint(rgb), 0, 255)) / 255


def nv12_of_planes(path):
    """Planes of a decoder, interleaved again, in 16.6."""
    raw = np.fromfile(path, np.uint8)
    chroma = raw[W * H :].reshape(-1, 2)
    u, v = chroma[:, 0].copy(), chroma[:, 1].copy()
    both = np.empty((H // 2 * W // 2, 2), np.int32)
    both[:, 0], both[:, 1] = u, v
    both = np.repeat(np.repeat(both.reshape(H // 2, W // 2, 2), 2, 0), 2, 1) - 128
    y = raw[: W * H].reshape(H, W).astype(np.int32) << 14
    r = y + 22970 * both[..., 1]
    g = y - 5638 * both[..., 0] - 11700 * both[..., 1]
    b = y + 29032 * both[..., 0]
    return planes(np.clip((np.stack([r, g, b], -1) + 8192) >> 14, 0, 255) / 255)


# a blob that covers and is cut, by hand
def covered(frame):
    return cv2.dnn.blobFromImage(frame, 1 / 128, (96, 112), (127.5,) * 3, swapRB=True, crop=True)


def covered_by_hand(frame):
    h, w = frame.shape[:2]
    k = max(96 / w, 112 / h)
    nw, nh = int(np.rint(w * k)), int(np.rint(h * k))
    x = linear(frame[..., ::-1], (nw, nh), (1 / k, 1 / k))
    left, top = int(0.5 * (nw - 96)), int(0.5 * (nh - 112))
    return (planes(x[top : top + 112, left : left + 96]) - 127.5) / 128


# gray before the resize and behind it
def gray_first(path):
    return (
        np.float32(cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (48, 48)))[None, None] / 255
    )


def gray_last(frame):
    x = linear(frame, (48, 48))
    return np.float32(x @ [0.114, 0.587, 0.299])[None, None] / 255


# a letterbox by a warp in floats, as kernels of graphics cards have it
def boxed(frame):
    h, w = frame.shape[:2]
    k = min(192 / w, 192 / h)
    nw, nh = round(w * k), round(h * k)
    out = np.full((192, 192, 3), 114, np.uint8)
    left, top = (192 - nw) // 2, (192 - nh) // 2
    out[top : top + nh, left : left + nw] = cv2.resize(frame, (nw, nh))
    return planes(out[..., ::-1]) / 255


def boxed_in_floats(frame):
    h, w = frame.shape[:2]
    k = min(192 / w, 192 / h)
    nw, nh = round(w * k), round(h * k)
    out = np.full((192, 192, 3), 114.0)
    left, top = (192 - nw) // 2, (192 - nh) // 2
    out[top : top + nh, left : left + nw] = linear(frame, (nw, nh))
    return planes(out[..., ::-1] / 255)


# signed bytes and back
def signed(rgb):
    x = cv2.resize(rgb, (96, 96), interpolation=cv2.INTER_AREA)
    return (np.float32(x) / np.float32(255))[None]


def signed_and_back(rgb):
    q = (cv2.resize(rgb, (96, 96), interpolation=cv2.INTER_AREA).astype(np.int16) - 128).astype(
        np.int8
    )
    return (np.float32(q) + 128)[None] * np.float32(0.003921569)


# a picture's own statistics, by sums of squares and by the definition
def own_statistics(path):
    x = np.float64(cv2.resize(cv2.imread(path), (160, 160))[..., ::-1])
    return np.float32((x - x.mean()) / max(x.std(), 1 / np.sqrt(x.size)))[None]


def own_statistics_of_sums(rgb):
    x = linear(rgb, (160, 160))
    mean = x.sum() / x.size
    deviation = np.sqrt(max((x * x).sum() / x.size - mean * mean, 0))
    return np.float32((x - mean) / max(deviation, 1 / np.sqrt(x.size)))[None]


# a curve by a table of bytes and by its formula
def linearised(path):
    x = np.asarray(Image.open(path).convert("RGB").resize((128, 96), Image.BILINEAR)) / 255.0
    return planes(np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4))


def linearised_by_power(image: Image.Image):
    table = np.arange(256) / 255
    table = np.float16(np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4))
    return planes(table[np.asarray(image.resize((128, 96), Image.BILINEAR))])


# equalised luma, in OpenCV's order of planes or in Pillow's
def flattened(path):
    y = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2YCrCb)
    y[..., 0] = cv2.equalizeHist(y[..., 0])
    x = cv2.cvtColor(y, cv2.COLOR_YCrCb2RGB)
    return planes(cv2.resize(x, (96, 96))) / 255


def flattened_by_hand(rgb):
    luma = np.rint(rgb @ [0.299, 0.587, 0.114]).astype(np.uint8)
    counts = np.bincount(luma.ravel(), minlength=256)
    first = int(np.argmax(counts > 0))
    rest = max(luma.size - counts[first], 1)
    table = np.clip(np.rint((np.cumsum(counts) - counts[first]) * 255.0 / rest), 0, 255)
    moved = (table[luma] - luma)[..., None]
    x = np.clip(rgb + moved, 0, 255)
    return planes(linear(x, (96, 96))) / 255
