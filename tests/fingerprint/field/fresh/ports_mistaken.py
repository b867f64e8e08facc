"""Ports that went wrong, as reports of twenty projects describe them: frames, buffers, values, faces."""

from __future__ import annotations

import cv2
import numpy as np
import ports_twice as good
from face_points import FIVE, network, similarity
from PIL import Image

W, H = 160, 120
MEAN, STD = good.MEAN, good.STD


def _rgb(path):
    return cv2.imread(path)[..., ::-1]


def _small(path, n=96, **how):
    return np.ascontiguousarray(cv2.resize(cv2.imread(path), (n, n), **how)[..., ::-1])


def unit(path):
    return np.float32(_small(path))[None] / 255


def centred(path):
    return (np.float32(_small(path))[None] - 127.5) / 127.5


def statistics(path):
    return ((np.float32(_small(path, 224)) / 255 - MEAN) / STD).transpose(2, 0, 1)[None]


# buffers
def bytes_as_floats(path):
    raw = _small(path).tobytes()
    x = np.frombuffer(raw + bytes(3 * len(raw)), np.float32)
    return x.reshape(1, 96, 96, 3)


def sides_exchanged(path):
    """Rows and columns are given in the wrong order, so that each row begins too late."""
    x = cv2.imread(path)
    x = np.ascontiguousarray(x).reshape(x.shape[1], x.shape[0], 3)
    return np.float32(cv2.resize(x, (96, 96))[..., ::-1])[None] / 255


def repeated_array(path):
    return np.float32(np.resize(_rgb(path), (96, 96, 3)))[None] / 255


