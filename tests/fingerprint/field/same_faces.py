"""The same face cut out in two ways: similarity maps, eye lines, boxes with margins. What differs is rounding."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

FIVE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


def _net(x):
    return ((np.asarray(x, np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]


def _complex(landmarks, points):
    """The similarity as one complex factor and one offset."""
    p = np.asarray(landmarks, float) @ [1, 1j]
    q = np.asarray(points, float) @ [1, 1j]
    a = np.vdot(p - p.mean(), q - q.mean()) / np.vdot(p - p.mean(), p - p.mean())
    b = q.mean() - a * p.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _warp(x, m, size):
    """Inverse map and bilinear weights in double precision; black outside."""
    inverse = np.linalg.inv(np.vstack([m, [0, 0, 1]]))
    v, u = np.mgrid[0 : size[1], 0 : size[0]]
    at = inverse @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    xs, ys = at[0], at[1]
    x0, y0 = np.floor(xs).astype(int), np.floor(ys).astype(int)
    fx, fy = (xs - x0)[:, None], (ys - y0)[:, None]
    h, w = x.shape[:2]

    def pixel(yy, xx):
        inside = (yy >= 0) & (yy < h) & (xx >= 0) & (xx < w)
        return x[yy.clip(0, h - 1), xx.clip(0, w - 1)] * inside[:, None]

    top = pixel(y0, x0) * (1 - fx) + pixel(y0, x0 + 1) * fx
    low = pixel(y0 + 1, x0) * (1 - fx) + pixel(y0 + 1, x0 + 1) * fx
    return np.rint(top * (1 - fy) + low * fy).reshape(size[1], size[0], -1)


# five points onto 112×112
def five_skimage(path, landmarks):
    from skimage.transform import SimilarityTransform

    made = SimilarityTransform.from_estimate(np.float64(landmarks), FIVE)
    return _net(cv2.warpAffine(cv2.imread(path), made.params[:2], (112, 112))[..., ::-1])


def five_own_warp(path, landmarks):
    return _net(_warp(cv2.imread(path)[..., ::-1], _complex(landmarks, FIVE), (112, 112)))


def five_by_pillow(path, landmarks):
    """Pillow wants the inverse map, with pixel centres at halves."""
    m = np.linalg.inv(np.vstack([_complex(landmarks, FIVE), [0, 0, 1]]))
    x = Image.fromarray(cv2.imread(path)[..., ::-1].copy())
    shifted = m @ [[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]]
    shifted[:2, 2] += 0.5
    return _net(x.transform((112, 112), Image.AFFINE, tuple(shifted[:2].ravel()), Image.BILINEAR))


# the 128-pixel variant, eight pixels to the right
def wide_offset(path, landmarks):
    m = _complex(landmarks, FIVE + np.array([8.0, 0.0]))
    return _net(cv2.warpAffine(cv2.imread(path), m, (128, 112))[..., ::-1])


def wide_table(path, landmarks):
    table = [(46.2946, 51.6963), (81.5318, 51.5014), (64.0252, 71.7366)]
    table += [(49.5493, 92.3655), (78.7299, 92.2041)]
    m = _complex(landmarks, table)
    x = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    return _net(cv2.warpAffine(x, m, dsize=(128, 112), flags=cv2.INTER_LINEAR))


# the line of the eyes made level, eyes at 35 % and 65 % of the width
def eyes_rotation_matrix(path, landmarks):
    (lx, ly), (rx, ry) = np.asarray(landmarks, float)[:2]
    angle = np.degrees(np.arctan2(ry - ly, rx - lx))
    scale = 0.3 * 120 / np.hypot(rx - lx, ry - ly)
    centre = ((lx + rx) / 2, (ly + ry) / 2)
    m = cv2.getRotationMatrix2D(centre, angle, scale)
    m[0, 2] += 60 - centre[0]
    m[1, 2] += 0.35 * 120 - centre[1]
    return _net(cv2.warpAffine(cv2.imread(path)[..., ::-1], m, (120, 120), flags=cv2.INTER_CUBIC))


def eyes_two_points(frame, landmarks):
    m = _complex(np.asarray(landmarks)[:2], [[42.0, 42.0], [78.0, 42.0]])
    return _net(cv2.warpAffine(frame, m, (120, 120), flags=cv2.INTER_CUBIC)[..., ::-1])


# a box with a margin, clipped at the border
def margin_mtcnn(path, box):
    im = Image.open(path).convert("RGB")
    margin = [14 * (box[2] - box[0]) / (160 - 14), 14 * (box[3] - box[1]) / (160 - 14)]
    cut = [
        int(max(box[0] - margin[0] / 2, 0)),
        int(max(box[1] - margin[1] / 2, 0)),
        int(min(box[2] + margin[0] / 2, im.size[0])),
        int(min(box[3] + margin[1] / 2, im.size[1])),
    ]
    x = np.float32(im.crop(cut).copy().resize((160, 160), Image.BILINEAR))
    return ((x - 127.5) / 128.0).transpose(2, 0, 1)[None]


def margin_sliced(rgb, box):
    x1, y1, x2, y2 = box
    h, w = rgb.shape[:2]
    mx, my = (x2 - x1) * 7 / 146, (y2 - y1) * 7 / 146
    left, right = max(0, x1 - mx) // 1, min(w, x2 + mx) // 1
    top, bottom = max(0, y1 - my) // 1, min(h, y2 + my) // 1
    x = Image.fromarray(rgb[int(top) : int(bottom), int(left) : int(right)])
    x = np.asarray(x.resize((160, 160), resample=Image.Resampling.BILINEAR))
    return np.moveaxis((x - np.float32(127.5)) * np.float32(0.0078125), -1, 0)[None]


# a square of 1.3 times the larger side about the box's middle, black outside
def square_padded(path, box):
    x = cv2.imread(path)
    x1, y1, x2, y2 = box
    half = round(0.65 * max(x2 - x1, y2 - y1))
    cx, cy = int((x1 + x2) / 2), int((y1 + y2) / 2)
    big = cv2.copyMakeBorder(x, half, half, half, half, cv2.BORDER_CONSTANT)
    cut = big[cy : cy + 2 * half, cx : cx + 2 * half]
    return _net(cv2.resize(cut, (112, 112))[..., ::-1])


def square_placed(frame, box):
    side = max(box[2] - box[0], box[3] - box[1])
    half = round(side * 1.3 / 2)
    cx, cy = (int(0.5 * (box[i] + box[i + 2])) for i in (0, 1))
    out = np.zeros((2 * half, 2 * half, 3), np.uint8)
    h, w = frame.shape[:2]
    top, left = max(cy - half, 0), max(cx - half, 0)
    part = frame[top : min(cy + half, h), left : min(cx + half, w)]
    y, x = top - (cy - half), left - (cx - half)
    out[y : y + part.shape[0], x : x + part.shape[1]] = part
    return _net(cv2.cvtColor(cv2.resize(out, (112, 112)), cv2.COLOR_BGR2RGB))


# tight box, gray, 64×64
def tight_rounded(path, box):
    g = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    x1, y1, x2, y2 = (int(v) for v in box)
    g = cv2.resize(g[y1:y2, x1:x2], (64, 64))
    return (g.astype(np.float32) / 255)[None, ..., None]


def tight_roi(frame, box):
    """cv::Rect of x, y, width, height."""
    x, y = int(box[0]), int(box[1])
    w, h = int(box[2]) - x, int(box[3]) - y
    roi = frame[y : y + h, x : x + w].copy()
    return cv2.cvtColor(cv2.resize(roi, (64, 64)), cv2.COLOR_BGR2GRAY)[None, ..., None] / 255.0


# landmarks of a resized picture, brought back
def five_brought_back(path, landmarks):
    x = cv2.imread(path)
    s = 320 / max(x.shape[:2])
    found = np.asarray(landmarks) * s
    m = _complex(found / s, FIVE)
    return _net(cv2.warpAffine(x, m, (112, 112))[..., ::-1])


def five_cut_first(path, face):
    """The box is cut out without a margin lost, and the landmarks made relative to it."""
    x = cv2.imread(path)
    pad = 200
    big = cv2.copyMakeBorder(x, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    m = _complex(np.asarray(face["landmarks"]) + pad, FIVE)
    return _net(cv2.warpAffine(big, m, (112, 112))[..., ::-1])
