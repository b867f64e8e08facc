"""The planted pipelines' code: OpenCV, Pillow and numpy as it is found in the field, steered by settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from facelab.fingerprint.capture import as_array

ARCFACE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
BASES_DECODER = {"nhwc": "pillow", "nchw": "opencv"}
KR = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


def run(path: str, s: dict) -> np.ndarray:
    """Preprocess one file as the settings say."""
    x = decode(path, s)
    x = geometry(x, s, path)
    return values(x, s)


def decode(path: str, s: dict) -> np.ndarray:
    """Return a file's pixels (h, w, 3) uint8 RGB by the decoder that the settings name."""
    import cv2
    from PIL import Image, ImageOps

    how = s["decode"]
    if how == "other":
        how = "pillow" if BASES_DECODER[s["layout"]] == "opencv" else "opencv"
    exif = s.get("exif", True)
    if how == "opencv":
        flags = cv2.IMREAD_COLOR if exif else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        x = np.asarray(cv2.imread(path, flags))[..., ::-1]
    else:
        image = Image.open(path)
        size = image.size
        if how == "draft":
            image.draft("RGB", (size[0] // 2, size[1] // 2))
        image = (
            image
            if image.mode not in ("I", "I;16")
            else Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        )
        image = ImageOps.exif_transpose(image) if exif else image
        if how == "draft" and max(image.size) < max(size):
            turned = image.getexif().get(0x0112, 1) > 4 or (image.size[0] > image.size[1]) != (
                size[0] > size[1]
            )
            image = image.resize((size[1], size[0]) if turned else size)
        x = np.asarray(image.convert("RGB"))
    x = np.ascontiguousarray(x)
    if "recode" in s:
        x = recoded(x, *s["recode"])
    if "stride" in s:
        h, w = x.shape[:2]
        rows = np.zeros((h, -(-3 * w // s["stride"]) * s["stride"]), np.uint8)
        rows[:, : 3 * w] = x.reshape(h, 3 * w)
        x = rows.ravel()[: h * w * 3].reshape(h, w, 3)
    return x


def recoded(x: Any, matrix: Any, span: Any, matrix2: Any, span2: Any) -> np.ndarray:
    """Through YUV, written by one convention and read by another."""

    def parts(m):
        kr, kb = KR[m]
        return kr, 1 - kr - kb, kb

    kr, kg, kb = parts(matrix)
    r, g, b = (x[..., i].astype(np.float64) for i in range(3))
    y = kr * r + kg * g + kb * b
    u, v = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    if span == "limited":
        y, u, v = 16 + y * 219 / 255, u * 224 / 255, v * 224 / 255
    y, u, v = np.round(y), np.round(u), np.round(v)
    if span2 == "limited":
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    kr, kg, kb = parts(matrix2)
    r, b = y + (2 - 2 * kr) * v, y + (2 - 2 * kb) * u
    g = (y - kr * r - kb * b) / kg
    return np.clip(np.round(np.stack([r, g, b], -1)), 0, 255).astype(np.uint8)


def resize(x: Any, size: Any, how: Any, *, real: Any = False) -> Any:
    """Return x (h, w[, c]) at `size` (width, height) by one of the field's resizers; `real` resizes in float32."""
    import cv2
    from PIL import Image

    if how.startswith("pil-"):
        return np.asarray(
            Image.fromarray(x).resize(
                size, {"pil-bilinear": 2, "pil-lanczos": 1, "pil-bicubic": 3}[how]
            )
        )
    if how in ("legacy", "corner"):
        h, w = x.shape[:2]
        step = (
            (w / size[0], h / size[1])
            if how == "legacy"
            else ((w - 1) / (size[0] - 1), (h - 1) / (size[1] - 1))
        )
        gx, gy = np.meshgrid(np.arange(size[0]) * step[0], np.arange(size[1]) * step[1])
        return cv2.remap(
            x,
            gx.astype(np.float32),
            gy.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    code = {
        "cv-linear": cv2.INTER_LINEAR,
        "cv-area": cv2.INTER_AREA,
        "cv-cubic": cv2.INTER_CUBIC,
        "cv-nearest": cv2.INTER_NEAREST,
    }[how]
    return cv2.resize(x.astype(np.float32) if real else x, size, interpolation=code)


def cut(x: Any, s: Any) -> str | np.ndarray:
    """Return the middle of x (h, w, 3): its square, a `fraction` of each side, or with a margin of repeated edges."""
    h, w = x.shape[:2]
    if s.get("crop") == "square":
        n = min(h, w)
        y, x0 = (h - n) // 2, (w - n) // 2
        x = x[y : y + n, x0 : x0 + n]
    if s.get("crop") == "wide":
        keep = min(h, round(w * 9 / 16))
        y = (h - keep) // 2
        x = x[y : y + keep]
    f = s.get("fraction")
    if f is None:
        return x
    h, w = x.shape[:2]
    if f < 1:
        ch, cw = round(h * f), round(w * f)
        y, x0 = (h - ch) // 2, (w - cw) // 2
        return x[y : y + ch, x0 : x0 + cw]
    py, px = round(h * (f - 1) / 2), round(w * (f - 1) / 2)
    return np.pad(x, ((py, py), (px, px), (0, 0)), mode="edge")


def geometry(x: Any, s: Any, path: Any) -> Any:
    """Return x (h, w, c) cut, aligned or resized, turned and shifted as the settings say."""
    import cv2

    x = np.ascontiguousarray(cut(x, s)) if s.get("order") != "resize-crop" else x
    if s["colour"] == "gray" and not s.get("gray_late"):
        x = to_gray(x, s)
    size, real = s["size"], bool(s.get("float_resize"))
    if s.get("align"):
        x = aligned(x, s, path)
    elif s.get("order") == "resize-crop":
        h, w = x.shape[:2]
        k = size[0] / min(h, w)
        x = resize(x, (round(w * k), round(h * k)), s["resize"])
        y0, x0 = (x.shape[0] - size[1]) // 2, (x.shape[1] - size[0]) // 2
        x = x[y0 : y0 + size[1], x0 : x0 + size[0]]
    elif s.get("fit", "stretch").startswith("letterbox"):
        h, w = x.shape[:2]
        k = min(size[0] / w, size[1] / h)
        nw, nh = max(1, int(w * k + 1e-9)), max(1, int(h * k + 1e-9))
        odd = int(s["fit"] == "letterbox-up")
        middle = int(s["fit"] != "letterbox-top-left")
        left, top = (middle * (a - b + odd) // 2 for a, b in zip(size, (nw, nh)))
        small = resize(x, (nw, nh), s["resize"], real=real)
        x = np.full((size[1], size[0], *small.shape[2:]), s.get("pad", 0), small.dtype)
        x[top : top + nh, left : left + nw] = small
    else:
        if s.get("first"):
            x = resize(x, (s["first"], s["first"]), s["resize"])
        x = resize(x, size, s["resize"], real=real)
    if s["colour"] == "gray" and s.get("gray_late"):
        x = to_gray(x, s)
    if "tilt" in s:
        m = cv2.getRotationMatrix2D(((size[0] - 1) / 2, (size[1] - 1) / 2), s["tilt"], 1.0)
        x = cv2.warpAffine(x, m, size, flags=cv2.INTER_LINEAR)
    x = np.rot90(x, s.get("turn", 0))
    if "flip" in s:
        x = cv2.flip(np.ascontiguousarray(x), s["flip"])
    if s.get("transpose"):
        x = x.swapaxes(0, 1)
    if "shift" in s:
        dx, dy = s["shift"]
        moved = np.roll(x, (dy, dx), axis=(0, 1))
        if not s.get("wrap"):
            if dx:
                moved[:, slice(0, dx) if dx > 0 else slice(dx, None)] = 0
            if dy:
                moved[slice(0, dy) if dy > 0 else slice(dy, None)] = 0
        x = moved
    return x


def to_gray(x: Any, s: Any) -> Any:
    """Return x (h, w, 3) as (h, w) uint8 by the weights of `gray`, BT.601's where none are set."""
    if s.get("swap"):
        x = x[..., ::-1]
    w = s.get("gray", (0.299, 0.587, 0.114))
    return np.clip(np.floor(x.astype(np.float64) @ np.array(w) + 0.5), 0, 255).astype(np.uint8)


def aligned(x: Any, s: Any, path: Path) -> Any:
    """Return x warped by the landmarks that the probes state for this file, or the cut-out box of the face."""
    import cv2

    facts = {
        p["file"]: p["face"]
        for p in json.loads((Path(path).parent / "probes.json").read_text())["probes"]
    }
    face = facts[Path(path).name]
    points = np.array(face["landmarks"], np.float64)
    if s["align"] == "box":
        x1, y1, x2, y2 = (round(v) for v in face["box"])
        h, w = x.shape[:2]
        return cv2.resize(x[max(y1, 0) : min(y2, h), max(x1, 0) : min(x2, w)], s["size"])
    target = ARCFACE - (8, 0) if s["align"] == "no8" else ARCFACE
    target = target * (s["size"][0] / 112)
    points = mistaken(points, s["align"], x, face)
    if s["align"] == "affine":
        at = np.hstack([points, np.ones((5, 1))])
        m = np.linalg.lstsq(at, target, rcond=None)[0].T
        return cv2.warpAffine(x, m, s["size"], flags=cv2.INTER_LINEAR)
    # least squares for (a, b, tx, ty) of a similarity
    rows = [[[px, -py, 1, 0], [py, px, 0, 1]] for px, py in points]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows).reshape(-1, 4), target.ravel(), rcond=None)[0]
    return cv2.warpAffine(x, np.array([[a, -b, tx], [b, a, ty]]), s["size"], flags=cv2.INTER_LINEAR)


def mistaken(points: Any, how: Any, x: Any, face: Any) -> Any:
    """Return the landmarks in the wrong order, units or origin that `how` names, as they are otherwise."""
    if how == "eyes":
        return points[[1, 0, 2, 3, 4]]
    if how == "reshaped":
        return points.T.reshape(5, 2)
    if how == "network":
        return points * (640 / max(x.shape[:2]))
    return points - face["box"][:2] if how == "relative" else points


def values(x: Any, s: Any) -> Any:
    """Return x (h, w[, c]) in the channel order, tone, units and type that the settings say."""
    if s["colour"] != "gray":
        order = s["colour"] if not s.get("swap") else {"rgb": "bgr", "bgr": "rgb"}[s["colour"]]
        x = x if order == "rgb" else x[..., ::-1]
    x = stored(x if x.ndim == 3 else x[..., None], s).astype(np.float64)
    if s.get("buffer") == "wrapped":
        return laid_out(wrapped(x, s), s)
    if "gamma" in s:
        x = np.round(255 * (x / 255) ** s["gamma"])
    if "levels" in s:
        step = 256 / s["levels"]
        x = np.floor(x / step) * 255 / (s["levels"] - 1)
    if s.get("truncate"):
        x = np.floor(x / 2) * 2
    mean, scale = np.array(s["mean"]), np.array(s["scale"])
    if s.get("dtype") == "uint8-raw":
        return laid_out(x.astype(np.uint8), s)
    if s.get("brightest"):
        x = x / x.max()
    elif s.get("stretched"):
        x = (x - x.min()) / max(x.max() - x.min(), 1)
    elif s.get("standardise"):
        x = (x - x.mean()) / max(x.std(), 1 / np.sqrt(x.size))
    elif s.get("reordered"):
        x = x * (1 / scale) + (-mean / scale)
    else:
        x = (x - mean) / scale
        x = (x - mean) / scale if s.get("twice") else x
    x = np.clip(x, *s["clip"]) if "clip" in s else x
    return laid_out(x.astype(s.get("dtype", "float32")), s)


def stored(x: Any, s: Any) -> Any:
    """Return pixels x (h, w, c) with the contrast, the codec and the reading of their bytes that the settings say."""
    import cv2

    if s.get("equalize"):
        x = np.stack(
            [
                cv2.equalizeHist(np.ascontiguousarray(x[..., i]).astype(np.uint8))
                for i in range(x.shape[2])
            ],
            -1,
        )
    if "clahe" in s:
        make = cv2.createCLAHE(s["clahe"], (8, 8))
        x = make.apply(np.ascontiguousarray(x[..., 0]).astype(np.uint8))[..., None]
    if s.get("space") == "ycrcb":
        x = cv2.cvtColor(np.ascontiguousarray(x).astype(np.uint8), cv2.COLOR_RGB2YCrCb)
    if "webp" in s:
        coded = cv2.imencode(".webp", x[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, s["webp"]])[1]
        x = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1]
    if "jpeg" in s:
        coded = cv2.imencode(".jpg", x[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, s["jpeg"]])[1]
        x = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1]
    if s.get("buffer") == "rgba":
        h, w = x.shape[:2]
        x = np.dstack([x, np.full((h, w), 255, x.dtype)]).ravel()[: h * w * 3].reshape(h, w, 3)
    if s.get("buffer") == "argb":
        x = np.dstack([np.full(x.shape[:2], 255, x.dtype), x])[..., :3]
    if s.get("buffer") == "signed":
        x = x.astype(np.uint8).view(np.int8)
    return x


def wrapped(x: Any, s: Any) -> Any:
    """Return x (h, w, c) less its means in bytes, which go on at 255 below 0, in float32."""
    less = x.astype(np.uint8) - np.round(np.array(s["mean"])).astype(np.uint8)
    return (less / np.array(s["scale"])).astype(np.float32)


def laid_out(x: Any, s: Any) -> Any:
    """Return x (h, w, c) in the layout and batch axis that the settings say."""
    layout, wanted = s["layout"], "nhwc" if s["colour"] == "gray" else "nchw"
    if layout == "reinterpreted":
        return as_array(x.reshape(1, x.shape[2], *x.shape[:2]))
    if layout == "other":
        wanted = "nchw" if wanted == "nhwc" else "nhwc"
    x = np.moveaxis(x, -1, 0) if wanted == "nchw" else x
    x = x if layout == "single" else x[None]
    return np.asfortranarray(x) if s.get("fortran") else np.ascontiguousarray(x)