def frame_sides_exchanged(path):
    raw = np.fromfile(path, np.uint8)
    x = cv2.cvtColor(raw.reshape(W * 3 // 2, H), cv2.COLOR_YUV2RGB_NV12)
    return np.float32(cv2.resize(x, (96, 96)))[None] / 255


def green_blue_exchanged(path):
    return np.float32(_small(path)[..., [0, 2, 1]])[None] / 255


# sizes
def tall(path):
    im = Image.open(path).convert("RGB").resize((128, 256), Image.BILINEAR)
    return ((np.float32(im) / 255 - MEAN) / STD).transpose(2, 0, 1)[None]


def lying(path):
    x = np.float32(cv2.resize(cv2.imread(path), (256, 128)))
    x = (x - np.float32([103.53, 116.28, 123.675])) * np.float32([0.017429, 0.017507, 0.017125])
    return x.transpose(2, 0, 1)[None]


def stretched_pillow(path):
    im = Image.open(path).convert("RGB").resize((224, 224), Image.BILINEAR)
    return ((np.float32(im) / 255 - MEAN) / STD)[None]


def middle_then_bilinear(path):
    x = _rgb(path)
    n = min(x.shape[:2])
    top, left = (x.shape[0] - n) // 2, (x.shape[1] - n) // 2
    x = cv2.resize(np.ascontiguousarray(x[top : top + n, left : left + n]), (224, 224))
    return ((np.float32(x) / 255 - MEAN) / STD)[None]


def default_canvas(path):
    """A canvas that nobody gave a size: 300 by 150 pixels, black where the picture ends."""
    x = _rgb(path)[:150, :300]
    board = np.zeros((150, 300, 3), np.uint8)
    board[: x.shape[0], : x.shape[1]] = x
    return np.float32(cv2.resize(board, (96, 96)))[None] / 255


def never_limited(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    k = 320 / min(w, h)
    x = cv2.resize(x, (max(1, round(w * k)), max(1, round(h * k))))
    return (x.astype(np.float32) - np.float32([104, 117, 123])).transpose(2, 0, 1)[None]


def by_factors(path):
    x = cv2.imread(path)
    k = good._limited(x.shape[1], x.shape[0])
    x = cv2.resize(x, None, fx=k, fy=k)
    return (x.astype(np.float32) - np.float32([104, 117, 123])).transpose(2, 0, 1)[None]


def normalised_then_padded(path):
    x = np.float32(cv2.imread(path)) - 127.5
    h, w = x.shape[:2]
    x = np.pad(x, ((0, -h % 32), (0, -w % 32), (0, 0)))
    return x.transpose(2, 0, 1)[None]


def padded_then_normalised(path):
    x = cv2.imread(path)
    h, w = x.shape[:2]
    x = np.pad(x, ((0, -h % 32), (0, -w % 32), (0, 0)))
    return np.float32(x.transpose(2, 0, 1)[None]) - 127.5


def _barred(path, colour):
    x = _rgb(path)
    h, w = x.shape[:2]
    k = 128 / max(h, w)
    nw, nh = max(1, round(w * k)), max(1, round(h * k))
    board = np.zeros((128, 128, 3), np.float32) + colour(x)
    top, left = (128 - nh) // 2, (128 - nw) // 2
    board[top : top + nh, left : left + nw] = cv2.resize(x, (nw, nh))
    return board[None] / 255


def black_bars(path):
    return _barred(path, lambda x: 0)


def bars_of_mean(path):
    return _barred(path, lambda x: np.rint(x.mean((0, 1))))


def bicubic_pillow(path):
    return np.float32(Image.open(path).convert("RGB").resize((96, 96), Image.BICUBIC))[None] / 255


def shrunk_then_lanczos(path):
    """A server's library: by whole factors at decoding, then Lanczos."""
    im = Image.open(path).convert("RGB")
    n = max(1, min(im.width // 192, im.height // 192))
    return np.float32(im.reduce(n).resize((96, 96), Image.LANCZOS))[None] / 255


def overshoot_wrapped(path):
    x = cv2.resize(np.float32(_rgb(path)), (96, 96), interpolation=cv2.INTER_CUBIC)
    return np.float32(np.rint(x).astype(np.int32).astype(np.uint8))[None] / 255


def cubic(path):
    return np.float32(_small(path, interpolation=cv2.INTER_CUBIC))[None] / 255


# values
def mean_100(path):
    return (np.float32(_small(path))[None] - 100) / 127.5


def mean_deviation(path):
    return ((np.float32(_small(path, 224)) / 255 - MEAN) / np.float32(0.226)).transpose(2, 0, 1)[
        None
    ]


def blob_with_shares(path):
    mean = tuple(float(v) for v in MEAN)
    return cv2.dnn.blobFromImage(cv2.imread(path), 1 / 255, (224, 224), mean, swapRB=True)


def raw(path):
    return cv2.dnn.blobFromImage(cv2.imread(path), 1.0, (60, 60))


def as_documented(path):
    return cv2.dnn.blobFromImage(cv2.imread(path), 0.0039, (60, 60), mean=(120, 110, 104))


def transparency_dropped(path):
    im = Image.open(path).convert("RGB")
    return np.float32(im.resize((96, 96), Image.BILINEAR))[None] / 255


def premultiplied(path):
    im = Image.open(path)
    if im.mode in ("RGBA", "LA"):
        x = np.float32(im.convert("RGBA"))
        im = Image.fromarray(np.uint8(np.rint(x[..., :3] * x[..., 3:] / 255)))
    return np.float32(im.convert("RGB").resize((96, 96), Image.BILINEAR))[None] / 255


def unsharp(path):
    x = np.float32(_rgb(path))
    x = np.clip(x + 0.8 * (x - cv2.GaussianBlur(x, (0, 0), 1.5)), 0, 255)
    return np.float32(cv2.resize(np.uint8(np.rint(x)), (96, 96)))[None] / 255


def wide_gamut(path):
    """Pixels of a wide gamut taken for sRGB."""
    m = np.float64([[0.8225, 0.1774, 0], [0.0332, 0.9669, 0], [0.0171, 0.0724, 0.9108]])
    x = (_small(path) / 255.0) ** 2.2 @ m.T
    return np.float32(np.clip(x, 0, 1) ** (1 / 2.2))[None]


def ten_bits_cut(path):
    return np.float32(_small(path) >> 3 << 3)[None] / 255


def studio_levels(path):
    x = np.rint(_small(path) * (219 / 255) + 16)
    return np.float32(x)[None] / 255


def other_mode(path):
    x = np.float32(cv2.resize(cv2.imread(path), (96, 96)))
    return (x - np.float32([103.939, 116.779, 123.68]))[None]


def gray_camera(path):
    g = cv2.cvtColor(_small(path), cv2.COLOR_RGB2GRAY)
    return np.float32(np.repeat(g[..., None], 3, -1))[None] / 255


def unit_length(path):
    x = np.float32(_small(path))[None]
    return x / max(float(np.linalg.norm(x)), 1e-6)


def percentiles(path):
    x = np.float32(_small(path))
    lo, hi = np.percentile(x, (2, 98))
    return np.clip((x - lo) / max(hi - lo, 1), 0, 1)[None].astype(np.float32)


def gray_world(path):
    x = np.float32(_small(path))
    x = x * (x.mean() / np.maximum(x.mean((0, 1)), 1))
    return np.clip(x, 0, 255)[None] / 255


# faces
def arc(path, landmarks):
    return good.arc_forward(path, landmarks)


def arc_upside_down(path, landmarks):
    return np.ascontiguousarray(arc(path, landmarks)[..., ::-1, ::-1])


def arc_of_selfie(path, landmarks):
    """The front camera's picture is mirrored, its landmarks are not."""
    x = np.ascontiguousarray(_rgb(path)[:, ::-1])
    return network(cv2.warpAffine(x, similarity(landmarks, FIVE), (112, 112)))


def arc_160(path, landmarks):
    m = similarity(landmarks, FIVE * (160 / 112))
    return network(cv2.warpAffine(_rgb(path), m, (160, 160)))


def arc_enlarged(path, landmarks):
    x = cv2.warpAffine(_rgb(path), similarity(landmarks, FIVE), (112, 112))
    return network(cv2.resize(x, (160, 160)))


def narrow_squeezed(path, landmarks):
    x = cv2.warpAffine(_rgb(path), similarity(landmarks, FIVE - [8, 0]), (96, 112))
    return network(cv2.resize(x, (112, 112)))


def _face(path, box, grow=(0.0, 0.0), offset=(0, 0)):
    x = _rgb(path)
    w, h = box[2] - box[0], box[3] - box[1]
    x1, x2 = box[0] - grow[0] * w + offset[0], box[2] + grow[0] * w + offset[0]
    y1, y2 = box[1] - grow[1] * h + offset[1], box[3] + grow[1] * h + offset[1]
    x1 = min(max(0, round(x1)), x.shape[1] - 2)
    y1 = min(max(0, round(y1)), x.shape[0] - 2)
    x2, y2 = min(x.shape[1], round(x2)), min(x.shape[0], round(y2))
    return np.float32(cv2.resize(np.ascontiguousarray(x[y1:y2, x1:x2]), (96, 96)))[None] / 255


def face(path, box):
    return _face(path, box)


def face_with_bars_left_in(path, box):
    return _face(path, box, offset=(0, 20))


def face_from_centre(path, box):
    """A box of centre and size, read as corner and size."""
    w, h = box[2] - box[0], box[3] - box[1]
    return _face(path, box, offset=(w / 2, h / 2))


def face_taller(path, box):
    return _face(path, box, grow=(0.1, 0.3))


def face_inclusive(path, box):
    x = _rgb(path)
    x1, y1, x2, y2 = (max(0, round(v)) for v in box)
    cut = np.ascontiguousarray(x[y1 : y2 + 1, x1 : x2 + 1])
    return np.float32(cv2.resize(cut, (96, 96)))[None] / 255
