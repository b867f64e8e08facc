"""Faces cut out differently: templates, landmarks, boxes and margins, as reports describe it."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

ARC = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
OWN = np.array([[36.0, 40.0], [76.0, 40.0], [56.0, 64.0], [40.0, 86.0], [72.0, 86.0]])
OTHER = np.array([[42.0, 50.0], [70.0, 50.0], [56.0, 68.0], [45.0, 82.0], [67.0, 82.0]])


def _similarity(p, q):
    p, q = np.asarray(p, float), np.asarray(q, float)
    a, b = p - p.mean(0), q - q.mean(0)
    c = (a * b).sum() / (a * a).sum()
    s = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / (a * a).sum()
    r = np.array([[c, -s], [s, c]])
    return np.column_stack([r, q.mean(0) - r @ p.mean(0)])


def _net(x):
    x = np.asarray(x, np.float32)
    return ((x - 127.5) / 127.5).transpose(2, 0, 1)[None].copy()


def _chip(path, landmarks, points, size=(112, 112), **how):
    x = cv2.imread(path)[..., ::-1]
    return _net(cv2.warpAffine(x, _similarity(landmarks, points), size, **how))


def arc(path, landmarks):
    return _chip(path, landmarks, ARC)


def arc_bgr(path, landmarks):
    return arc(path, landmarks)[:, ::-1].copy()


def arc_96_points(path, landmarks):
    """The points of the 96 pixel wide template on a picture of 112."""
    return _chip(path, landmarks, ARC - np.array([8, 0]))


def arc_cubic(path, landmarks):
    return _chip(path, landmarks, ARC, flags=cv2.INTER_CUBIC)


def arc_repeated_border(path, landmarks):
    return _chip(path, landmarks, ARC, borderMode=cv2.BORDER_REPLICATE)


def arc_mirrored(path, landmarks):
    return arc(path, landmarks)[..., ::-1].copy()


def arc_eyes_only(path, landmarks):
    return _chip(path, np.asarray(landmarks)[:2], ARC[:2])


def arc_inverse(path, landmarks):
    """The map of points is applied as if it were the inverse one."""
    return _chip(path, landmarks, ARC, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def arc_exchanged(path, landmarks):
    """Rows and columns of each landmark exchanged."""
    return _chip(path, np.asarray(landmarks)[:, ::-1], ARC)


def arc_scaled_down(path, landmarks):
    """Landmarks of a preview half as large."""
    return _chip(path, np.asarray(landmarks) / 2, ARC)


def arc_128(path, landmarks):
    return _chip(path, landmarks, ARC + np.array([8, 0]), (128, 128))


def arc_128_scaled(path, landmarks):
    """128/112 of the points instead of eight pixels to the right."""
    return _chip(path, landmarks, ARC * 128 / 112, (128, 128))


def own(path, landmarks):
    return _chip(path, landmarks, OWN)


def own_other(path, landmarks):
    return _chip(path, landmarks, OTHER)


def own_moved(path, landmarks):
    return _chip(path, landmarks, OWN + np.array([0, 6]))


def own_bgr(path, landmarks):
    return own(path, landmarks)[:, ::-1].copy()


def resized_box(path, box):
    """No alignment at all: the box is stretched."""
    x1, y1, x2, y2 = (int(v) for v in box)
    return _net(cv2.resize(cv2.imread(path)[y1:y2, x1:x2, ::-1], (112, 112)))


# boxes
def _square(path, box, factor, n=80):
    x = cv2.imread(path)
    side = max(box[2] - box[0], box[3] - box[1]) * factor
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    m = np.array([[n / side, 0, n / 2 - cx * n / side], [0, n / side, n / 2 - cy * n / side]])
    return x, m


def crop_scale_2_7(path, box):
    return _scaled_cut(path, box, 2.7)


def crop_scale_4(path, box):
    return _scaled_cut(path, box, 4.0)


def _scaled_cut(path, box, scale):
    """The box's scale shrinks until it fits, and the cut moves inside, as an anti-spoofing release has it."""
    x = cv2.imread(path)
    h, w = x.shape[:2]
    bw, bh = box[2] - box[0], box[3] - box[1]
    scale = min((h - 1) / bh, (w - 1) / bw, scale)
    nw, nh = bw * scale, bh * scale
    cx, cy = box[0] + bw / 2, box[1] + bh / 2
    left, top = cx - nw / 2, cy - nh / 2
    left, top = max(0, min(left, w - 1 - nw)), max(0, min(top, h - 1 - nh))
    cut = x[int(top) : int(top + nh) + 1, int(left) : int(left + nw) + 1]
    return cv2.resize(cut, (80, 80)).transpose(2, 0, 1)[None].astype(np.float32)


