"""What every backend shares: plain numpy for the primitives that only move numbers, and the refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from facelab.core.errors import UnsupportedError
from facelab.preprocess import image as files
from facelab.preprocess import resample
from facelab.preprocess.raw import decode_raw


def _half_up(x: np.ndarray) -> np.ndarray:
    """Round ties upwards; exact, where floor(x + 0.5) is wrong for 0.49999999999999994."""
    low = np.floor(x)
    return low + (x - low >= 0.5)


INTEGER_ROUNDING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "half_even": np.rint,
    "half_up": _half_up,
    "half_away": lambda x: np.copysign(_half_up(np.abs(x)), x),
    "truncate": np.trunc,
    "floor": np.floor,
}


def per_channel(values: Any, dtype: Any, behind: int) -> np.ndarray:
    """Return one number per channel in a shape that fits an array with `behind` axes after the channels'."""
    return np.asarray(values, dtype=dtype).reshape(-1, *(1,) * behind)


def reordered(x: np.ndarray, source: str, target: str) -> np.ndarray | None:
    """Return a colour conversion that only moves numbers: the same order, gray to three, RGB and BGR; else None."""
    if source == target:
        return x
    if source == "gray":
        return np.repeat(x, 3, axis=2)
    return x[..., ::-1] if {source, target} == {"rgb", "bgr"} else None


class Engine:
    """What a backend does whatever its values are: decode files, refuse a stage, check a border's numbers."""

    name = "none"
    layout_sooner = False
    """Whether channels may be moved to the front before the stages that change each number on its own."""

    def refuse(
        self, what: str, fix: str = "use the reference backend, or change the stage"
    ) -> NoReturn:
        """Raise UnsupportedError: this backend would not do exactly what the stage says."""
        raise UnsupportedError(f"the {self.name} backend does not offer {what}", fix=fix)

    def check_nearest(self, indices: np.ndarray, n_in: int, n_out: int, pixel_centers: str) -> None:
        """Refuse a nearest-neighbour resize that copies other samples than the exact rule, by `indices` it took."""
        if not np.array_equal(indices, resample.nearest_index(n_in, n_out, pixel_centers)):
            self.refuse(
                f"this nearest-neighbour resize from {n_in} to {n_out}: its arithmetic picks other pixels"
            )

    def decode(self, data: bytes, stage: Any, where: str) -> tuple[np.ndarray, int]:
        """Return (uint8 height × width × channel in the stage's order, EXIF orientation)."""
        if stage.format != "encoded":
            return decode_raw(data, stage, where), 1
        return self.decode_encoded(data, stage, where)

    def decode_encoded(self, data: bytes, stage: Any, where: str) -> tuple[np.ndarray, int]:
        """Decode JPEG, PNG and so on (Pillow, accurate inverse DCT)."""
        if stage.idct == "fast" and data[:2] == b"\xff\xd8":
            self.refuse(
                "the fast JPEG inverse DCT",
                "decode with the tensorflow backend (decode_with='tensorflow')",
            )
        pixels, orientation = files.decode(
            data, where=where, alpha=stage.alpha, gray=stage.order == "gray"
        )
        return (pixels[..., ::-1] if stage.order == "bgr" else pixels), orientation

    def fill(self, dtype: Any, value: Any) -> np.ndarray:
        """Return a border value per channel in the image's own type; a value that uint8 cannot hold is refused."""
        numbers = np.asarray(value, dtype=np.float64)
        if (
            dtype == np.uint8
            and ((numbers != np.rint(numbers)) | (numbers < 0) | (numbers > 255)).any()
        ):
            self.refuse(
                f"the border value {tuple(value)} in a uint8 image",
                "write whole numbers from 0 to 255, or pad after normalize",
            )
        return numbers.astype(dtype)


