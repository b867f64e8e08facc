"""OpenCV for pixels; numpy float32 for the tensor stages, as programs built on OpenCV do."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from facelab.preprocess import colour
from facelab.preprocess import image as files
from facelab.preprocess.backends.base import NumpyBackend
from facelab.preprocess.colour import GRAY_WEIGHTS

HALF = ("half_even", "half_up")


class Backend(NumpyBackend):
    """OpenCV. Its 8-bit kernels round ties in their own ways, which stays within one level of the reference."""

    name = "opencv"

    def decode_encoded(self, data: bytes, stage: Any, where: str) -> tuple[np.ndarray, int]:
        """Decode by cv2.imdecode; Pillow reads the file first, since OpenCV fills a truncated one with gray."""
        _, orientation = super().decode_encoded(data, stage, where)
        if stage.alpha != "drop":
            self.refuse(f"alpha {stage.alpha!r}: imdecode drops it")
        flag = cv2.IMREAD_GRAYSCALE if stage.order == "gray" else cv2.IMREAD_COLOR
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is None:
            self.refuse("this file type")
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        return (pixels[..., ::-1] if stage.order == "rgb" else pixels), orientation

    def transform(self, x: np.ndarray, name: str) -> np.ndarray:
        """Rotate, flip or transpose."""
        return np.ascontiguousarray(files.transform(x, name))

    def pad(self, x: np.ndarray, borders: Any, border: Any, value: Any) -> np.ndarray:
        """Add borders by copyMakeBorder."""
        left, top, right, bottom = borders
        if border == "replicate":
            out = cv2.copyMakeBorder(x, top, bottom, left, right, cv2.BORDER_REPLICATE)
        else:
            fill = np.broadcast_to(self.fill(x.dtype, value), x.shape[2:]).tolist()
            out = cv2.copyMakeBorder(x, top, bottom, left, right, cv2.BORDER_CONSTANT, value=fill)
        return out.reshape(*out.shape[:2], x.shape[2])

    def planes(self, x: np.ndarray) -> np.ndarray:
        """Move the channels to the front; those of pixels by cv2.split, five times as fast as numpy's copy."""
        return (
            np.stack(cv2.split(x)) if x.dtype == np.uint8 and x.shape[2] > 1 else super().planes(x)
        )

    def color(self, x: np.ndarray, stage: Any) -> np.ndarray:
        """Convert by cvtColor where OpenCV has the very conversion, by cv2.transform in float32 elsewhere."""
        source, target = stage.source, stage.target
        x = np.ascontiguousarray(x)
        if source == target:
            return x
        if source == "gray":
            return cv2.cvtColor(x, cv2.COLOR_GRAY2RGB)
        if {source, target} == {"rgb", "bgr"}:
            return cv2.cvtColor(x, cv2.COLOR_RGB2BGR)
        eight = x.dtype == np.uint8 and stage.rounding in HALF
        if target == "gray":
            return self._gray(x, stage, eight)
        # cvtColor takes Y below 16 for black before it adds the chroma; the standard does not
        if (
            source == "yuv"
            and eight
            and stage.matrix == "bt601"
            and (stage.range == "full" or x[..., 0].min() >= 16)
        ):
            return _from_yuv(x, stage)
        return self._matrix(x, stage)

    def _gray(self, x: np.ndarray, stage: Any, eight: bool) -> np.ndarray:
        weights = stage.gray_weights()
        if eight and weights == GRAY_WEIGHTS["bt601"]:
            return cv2.cvtColor(
                x, cv2.COLOR_RGB2GRAY if stage.source == "rgb" else cv2.COLOR_BGR2GRAY
            )[..., None]
        row = np.array([weights if stage.source == "rgb" else weights[::-1]])
        return self.rounded(cv2.transform(x.astype(np.float32), row)[..., None], stage)

    def _matrix(self, x: np.ndarray, stage: Any) -> np.ndarray:
        convert = colour.yuv_to_rgb if stage.source == "yuv" else colour.rgb_to_yuv
        origin, *axes = convert(np.vstack([np.zeros(3), np.eye(3)]), stage.matrix, stage.range)
        m = np.column_stack([a - origin for a in axes] + [origin])
        if stage.target == "bgr":
            m = m[::-1]
        if stage.source == "bgr":
            m = m[:, [2, 1, 0, 3]]
        return self.rounded(cv2.transform(x.astype(np.float32), m), stage)

    def warp(self, x: np.ndarray, matrix: np.ndarray, stage: Any) -> np.ndarray:
        """Warp by warpAffine, whose bilinear source positions are multiples of 1/32 pixel."""
        if stage.coordinates == "exact" and stage.kernel == "bilinear":
            self.refuse(
                "bilinear align with exact coordinates: warpAffine rounds them to 1/32 pixel",
                'write "coordinates": "1/32", or use another backend',
            )
        if stage.kernel == "nearest":
            self.refuse("nearest align: warpAffine rounds positions to 1/1024 pixel")
        if x.dtype == np.uint8 and stage.rounding not in HALF:
            x = x.astype(np.float32)
        fill = np.broadcast_to(self.fill(x.dtype, stage.border), x.shape[2:]).tolist()
        out = cv2.warpAffine(
            np.ascontiguousarray(x),
            matrix,
            stage.size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=fill,
        )
        return self._done(out, x, stage)

    def _done(self, out: np.ndarray, x: np.ndarray, stage: Any) -> np.ndarray:
        out = out.reshape(*out.shape[:2], x.shape[2])
        return out if out.dtype == np.uint8 else self.rounded(out, stage)

    def resize(self, x: np.ndarray, size: Any, stage: Any) -> np.ndarray:
        """Resize by cv2.resize with the flag that is the stage's kernel, or refuse."""
        h, w = x.shape[:2]
        flag = self._flag(stage, w > size[0] or h > size[1], w >= size[0] and h >= size[1])
        if stage.kernel == "nearest":
            for n_in, n_out in ((w, size[0]), (h, size[1])):
                ramp = np.arange(n_in, dtype=np.float32)[None]
                took = cv2.resize(ramp, (n_out, 1), interpolation=flag)[0]
                self.check_nearest(took, n_in, n_out, stage.pixel_centers)
            out = cv2.resize(np.ascontiguousarray(x), size, interpolation=flag).reshape(
                size[1], size[0], -1
            )
            return out.astype(self.real) if stage.rounding == "none" else out
        if x.dtype == np.uint8 and stage.rounding not in HALF:
            x = x.astype(np.float32)
        return self._done(cv2.resize(np.ascontiguousarray(x), size, interpolation=flag), x, stage)

    def _flag(self, stage: Any, shrinks: bool, shrinks_only: bool) -> int:
        kernel, centers = stage.kernel, stage.pixel_centers
        if stage.passes:
            self.refuse(
                "8-bit rounding between the passes", "leave 'passes' out, or use the pillow backend"
            )
        if kernel == "nearest" and centers != "corner":
            return cv2.INTER_NEAREST if centers == "legacy" else cv2.INTER_NEAREST_EXACT
        if centers != "half":
            self.refuse(f"{kernel} with pixel_centers {centers!r}")
        if kernel == "area":
            if not shrinks_only:
                self.refuse("area when enlarging: INTER_AREA becomes another kernel then")
            return cv2.INTER_AREA
        if stage.antialias and (shrinks or kernel != "bilinear"):
            self.refuse(f"{kernel} with antialias", "write antialias false, or kernel area")
        if kernel == "bicubic" and (stage.cubic_a != -0.75 or stage.edge != "replicate"):
            self.refuse(
                f"bicubic with cubic_a {stage.cubic_a} and edge {stage.edge!r}: it has -0.75 and 'replicate'"
            )
        if kernel == "lanczos" and (stage.lobes != 4 or stage.edge != "replicate"):
            self.refuse(
                f"lanczos with {stage.lobes} lobes and edge {stage.edge!r}: it has 4 and 'replicate'"
            )
        return {
            "bilinear": cv2.INTER_LINEAR,
            "bicubic": cv2.INTER_CUBIC,
            "lanczos": cv2.INTER_LANCZOS4,
        }[kernel]


def _from_yuv(x: np.ndarray, stage: Any) -> np.ndarray:
    """Convert BT.601 Y, U, V by OpenCV's own integers: YUY2 for limited range, YCrCb for full."""
    if stage.range == "full":
        code = cv2.COLOR_YCrCb2RGB if stage.target == "rgb" else cv2.COLOR_YCrCb2BGR
        return cv2.cvtColor(np.ascontiguousarray(x[..., [0, 2, 1]]), code)
    # YUY2 shares chroma between two pixels: send each pixel twice and keep one
    h, w = x.shape[:2]
    packed = np.empty((h, w, 2, 2), np.uint8)
    packed[..., 0] = x[..., :1]
    packed[..., 1] = x[..., 1:]
    code = cv2.COLOR_YUV2RGB_YUY2 if stage.target == "rgb" else cv2.COLOR_YUV2BGR_YUY2
    return np.ascontiguousarray(cv2.cvtColor(packed.reshape(h, 2 * w, 2), code)[:, ::2])
