"""What reports describe, written again: values, buffers, colours."""

from __future__ import annotations

import cv2
import numpy as np

W, H = 160, 120
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _chw(x, dtype=np.float32):
    return np.ascontiguousarray(np.asarray(x).transpose(2, 0, 1)[None]).astype(dtype)


def _rgb(path, w=112, h=112):
    return cv2.resize(cv2.imread(path), (w, h))[..., ::-1].astype(np.float32)


def centred(path):
    return _chw((_rgb(path) - 127.5) / 127.5)


def centred_twice(path):
    """The runtime has the means built in and gets values that had them already."""
    return _chw(((_rgb(path) - 127.5) / 127.5 - 127.5) / 127.5)


def imagenet(path):
    return _chw((_rgb(path) / 255 - MEAN) / STD)


def factor_before_mean(path):
    """x * normal - mean instead of (x - mean) * normal."""
    return _chw(_rgb(path) / (255 * STD) - MEAN)


def one_deviation(path):
    """The converter knows one scale for all channels."""
    return _chw((_rgb(path) / 255 - MEAN) / 0.226)


def deviation_typo(path):
    return _chw((_rgb(path) / 255 - MEAN) / [0.229, 0.224, 0.255])


def mean_typo(path):
    return _chw((_rgb(path) / 255 - [0.485, 0.465, 0.406]) / STD)


def mean_of_other_unit(path):
    """The data set's mean was computed before the pixels were divided."""
    return _chw(_rgb(path) / 255 - 128)


def unit(path):
    return _chw(_rgb(path) / 255)


def scale_127(path):
    return _chw(_rgb(path) / 127 - 1)


def integer_division(path):
    return _chw((_rgb(path).astype(np.uint8) // 255).astype(np.float32))


def mean_picture(path):
    """A mean of every place is subtracted, not one of every channel."""
    v, u = np.mgrid[0:112, 0:112] / 111
    m = np.stack([0.3 + 0.4 * v, 0.35 + 0.2 * u, 0.3 + 0.2 * u * v], -1)
    return _chw((_rgb(path) / 255 - m) / STD)


def linear_light(path):
    v = _rgb(path) / 255
    return _chw(np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4))


def upside_down_bgr(path):
    return _chw(_rgb(path)[::-1, :, ::-1] / 255)


# buffers
def bgra_as_argb(path):
    x = _rgb(path).astype(np.uint8)
    raw = np.dstack([x[..., ::-1], np.full(x.shape[:2], 255, np.uint8)])
    return _chw(raw[..., 1:4].astype(np.float32) / 255)


def header_kept(path):
    """54 bytes of a bitmap's header are read as pixels."""
    raw = np.concatenate([np.full(54, 40, np.uint8), _rgb(path).astype(np.uint8).ravel()])
    return _chw(raw[: 112 * 112 * 3].reshape(112, 112, 3) / 255)


def one_byte_late(path):
    raw = np.concatenate([np.zeros(1, np.uint8), _rgb(path).astype(np.uint8).ravel()])
    return _chw(raw[:-1].reshape(112, 112, 3) / 255)


def floats_as_bytes(path):
    """A buffer of floats is said to hold bytes."""
    raw = np.ascontiguousarray(_rgb(path) / np.float32(255)).view(np.uint8).ravel()
    return _chw(raw[: 112 * 112 * 3].reshape(112, 112, 3).astype(np.float32))


def interleaved_in_planes(path):
    """The loop goes on by three, and so does the place it writes to."""
    x = _rgb(path) / 255
    out = np.zeros(3 * 112 * 112, np.float32)
    flat, n = x.reshape(-1, 3), 112 * 112
    at = 3 * np.arange(n)
    for c in range(3):
        fits = at + c * n < len(out)
        out[(at + c * n)[fits]] = flat[fits, c]
    return out.reshape(1, 3, 112, 112)


def rgb565_swapped(path):
    x = _rgb(path).astype(np.uint16)
    v = ((x[..., 0] >> 3) << 11) | ((x[..., 1] >> 2) << 5) | (x[..., 2] >> 3)
    v = v.astype(np.uint16).byteswap()
    r, g, b = (v >> 11) << 3, ((v >> 5) & 63) << 2, (v & 31) << 3
    return _chw(np.stack([r, g, b], -1).astype(np.float32) / 255)


def bytes_unit(frame):
    return _chw(cv2.resize(frame, (112, 112))[..., ::-1] / np.float32(255))


# pictures that are treated on the way
def clock_in_the_corner(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    cv2.rectangle(x, (0, 0), (int(w * 0.45), int(h * 0.12)), (0, 0, 0), -1)
    return _chw(cv2.resize(x, (112, 112))[..., ::-1] / np.float32(255))


def exposure_of_its_own(path):
    x = _rgb(path)
    return _chw(np.clip(x * (118 / max(x.mean(), 1)), 0, 255) / 255)


def median_filtered(path):
    return _chw(
        cv2.medianBlur(cv2.resize(cv2.imread(path), (112, 112)), 3)[..., ::-1] / np.float32(255)
    )


def jpeg_after_resize(path):
    x = cv2.resize(cv2.imread(path), (112, 112))
    _, store = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, 60])
    return _chw(cv2.imdecode(store, cv2.IMREAD_COLOR)[..., ::-1] / np.float32(255))