class NumpyBackend(Engine):
    """Primitives on arrays (height, width, channel). `real` is the working precision of `float` states.

    Subclasses replace the pixel primitives. Who carries a spec out adds the stage's place to a refusal.
    """

    name = "numpy"
    real: type[np.floating[Any]] = np.float32
    layout_sooner = True

    # -- in and out -------------------------------------------------------------------------------------------------

    def begin(self, pixels: np.ndarray) -> np.ndarray:
        """Take the decoded image and return the backend's own value."""
        return pixels

    def arrays(self, values: list[Any]) -> list[np.ndarray]:
        """Return the backend's values as numpy arrays."""
        return [np.ascontiguousarray(v) for v in values]

    def rounded(self, x: np.ndarray, stage: Any) -> np.ndarray:
        """Round to uint8 as the stage says, or keep reals. float32 sums are off by some 1e-5 of 255."""
        if stage.rounding == "none":
            return x.astype(self.real, copy=False)
        return resample.to_pixels(x.astype(np.float64), stage.rounding, snap=1e-4)

    # -- primitives -------------------------------------------------------------------------------------------------

    def transform(self, x: np.ndarray, name: str) -> np.ndarray:
        return files.transform(x, name)

    def crop(self, x: np.ndarray, box: Any, outside: Any, value: Any) -> np.ndarray:
        x1, y1, x2, y2 = box
        h, w = x.shape[:2]
        inner = x[max(y1, 0) : max(min(y2, h), 0), max(x1, 0) : max(min(x2, w), 0)]
        if inner.size == 0:
            full = np.empty((y2 - y1, x2 - x1, x.shape[2]), x.dtype)
            full[...] = self.fill(x.dtype, value)
            return full
        borders = (max(-x1, 0), max(-y1, 0), max(x2 - w, 0), max(y2 - h, 0))
        return self.pad(inner, borders, outside, value) if any(borders) else inner

    def pad(self, x: np.ndarray, borders: Any, border: Any, value: Any) -> np.ndarray:
        left, top, right, bottom = borders
        if border == "replicate":
            return np.pad(x, ((top, bottom), (left, right), (0, 0)), mode="edge")
        h, w, c = x.shape
        out = np.empty((h + top + bottom, w + left + right, c), x.dtype)
        out[...] = self.fill(x.dtype, value)
        out[top : top + h, left : left + w] = x
        return out

    def normalize(self, x: np.ndarray, stage: Any, behind: Any = 0) -> np.ndarray:
        """Compute (x − mean) / scale; `behind` axes follow that of the channels."""
        real = x.dtype if x.dtype.kind == "f" else np.dtype(self.real)
        x = x.astype(real)  # a copy, which the rest changes in place
        if stage.units == "0-1":
            x /= real.type(255)
        x -= per_channel(stage.mean, real, behind)
        x /= per_channel(stage.scale, real, behind)
        return x

    def layout(self, x: np.ndarray, stage: Any) -> np.ndarray:
        if stage.to in ("hw", "nhw"):
            x = x[..., 0]
        elif stage.to.endswith("chw"):
            x = self.planes(x)
        return x[None] if stage.to.startswith("n") else x

    def planes(self, x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x, -1, 0)

    def cast(self, x: np.ndarray, stage: Any) -> np.ndarray:
        if stage.dtype.startswith("float"):
            return x.astype(stage.dtype, copy=False)
        return self._whole(x, stage)

    def quantize(self, x: np.ndarray, stage: Any) -> np.ndarray:
        """Quantize by the one rule: float32 operands and division, integer zero point (docs: quantize)."""
        steps = x.astype(np.float32) / np.float32(stage.scale)
        return self._store(INTEGER_ROUNDING[stage.rounding](steps), stage, stage.zero_point)

    def _whole(self, x: np.ndarray, stage: Any) -> np.ndarray:
        return self._store(INTEGER_ROUNDING[stage.rounding](x) if x.dtype.kind == "f" else x, stage)

    @staticmethod
    def _store(x: np.ndarray, stage: Any, zero_point: int = 0) -> np.ndarray:
        info = np.iinfo(stage.dtype)
        # float64 holds whole numbers of float32 and the limits of int32 exactly
        x = x.astype(np.float64) + zero_point
        if stage.saturate:
            x = np.clip(x, info.min, info.max)
        # through int64, so that values out of range wrap the same way everywhere
        return np.clip(x, -(2.0**62), 2.0**62).astype(np.int64).astype(stage.dtype)
