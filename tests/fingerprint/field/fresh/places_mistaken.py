"""What reports describe, written again: kernels, crops, letterboxes, faces."""

from __future__ import annotations

import cv2
import numpy as np
from face_points import FIVE, network, similarity
from PIL import Image, ImageOps


def _unit(x):
    return np.ascontiguousarray(np.float32(x).transpose(2, 0, 1)[None]) / np.float32(255)


def _read(path):
    return cv2.imread(path)[..., ::-1]


def linear(path):
    return _unit(cv2.resize(_read(path), (120, 120)))


def corners_in_place(path):
    """The matrix maps the first and the last pixel onto each other."""
    x = _read(path)
    h, w = x.shape[:2]
    m = np.float64([[119 / (w - 1), 0, 0], [0, 119 / (h - 1), 0]])
    return _unit(cv2.warpAffine(x, m, (120, 120), borderMode=cv2.BORDER_REPLICATE))


def factors_exchanged(path):
    """The matrix divides x by the height and y by the width."""
    x = _read(path)
    h, w = x.shape[:2]
    m = np.float64([[120 / h, 0, 0], [0, 120 / w, 0]])
    return _unit(cv2.warpAffine(x, m, (120, 120)))


def bicubic_pillow(path):
    im = Image.open(path).convert("RGB")
    return _unit(np.asarray(im.resize((120, 120), Image.BICUBIC)))


def bicubic_cv2(rgb):
    return _unit(cv2.resize(rgb, (120, 120), interpolation=cv2.INTER_CUBIC))


def _middle_of(path, side):
    im = Image.open(path).convert("RGB")
    w, h = im.size
    size = (side, int(side * h / w)) if w <= h else (int(side * w / h), side)
    im = im.resize(size, Image.BILINEAR)
    left, top = round((size[0] - 112) / 2), round((size[1] - 112) / 2)
    return _unit(np.asarray(im.crop((left, top, left + 112, top + 112))))


def short_side(path):
    return _middle_of(path, 128)


def height_always(path):
    """The height is brought to 128, whichever side is shorter; what is missing is black."""
    im = Image.open(path).convert("RGB")
    im = im.resize((int(128 * im.width / im.height), 128), Image.BILINEAR)
    left, top = round((im.width - 112) / 2), round((im.height - 112) / 2)
    return _unit(np.asarray(im.crop((left, top, left + 112, top + 112))))


def crop_share_95(path):
    return _middle_of(path, 118)


def zoomed(path):
    """The camera's digital zoom: the middle 80 %."""
    x = _read(path)
    h, w = x.shape[:2]
    dy, dx = int(h * 0.1), int(w * 0.1)
    return _unit(cv2.resize(x[dy : h - dy, dx : w - dx], (120, 120)))


def wide_screen(path):
    """A sensor of 4:3 gives 16:9: rows above and below are gone."""
    x = _read(path)
    h, w = x.shape[:2]
    keep = min(h, round(w * 9 / 16))
    top = (h - keep) // 2
    return _unit(cv2.resize(x[top : top + keep], (120, 120)))


def exif_applied(path):
    im = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return _unit(cv2.resize(np.asarray(im), (120, 120)))


def exif_applied_twice(path):
    im = Image.open(path)
    how = im.getexif().get(0x0112, 1)
    im = ImageOps.exif_transpose(im).convert("RGB")
    turns = {3: Image.ROTATE_180, 6: Image.ROTATE_270, 8: Image.ROTATE_90, 2: Image.FLIP_LEFT_RIGHT}
    turns |= {4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE, 7: Image.TRANSVERSE}
    if how in turns:
        im = im.transpose(turns[how])
    return _unit(cv2.resize(np.asarray(im), (120, 120)))


def kept_aspect_centred(path):
    """Black bars, values from -1 to 1."""
    x = _read(path)
    h, w = x.shape[:2]
    r = 128 / max(h, w)
    nw, nh = round(w * r), round(h * r)
    out = np.zeros((128, 128, 3), np.uint8)
    top, left = (128 - nh) // 2, (128 - nw) // 2
    out[top : top + nh, left : left + nw] = cv2.resize(x, (nw, nh))
    return np.float32(out / 127.5 - 1)[None]


def squeezed_unit(path):
    return np.float32(cv2.resize(_read(path), (128, 128)) / 255)[None]


# faces
def aligned(path, landmarks):
    return network(cv2.warpAffine(_read(path), similarity(landmarks, FIVE), (112, 112)))


def aligned_xy_exchanged(path, landmarks):
    p = np.asarray(landmarks)[:, ::-1]
    return network(cv2.warpAffine(_read(path), similarity(p, FIVE), (112, 112)))