def undistorted(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    k = np.float64([[w, 0, w / 2], [0, w, h / 2], [0, 0, 1]])
    x = cv2.undistort(x, k, np.float64([0.35, 0.1, 0, 0]))
    return _chw(cv2.resize(x, (112, 112))[..., ::-1] / np.float32(255))


def false_colours(path):
    g = cv2.cvtColor(cv2.resize(cv2.imread(path), (112, 112)), cv2.COLOR_BGR2GRAY)
    return _chw(cv2.applyColorMap(g, cv2.COLORMAP_JET)[..., ::-1] / np.float32(255))


def s_curve(path):
    v = _rgb(path) / 255
    return _chw(v * v * (3 - 2 * v))


# camera frames
def _planes(path, down=0):
    raw = np.fromfile(path, np.uint8)
    y = raw[: W * H].reshape(H, W).astype(np.float64)
    uv = np.resize(raw[W * H + down :], W * H // 2).reshape(H // 2, W // 2, 2).astype(np.float64)
    up = np.repeat(np.repeat(uv, 2, 0), 2, 1) - 128
    return y, up[..., 0], up[..., 1]


def _to_rgb(y, u, v, kr=0.299, kb=0.114):
    kg = 1 - kr - kb
    y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    g = (y - kr * r - kb * b) / kg
    return _chw(np.clip(np.rint(np.stack([r, g, b], -1)), 0, 255) / 255)


def nv12(path):
    return _to_rgb(*_planes(path))


def nv12_2020(path):
    return _to_rgb(*_planes(path), kr=0.2627, kb=0.0593)


def nv12_aligned_height(path):
    """Chroma is looked for behind 128 rows, of which 120 are there."""
    return _to_rgb(*_planes(path, down=8 * W))


def _yuyv(path):
    return np.fromfile(path, np.uint8).reshape(H, W // 2, 4)


def yuyv_luma(path):
    x = _yuyv(path)
    return np.float32(x[..., [0, 2]].reshape(1, 1, H, W)) / 255


def yuyv_chroma(path):
    """Every second byte, begun at the wrong one."""
    x = _yuyv(path)
    return np.float32(x[..., [1, 3]].reshape(1, 1, H, W)) / 255


def yuyv_rgb(path):
    x = np.fromfile(path, np.uint8).reshape(H, W, 2)
    return _chw(cv2.cvtColor(x, cv2.COLOR_YUV2RGB_YUYV) / np.float32(255))


def yvyu_rgb(path):
    x = np.fromfile(path, np.uint8).reshape(H, W, 2)
    return _chw(cv2.cvtColor(x, cv2.COLOR_YUV2RGB_YVYU) / np.float32(255))