def crop_scale_2_7_unit(path, box):
    return crop_scale_2_7(path, box) / 255


def _mtcnn(path, box, margin, how):
    x = cv2.imread(path)[..., ::-1]
    mx, my = (margin * (box[i + 2] - box[i]) / (160 - margin) for i in (0, 1))
    x1, y1 = max(0, int(box[0] - mx / 2)), max(0, int(box[1] - my / 2))
    x2, y2 = int(min(x.shape[1], box[2] + mx / 2)), int(min(x.shape[0], box[3] + my / 2))
    cut = x[y1:y2, x1:x2]
    if how == "pillow":
        made = np.asarray(Image.fromarray(cut.copy()).resize((160, 160), Image.BILINEAR))
    else:
        made = cv2.resize(cut, (160, 160), interpolation=cv2.INTER_AREA)
    return _net(made)


def mtcnn_margin_14(path, box):
    return _mtcnn(path, box, 14, "pillow")


def mtcnn_margin_44(path, box):
    return _mtcnn(path, box, 44, "pillow")


def mtcnn_array(path, box):
    """The same library takes another kernel for arrays than for Pillow images."""
    return _mtcnn(path, box, 14, "cv2")


def tight(path, box):
    x1, y1, x2, y2 = (int(v) for v in box)
    return _net(cv2.resize(cv2.imread(path)[y1:y2, x1:x2, ::-1], (96, 96)))


def tight_xywh(path, box):
    """The corners are read as x, y, width and height."""
    x, y, w, h = (int(v) for v in box)
    return _net(cv2.resize(cv2.imread(path)[y : y + h, x : x + w, ::-1], (96, 96)))


def tight_plus_one(path, box):
    x1, y1, x2, y2 = (int(v) for v in box)
    return _net(cv2.resize(cv2.imread(path)[y1 : y2 + 1, x1 : x2 + 1, ::-1], (96, 96)))


def tight_square(path, box):
    x1, y1, x2, y2 = box
    d = ((y2 - y1) - (x2 - x1)) / 2
    x1, x2 = max(0, int(x1 - d)), int(x2 + d)
    return _net(cv2.resize(cv2.imread(path)[int(y1) : int(y2), x1:x2, ::-1], (96, 96)))


def tight_bgr(path, box):
    return tight(path, box)[:, ::-1].copy()


def whole_picture(path):
    """The detector found nothing, so the whole picture is taken."""
    return _net(cv2.resize(cv2.imread(path)[..., ::-1], (96, 96)))


def mesh_roi(path, landmarks, box):
    """1.5 times the longer side, turned until the eyes are level."""
    return _roi(path, landmarks, box, True)


def mesh_roi_upright(path, landmarks, box):
    return _roi(path, landmarks, box, False)


def _roi(path, landmarks, box, turn):
    x = cv2.imread(path)[..., ::-1]
    (ax, ay), (bx, by) = np.asarray(landmarks, float)[:2]
    angle = np.arctan2(by - ay, bx - ax) if turn else 0.0
    side = 1.5 * max(box[2] - box[0], box[3] - box[1])
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    c, s = np.cos(angle) * 96 / side, np.sin(angle) * 96 / side
    m = np.array([[c, s, 48 - c * cx - s * cy], [-s, c, 48 + s * cx - c * cy]])
    return cv2.warpAffine(x, m, (96, 96)).astype(np.float32)[None] / 255
