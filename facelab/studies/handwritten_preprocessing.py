"""Preprocessing as it is written by hand: OpenCV or Pillow for pixels, numpy to normalise and transpose.

Each function takes uint8 pixels (height, width, 3) in its model's channel order and a face, and gives the tensor. They
are peers for notebook 10: what they compute is measured against the reference like every other program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from facelab.preprocess import presets
from facelab.preprocess.align import estimate
from facelab.preprocess.ops import Align


def yunet(pixels: np.ndarray, face: dict) -> np.ndarray:
    """Letterbox into 320×320 from the top-left corner, BGR as it is."""
    import cv2

    h, w = pixels.shape[:2]
    scale = min(320 / w, 320 / h)
    inner = cv2.resize(pixels, (int(w * scale + 1e-9), int(h * scale + 1e-9)))
    canvas = np.zeros((320, 320, 3), np.uint8)
    canvas[: inner.shape[0], : inner.shape[1]] = inner
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)


def ultraface(pixels: np.ndarray, face: dict) -> np.ndarray:
    """Resize to 320×240, (x − 127) / 128, channels first."""
    import cv2

    x = (cv2.resize(pixels, (320, 240)).astype(np.float32) - 127) / 128
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def mini_xception(pixels: np.ndarray, face: dict) -> np.ndarray:
    """Gray, resize to 48×48, (x − 127.5) / 127.5."""
    import cv2

    x = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), (48, 48))
    return ((x.astype(np.float32) - 127.5) / 127.5)[None, ..., None]


@functools.cache
def _arcface_stage() -> Align:
    stage = presets.preset("arcface-r50").find("align")
    assert isinstance(stage, Align)
    return stage


def arcface(pixels: np.ndarray, face: dict) -> np.ndarray:
    """Align to 112×112, (x − 127.5) / 127.5, channels first."""
    import cv2

    matrix = estimate(face["landmarks"], _arcface_stage())
    x = cv2.warpAffine(pixels, matrix, (112, 112)).astype(np.float32)
    return np.ascontiguousarray(((x - 127.5) / 127.5).transpose(2, 0, 1)[None])


def facenet(pixels: np.ndarray, face: dict) -> np.ndarray:
    """Crop the face with a margin, resize to 160×160 by Pillow, (x − 127.5) / 128."""
    from PIL import Image

    x1, y1, x2, y2 = face["box"]
    side = max(x2 - x1, y2 - y1) * 1.2
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    left, top = int(np.floor(cx - side / 2 + 0.5)), int(np.floor(cy - side / 2 + 0.5))
    right = int(np.floor(cx + side / 2 + 0.5))
    rows = np.clip(np.arange(top, top + right - left), 0, pixels.shape[0] - 1)
    columns = np.clip(np.arange(left, right), 0, pixels.shape[1] - 1)
    crop = Image.fromarray(pixels[rows[:, None], columns[None]])
    x = np.asarray(crop.resize((160, 160), Image.Resampling.BILINEAR), np.float32)
    return ((x - 127.5) / 128)[None]


BY_HAND: dict[str, tuple[str, Callable[[np.ndarray, dict], np.ndarray]]] = {
    "yunet-n-320": ("OpenCV", yunet),
    "ultraface-rfb-320": ("OpenCV", ultraface),
    "mini-xception-48px": ("OpenCV", mini_xception),
    "arcface-r50": ("OpenCV", arcface),
    "facenet": ("Pillow", facenet),
}
"""Specification → library, and the function that does the same by hand."""
