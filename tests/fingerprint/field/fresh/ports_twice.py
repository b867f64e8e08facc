"""The same thing written twice: a model's pipeline and its port, as reports of fifteen projects describe them."""

from __future__ import annotations

import cv2
import numpy as np
from face_points import FIVE, network, similarity
from PIL import Image

W, H = 160, 120
MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])


# one deviation for all channels, as a phone's image type has it
def torch_226(path):
    im = np.asarray(Image.open(path).convert("RGB").resize((224, 224), Image.BILINEAR))
    return ((np.float32(im) / 255 - MEAN) / np.float32(0.226)).transpose(2, 0, 1)[None]


def phone_226(image: Image.Image):
    x = np.float32(image.resize((224, 224), Image.BILINEAR)) * np.float32(1 / (255 * 0.226))
    return np.moveaxis(x - MEAN / np.float32(0.226), -1, 0)[np.newaxis]


# short side, middle, factor, statistics: by the library of models and by hand
CLIP = (
    np.float32([0.48145466, 0.4578275, 0.40821073]),
    np.float32([0.26862954, 0.26130258, 0.27577711]),
)


def clip_processor(path):
    im = Image.open(path).convert("RGB")
    w, h = im.size
    short, long = min(w, h), max(w, h)
    new = int(224 * long / short)
    im = im.resize((224, new) if w <= h else (new, 224), resample=Image.BICUBIC)
    top, left = (im.height - 224) // 2, (im.width - 224) // 2
    x = np.asarray(im)[top : top + 224, left : left + 224].astype(np.float32)
    x = x * 0.00392156862745098
    return ((x - CLIP[0]) / CLIP[1]).transpose(2, 0, 1)[None]


def clip_by_hand(rgb):
    im = Image.fromarray(rgb)
    k = 224 / min(im.size)
    size = tuple(224 if v == min(im.size) else int(v * k + 1e-9) for v in im.size)
    im = im.resize(size, Image.Resampling.BICUBIC)
    x0, y0 = (size[0] - 224) // 2, (size[1] - 224) // 2
    x = np.float32(im.crop((x0, y0, x0 + 224, y0 + 224)))
    return np.stack([(x[..., c] - 255 * CLIP[0][c]) / (255 * CLIP[1][c]) for c in range(3)])[None]


# statistics of RGB on BGR pixels, on both sides, as a reader of text has it
def ocr_cv2(path):
    x = cv2.resize(cv2.imread(path), (320, 48)).astype("float32")
    return ((x * (1 / 255) - MEAN) / STD).transpose(2, 0, 1)[None]


def ocr_of_rgb(rgb):
    x = cv2.resize(rgb, (320, 48))[..., ::-1]
    planes = [(x[..., i] / np.float32(255) - MEAN[i]) / STD[i] for i in range(3)]
    return np.float32(planes)[None]


# the map of points there or back
def arc_forward(path, landmarks):
    m = similarity(landmarks, FIVE)
    return network(cv2.warpAffine(cv2.imread(path)[..., ::-1], m, (112, 112)))


def arc_by_inverse(frame, landmarks):
    m = similarity(FIVE, np.asarray(landmarks))
    whole = np.vstack([similarity(landmarks, FIVE), [0, 0, 1]])
    m = np.linalg.inv(whole)[:2]
    x = cv2.warpAffine(frame, m, (112, 112), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return network(cv2.cvtColor(x, cv2.COLOR_BGR2RGB))


# the method of Umeyama with its decomposition
def arc_decomposed(path, landmarks):
    p, q = np.asarray(landmarks, np.float64), FIVE
    a, b = p - p.mean(0), q - q.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a / len(p))
    d = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    r = u @ np.diag(d) @ vt
    r = r * (s * d).sum() / (a * a).sum(1).mean()
    m = np.column_stack([r, q.mean(0) - r @ p.mean(0)])
    return network(cv2.warpAffine(cv2.imread(path)[..., ::-1], m, (112, 112)))