def aligned_whole_landmarks(path, landmarks):
    p = np.asarray(landmarks).astype(int)
    return network(cv2.warpAffine(_read(path), similarity(p, FIVE), (112, 112)))


def aligned_from_cut(path, landmarks, box):
    """The tight box is cut out first, so the corners are black."""
    x = _read(path)
    h, w = x.shape[:2]
    x1, y1 = max(int(box[0]), 0), max(int(box[1]), 0)
    x2, y2 = min(int(box[2]), w), min(int(box[3]), h)
    p = np.asarray(landmarks, float) - [x1, y1]
    cut = np.ascontiguousarray(x[y1:y2, x1:x2])
    return network(cv2.warpAffine(cut, similarity(p, FIVE), (112, 112)))


def aligned_zoomed_out(path, landmarks):
    """The template is drawn together to make room for the hair."""
    points = (FIVE - 56) * 0.8 + 56
    return network(cv2.warpAffine(_read(path), similarity(landmarks, points), (112, 112)))


def aligned_affine(path, landmarks):
    """Three points and a full affine map, which shears."""
    p, q = np.float32(np.asarray(landmarks)[:3]), np.float32(FIVE[:3])
    return network(cv2.warpAffine(_read(path), cv2.getAffineTransform(p, q), (112, 112)))


def aligned_gray_bgr(path, landmarks):
    x = network(cv2.warpAffine(_read(path)[..., ::-1], similarity(landmarks, FIVE), (112, 112)))
    return x / 127.5


def boxed(path, box):
    x = _read(path)
    h, w = x.shape[:2]
    x1, y1 = max(round(box[0]), 0), max(round(box[1]), 0)
    x2, y2 = min(round(box[2]), w), min(round(box[3]), h)
    return network(cv2.resize(x[y1:y2, x1:x2], (96, 96)))


def boxed_transposed(path, box):
    return np.ascontiguousarray(boxed(path, box).transpose(0, 1, 3, 2))


def boxed_offsets(path, box):
    """20 and 40 pixels more about the box."""
    x = _read(path)
    h, w = x.shape[:2]
    x1, y1 = max(round(box[0]) - 20, 0), max(round(box[1]) - 40, 0)
    x2, y2 = min(round(box[2]) + 20, w), min(round(box[3]) + 40, h)
    return network(cv2.resize(x[y1:y2, x1:x2], (96, 96)))


def boxed_of_turned(path, landmarks, box):
    """The picture is turned until the eyes are level; the box stays where it was."""
    x = _read(path)
    e = np.asarray(landmarks, float)
    angle = np.degrees(np.arctan2(e[1, 1] - e[0, 1], e[1, 0] - e[0, 0]))
    h, w = x.shape[:2]
    x = cv2.warpAffine(x, cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1), (w, h))
    x1, y1 = max(round(box[0]), 0), max(round(box[1]), 0)
    x2, y2 = min(round(box[2]), w), min(round(box[3]), h)
    return network(cv2.resize(x[y1:y2, x1:x2], (96, 96)))


def squared(path, box):
    """A square of 1.4 times the larger side, black outside."""
    x = _read(path)
    half = 0.7 * max(box[2] - box[0], box[3] - box[1])
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    k = 96 / (2 * half)
    m = np.float64([[k, 0, 47.5 - k * (cx - 0.5)], [0, k, 47.5 - k * (cy - 0.5)]])
    return network(cv2.warpAffine(x, m, (96, 96)))


def squared_reflected(path, box):
    x = _read(path)
    half = 0.7 * max(box[2] - box[0], box[3] - box[1])
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    k = 96 / (2 * half)
    m = np.float64([[k, 0, 47.5 - k * (cx - 0.5)], [0, k, 47.5 - k * (cy - 0.5)]])
    return network(cv2.warpAffine(x, m, (96, 96), borderMode=cv2.BORDER_REFLECT_101))


# gray networks
def gray_centred(path):
    g = cv2.resize(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY), (64, 64))
    return ((np.float32(g) / 255 - 0.5) * 2)[None, ..., None]


def gray_unit(path):
    g = cv2.resize(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY), (64, 64))
    return (np.float32(g) / 255)[None, ..., None]


def gray_saturation_plane(path):
    """The second plane of HSV taken for brightness."""
    x = cv2.cvtColor(cv2.resize(cv2.imread(path), (64, 64)), cv2.COLOR_BGR2HSV)
    return (np.float32(x[..., 1]) / 255)[None, ..., None]


def gray_local_mean(path):
    """Each place has the mean of its neighbourhood taken away."""
    x = gray_unit(path)
    return x - cv2.blur(x[0, ..., 0], (15, 15))[None, ..., None]
