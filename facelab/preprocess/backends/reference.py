"""The backend that defines each op: numpy float64, the same bytes on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.preprocess import colour, resample
from facelab.preprocess.align import warp
from facelab.preprocess.backends.base import NumpyBackend, reordered


class Backend(NumpyBackend):
    """Numpy float64. Files are decoded by Pillow with the accurate inverse DCT, which is bit-exact everywhere."""

    name = "reference"
    real = np.float64

    def color(self, x: np.ndarray, stage: Any) -> np.ndarray:
        """Change order, go to gray, or convert from or to YUV."""
        source, target = stage.source, stage.target
        if (moved := reordered(x, source, target)) is not None:
            return moved
        if target == "gray":
            return self.rounded(
                colour.to_gray(x if source == "rgb" else x[..., ::-1], stage.gray_weights()), stage
            )
        if source == "yuv":
            out = colour.yuv_to_rgb(x, stage.matrix, stage.range)
            return self.rounded(out if target == "rgb" else out[..., ::-1], stage)
        return self.rounded(
            colour.rgb_to_yuv(x if source == "rgb" else x[..., ::-1], stage.matrix, stage.range),
            stage,
        )

    def warp(self, x: np.ndarray, matrix: np.ndarray, stage: Any) -> np.ndarray:
        """Warp by a 2×3 matrix into the stage's size."""
        if stage.kernel == "nearest" and x.dtype == np.uint8:
            self.fill(x.dtype, stage.border)
        out = warp(
            x,
            matrix,
            stage.size,
            kernel=stage.kernel,
            border=stage.border,
            coordinates=stage.coordinates,
        )
        # nearest keeps bytes, which rounding 'none' promises to make reals
        return self.rounded(out.astype(self.real) if stage.rounding == "none" else out, stage)

    def resize(self, x: np.ndarray, size: Any, stage: Any) -> np.ndarray:
        """Resample to `size` (width, height)."""
        out = resample.resize(x, size, stage)
        if stage.kernel == "nearest":
            return out.astype(self.real) if stage.rounding == "none" else out
        return self.rounded(out, stage)

    def rounded(self, x: np.ndarray, stage: Any) -> np.ndarray:
        """Round to uint8 as the stage says, or keep reals."""
        return x if stage.rounding == "none" else resample.to_pixels(x, stage.rounding)