# a camera's frame by whole numbers of ten bits, and by the library
def _yuv(path):
    raw = np.fromfile(path, np.uint8)
    return raw[: W * H].reshape(H, W), raw[W * H :].reshape(H // 2, W // 2, 2)


def frame_library(path):
    y, uv = _yuv(path)
    frame = np.vstack([y, uv.reshape(H // 2, W)])
    x = cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12)
    return np.float32(cv2.resize(x, (96, 96)))[None] / 255


def frame_ten_bits(path):
    y, uv = _yuv(path)
    y = np.maximum(y.astype(np.int32) - 16, 0) * 1192
    u, v = (np.kron(uv[..., i].astype(np.int32) - 128, np.ones((2, 2), np.int32)) for i in (0, 1))
    x = np.stack([y + 1634 * v, y - 833 * v - 400 * u, y + 2066 * u], -1)
    x = (np.clip(x, 0, 262143) >> 10).astype(np.uint8)
    return cv2.resize(x, (96, 96))[np.newaxis].astype(np.float32) * np.float32(1 / 255)


# a sensor that stands sideways
def turned_cv2(frame):
    x = cv2.rotate(frame, cv2.ROTATE_90_CLOCKWISE)
    return np.float32(cv2.resize(x, (96, 128))[..., ::-1])[None] / 127.5 - 1


def turned_numpy(rgb):
    x = np.ascontiguousarray(np.rot90(rgb, k=3))
    return (cv2.resize(x, (96, 128))[None].astype(np.float32) - 127.5) / 127.5


# what is transparent becomes white
def white_pasted(path):
    im = Image.open(path)
    if im.mode in ("RGBA", "LA", "P"):
        im = im.convert("RGBA")
        white = Image.new("RGBA", im.size, (255, 255, 255, 255))
        im = Image.alpha_composite(white, im)
    return np.float32(im.convert("RGB").resize((96, 96), Image.BILINEAR))[None] / 255


def white_blended(path):
    im = Image.open(path)
    if im.mode in ("RGBA", "LA", "P"):
        x = np.float64(im.convert("RGBA"))
        a = x[..., 3:] / 255
        im = Image.fromarray(np.uint8(np.rint(x[..., :3] * a + 255 * (1 - a))))
    x = np.asarray(im.convert("RGB").resize((96, 96), Image.BILINEAR), np.float32)
    return np.expand_dims(x * np.float32(1 / 255), 0)


# a face's square, pushed back into the picture
def pushed(path, box):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    n = min(int(1.3 * max(box[2] - box[0], box[3] - box[1])), h, w)
    left = min(max(int((box[0] + box[2]) / 2) - n // 2, 0), w - n)
    top = min(max(int((box[1] + box[3]) / 2) - n // 2, 0), h - n)
    cut = x[top : top + n, left : left + n]
    return network(cv2.resize(cut, (112, 112), interpolation=cv2.INTER_AREA)[..., ::-1])


def pushed_roi(rgb, box):
    h, w = rgb.shape[:2]
    x1, y1, x2, y2 = box
    side = min(int(max(x2 - x1, y2 - y1) * 1.3), min(h, w))
    x0, y0 = int((x1 + x2) / 2) - side // 2, int((y1 + y2) / 2) - side // 2
    x0, y0 = int(np.clip(x0, 0, w - side)), int(np.clip(y0, 0, h - side))
    cut = np.array(Image.fromarray(rgb).crop((x0, y0, x0 + side, y0 + side)))
    small = cv2.resize(cut, dsize=(112, 112), interpolation=cv2.INTER_AREA)
    return cv2.dnn.blobFromImage(small, 1 / 127.5, None, (127.5,) * 3)


# a transformer of an old framework: pixels from 0 to 1, channels exchanged, then 255 times
def transformer(path):
    x = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
    x = cv2.resize(x, (227, 227), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    x = x[[2, 1, 0]] * 255
    return (x - np.float32([104, 117, 123])[:, None, None])[None]


def transformer_cv2(path):
    x = cv2.resize(cv2.imread(path), (227, 227)).astype(np.float32)
    return (x - np.float32([104, 117, 123])).transpose(2, 0, 1)[None].copy()


# the short side to 320 unless the long one passes 400
def _limited(w, h):
    k = 320 / min(w, h)
    return 400 / max(w, h) if round(k * max(w, h)) > 400 else k


def limited(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    k = _limited(w, h)
    x = cv2.resize(x, (max(1, round(w * k)), max(1, round(h * k))))
    return (x.astype(np.float32) - np.float32([104, 117, 123])).transpose(2, 0, 1)[None]


def limited_of_frame(frame):
    h, w = frame.shape[:2]
    k = min(320 / min(h, w), 400 / max(h, w))
    size = tuple(int(np.rint(v * k)) or 1 for v in (w, h))
    return cv2.dnn.blobFromImage(cv2.resize(frame, size), 1.0, None, (104, 117, 123))


# bars up to the next multiple of 32 only
def least_bars(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    k = 320 / max(h, w)
    nw, nh = max(1, round(w * k)), max(1, round(h * k))
    x = cv2.resize(x, (nw, nh), interpolation=cv2.INTER_LINEAR)
    dw, dh = (320 - nw) % 32 / 2, (320 - nh) % 32 / 2
    t, b, le, r = (round(v) for v in (dh - 0.1, dh + 0.1, dw - 0.1, dw + 0.1))
    x = cv2.copyMakeBorder(x, t, b, le, r, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    return x[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255


def least_canvas(rgb):
    h, w = rgb.shape[:2]
    k = min(320 / h, 320 / w)
    nw, nh = max(1, round(w * k)), max(1, round(h * k))
    cw, ch = nw + (320 - nw) % 32, nh + (320 - nh) % 32
    board = np.full((ch, cw, 3), 114, np.uint8)
    y, x = (ch - nh) // 2, (cw - nw) // 2
    board[y : y + nh, x : x + nw] = cv2.resize(rgb, (nw, nh))
    return np.moveaxis(board, -1, 0)[np.newaxis] / np.float32(255)


# gray of a science library, from 0 to 1
def gray_science(path):
    from skimage.color import rgb2gray

    return rgb2gray(cv2.resize(cv2.imread(path)[..., ::-1], (48, 48)))[None, None].astype("f4")


def gray_dot(frame):
    x = cv2.resize(frame, (48, 48)).astype(np.float64)
    return np.float32(x @ [0.0721, 0.7154, 0.2125] / 255).reshape(1, 1, 48, 48)


# whitening does not see a factor before it
def white_of_bytes(path):
    x = np.float32(cv2.resize(cv2.imread(path), (160, 160), interpolation=3)[..., ::-1])
    return ((x - x.mean()) / max(x.std(), 1 / np.sqrt(x.size)))[None]


def white_of_shares(rgb):
    x = cv2.resize(rgb, (160, 160), interpolation=cv2.INTER_AREA) / 255.0
    y = x - np.mean(x)
    return np.float32(y / max(np.sqrt(np.mean(y * y)), 1 / np.sqrt(x.size)))[np.newaxis]


# the device's library resizes with bars, and the port
def bars_library_tensorflow(path):
    import tensorflow as tf

    x = np.asarray(Image.open(path).convert("RGB"))
    return tf.image.resize_with_pad(x, 128, 128).numpy()[None] / np.float32(255)


def bars_port(rgb):
    h, w = rgb.shape[:2]
    ratio = max(w / 128, h / 128)
    nh, nw = int(h / ratio), int(w / ratio)
    x = cv2.resize(rgb.astype(np.float32), (nw, nh), interpolation=cv2.INTER_LINEAR)
    out = np.zeros((1, 128, 128, 3), np.float32)
    top, left = (128 - nh) // 2, (128 - nw) // 2
    out[0, top : top + nh, left : left + nw] = x / 255
    return out
