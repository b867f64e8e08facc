"""Pillow for pixels; numpy float32 for the tensor stages."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from facelab.preprocess import colour
from facelab.preprocess.align import invert
from facelab.preprocess.backends.base import NumpyBackend, reordered
from facelab.preprocess.colour import GRAY_WEIGHTS

HALF = ("half_even", "half_up")


class Backend(NumpyBackend):
    """Pillow. Its 8-bit resize rounds after each of its two passes, which stays within one level of the reference."""

    name = "pillow"

    def color(self, x: np.ndarray, stage: Any) -> np.ndarray:
        """Convert by Image.convert, by name where Pillow has the conversion, by matrix elsewhere; 8 bits only."""
        source, target = stage.source, stage.target
        if (moved := reordered(x, source, target)) is not None:
            return moved
        if x.dtype != np.uint8 or stage.rounding not in HALF:
            self.refuse(
                f"this colour conversion with rounding {stage.rounding!r}: it is 8-bit and rounds half up",
                "write rounding 'half_up'",
            )
        rgb = x[..., ::-1] if source == "bgr" else x
        image = Image.fromarray(np.ascontiguousarray(rgb), "YCbCr" if source == "yuv" else "RGB")
        jfif = (stage.matrix, stage.range) == ("bt601", "full")
        if target == "gray":
            weights = stage.gray_weights()
            named = weights == GRAY_WEIGHTS["bt601"]
            return np.asarray(image.convert("L") if named else image.convert("L", (*weights, 0.0)))[
                ..., None
            ]
        if source == "yuv":
            out = np.asarray(
                image.convert("RGB") if jfif else self._by_matrix(x, stage, colour.yuv_to_rgb)
            )
            return out[..., ::-1] if target == "bgr" else out
        return np.asarray(
            image.convert("YCbCr") if jfif else self._by_matrix(rgb, stage, colour.rgb_to_yuv)
        )

    @staticmethod
    def _by_matrix(x: Any, stage: Any, convert: Any) -> Any:
        origin, *axes = convert(np.vstack([np.zeros(3), np.eye(3)]), stage.matrix, stage.range)
        m = np.column_stack([a - origin for a in axes] + [origin])
        return Image.fromarray(np.ascontiguousarray(x), "RGB").convert("RGB", tuple(m.ravel()))

    def warp(self, x: np.ndarray, matrix: np.ndarray, stage: Any) -> np.ndarray:
        """Warp by Image.transform in 32-bit floats, channel by channel."""
        if stage.coordinates != "exact":
            self.refuse(
                "align with coordinates rounded to 1/32 pixel", 'write "coordinates": "exact"'
            )
        if stage.kernel == "nearest":
            self.refuse("nearest align: Pillow's fixed-point positions may pick other pixels")
        # Pillow replicates the last half pixel instead of blending it with the border: two pixels more of border
        fill = np.broadcast_to(self.fill(x.dtype, stage.border), x.shape[2:])
        wide = self.pad(x, (2, 2, 2, 2), "constant", stage.border)
        (a, b, c), (d, e, f) = invert(matrix)
        # Pillow counts from pixel edges: centre in, centre out
        data = (a, b, c + 2.5 - 0.5 * (a + b), d, e, f + 2.5 - 0.5 * (d + e))
        planes = [
            np.asarray(
                Image.fromarray(wide[..., k].astype(np.float32)).transform(
                    stage.size,
                    Image.Transform.AFFINE,
                    data,
                    resample=Image.Resampling.BILINEAR,
                    fillcolor=float(fill[k]),
                )
            )
            for k in range(x.shape[2])
        ]
        return self.rounded(np.stack(planes, axis=-1), stage)

    def resize(self, x: np.ndarray, size: Any, stage: Any) -> np.ndarray:
        """Resize by Image.resize with the filter that is the stage's kernel, or refuse."""
        h, w = x.shape[:2]
        how = self._filter(stage, (w, h), size)
        if stage.kernel == "nearest":
            for n_in, n_out in ((w, size[0]), (h, size[1])):
                ramp = Image.fromarray(np.arange(n_in, dtype=np.float32)[None])
                self.check_nearest(
                    np.asarray(ramp.resize((n_out, 1), how))[0], n_in, n_out, stage.pixel_centers
                )
        if x.dtype == np.uint8 and stage.passes:
            if stage.rounding not in HALF:
                self.refuse(
                    f"8-bit passes with rounding {stage.rounding!r}: it rounds half up",
                    "write rounding 'half_up'",
                )
            half = (size[0], h) if stage.passes == "uint8_horizontal_first" else (w, size[1])
            return self._eight(self._eight(x, half, how), size, how)
        # one call would clip 8-bit images between the passes, which shows with kernels that overshoot
        if (
            x.dtype == np.uint8
            and stage.rounding in HALF
            and stage.kernel not in ("bicubic", "lanczos")
        ):
            return self._eight(x, size, how)
        planes = [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(x[..., k], dtype=np.float32)).resize(size, how)
            )
            for k in range(x.shape[2])
        ]
        out = np.stack(planes, axis=-1)
        if stage.kernel == "nearest":
            return out if stage.rounding == "none" else out.astype(x.dtype)
        return self.rounded(out, stage)

    @staticmethod
    def _eight(x: np.ndarray, size: tuple[int, int], how: Any) -> np.ndarray:
        image = Image.fromarray(np.ascontiguousarray(x[..., 0] if x.shape[2] == 1 else x))
        return np.asarray(image.resize(size, how)).reshape(size[1], size[0], -1)

    def _filter(self, stage: Any, size: tuple[int, int], target: Any) -> Image.Resampling:
        kernel = stage.kernel
        if stage.pixel_centers != "half":
            self.refuse(
                f"pixel_centers {stage.pixel_centers!r}",
                "write 'half', or use the tensorflow backend",
            )
        if kernel == "nearest":
            return Image.Resampling.NEAREST
        if kernel == "area":
            if size[0] % target[0] or size[1] % target[1]:
                self.refuse(
                    "area by a ratio that is not a whole number: BOX counts pixels whole or not at all"
                )
            return Image.Resampling.BOX
        if not stage.antialias and (size[0] > target[0] or size[1] > target[1]):
            self.refuse(
                f"{kernel} without antialias when shrinking: Pillow always widens the kernel",
                "write antialias true, or use the opencv or tensorflow backend",
            )
        if kernel != "bilinear" and stage.edge != "renormalize":
            self.refuse(f"{kernel} with edge {stage.edge!r}: it renormalizes")
        if kernel == "bicubic" and stage.cubic_a != -0.5:
            self.refuse(f"bicubic with cubic_a {stage.cubic_a}: it has -0.5")
        if kernel == "lanczos" and stage.lobes != 3:
            self.refuse(f"lanczos with {stage.lobes} lobes: it has 3")
        return {
            "bilinear": Image.Resampling.BILINEAR,
            "bicubic": Image.Resampling.BICUBIC,
            "lanczos": Image.Resampling.LANCZOS,
        }[kernel]
