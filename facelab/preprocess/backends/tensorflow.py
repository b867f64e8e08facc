"""TensorFlow ops for pixels and normalisation; imported only when it is used."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from facelab.preprocess import colour
from facelab.preprocess.align import invert
from facelab.preprocess.backends.base import NumpyBackend, per_channel


def _tf() -> Any:
    # TensorFlow greets on standard error unless told otherwise before it is imported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    return tf


class Backend(NumpyBackend):
    """TensorFlow, eager, float32: the v1 kernels (`legacy`, `corner`), the v2 ones (`half`) and antialias."""

    name = "tensorflow"
    layout_sooner = False

    def decode_encoded(self, data: bytes, stage: Any, where: str) -> tuple[Any, int]:
        """Decode by tf.io; Pillow reads the file first, for its orientation and for one kind of error."""
        _, orientation = super().decode_encoded(
            data, stage.model_copy(update={"idct": "accurate"}), where
        )
        if stage.alpha != "drop":
            self.refuse(f"alpha {stage.alpha!r}: decode_png drops it")
        tf, channels = _tf(), 1 if stage.order == "gray" else 3
        method = "INTEGER_ACCURATE" if stage.idct == "accurate" else "INTEGER_FAST"
        try:
            if data[:2] == b"\xff\xd8":
                pixels = tf.io.decode_jpeg(data, channels=channels, dct_method=method).numpy()
            elif data[:8] == b"\x89PNG\r\n\x1a\n":
                pixels = tf.io.decode_png(data, channels=channels).numpy()
            elif data[:2] == b"BM":
                pixels = tf.io.decode_bmp(data, channels=channels).numpy()
            else:
                self.refuse("this file type", "use JPEG, PNG or BMP, or another backend")
        except tf.errors.InvalidArgumentError:
            self.refuse("this kind of JPEG, PNG or BMP", "decode it with another backend")
        return (pixels[..., ::-1] if stage.order == "bgr" else pixels), orientation

    def color(self, x: np.ndarray, stage: Any) -> Any:
        """Change order or compute the conversion with TensorFlow float32 arithmetic."""
        tf, source, target = _tf(), stage.source, stage.target
        if source == target:
            return x
        if source == "gray":
            return tf.image.grayscale_to_rgb(x).numpy()
        if {source, target} == {"rgb", "bgr"}:
            return tf.reverse(x, axis=[-1]).numpy()
        swap = "bgr" in (source, target)
        if target == "gray":
            r, g, b = tf.unstack(tf.cast(x, tf.float32), axis=-1)[:: -1 if swap else 1]
            wr, wg, wb = stage.gray_weights()
            return self.rounded((wr * r + wg * g + wb * b).numpy()[..., None], stage)
        convert = colour.yuv_to_rgb if source == "yuv" else colour.rgb_to_yuv
        origin, *axes = convert(np.vstack([np.zeros(3), np.eye(3)]), stage.matrix, stage.range)
        y = tf.cast(x[..., ::-1] if source == "bgr" else x, tf.float32)
        matrix = tf.constant(np.array(axes) - origin, tf.float32)
        out = tf.tensordot(y, matrix, axes=1) + tf.constant(origin, tf.float32)
        return self.rounded((out[..., ::-1] if target == "bgr" else out).numpy(), stage)

    def warp(self, x: np.ndarray, matrix: np.ndarray, stage: Any) -> np.ndarray:
        """Warp by ImageProjectiveTransformV3, which blends with the border like the reference."""
        if stage.coordinates != "exact":
            self.refuse(
                "align with coordinates rounded to 1/32 pixel", 'write "coordinates": "exact"'
            )
        if stage.kernel == "nearest":
            self.refuse("nearest align: its float32 positions may pick other pixels")
        if len(set(stage.border)) > 1:
            self.refuse("a border that differs between channels")
        tf = _tf()
        row = np.append(invert(matrix).ravel(), [0, 0])
        out = tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(x, tf.float32)[None],
            transforms=tf.constant(row[None], tf.float32),
            output_shape=stage.size[::-1],
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
            fill_value=float(self.fill(x.dtype, stage.border)[0]),
        )
        return self.rounded(out[0].numpy(), stage)

    def resize(self, x: np.ndarray, size: Any, stage: Any) -> Any:
        """Resize by the raw op that is the stage's kernel and pixel centres, or refuse."""
        tf = _tf()
        if stage.passes:
            self.refuse(
                "8-bit rounding between the passes", "leave 'passes' out, or use the pillow backend"
            )
        if stage.kernel == "nearest":
            for n_in, n_out, axis in ((x.shape[1], size[0], 1), (x.shape[0], size[1], 0)):
                ramp = np.arange(n_in, dtype=np.float32).reshape(
                    (1, 1, -1, 1) if axis else (1, -1, 1, 1)
                )
                took = self._op(tf, ramp, (n_out, 1) if axis else (1, n_out), stage)
                self.check_nearest(took.ravel(), n_in, n_out, stage.pixel_centers)
        out = self._op(tf, x[None], size, stage)[0]
        if stage.kernel == "nearest":
            return out.astype(self.real) if stage.rounding == "none" else out
        return self.rounded(out, stage)

    def _op(self, tf: Any, x: np.ndarray, size: tuple[int, int], stage: Any) -> Any:
        kernel, centers = stage.kernel, stage.pixel_centers
        shape = (size[1], size[0])
        flags = {"align_corners": centers == "corner", "half_pixel_centers": centers == "half"}
        if kernel == "nearest":
            return tf.raw_ops.ResizeNearestNeighbor(images=x, size=shape, **flags).numpy()
        if kernel == "area":
            return tf.raw_ops.ResizeArea(images=x, size=shape, align_corners=False).numpy()
        x = tf.cast(x, tf.float32)
        if kernel == "bilinear" and not stage.antialias:
            return tf.raw_ops.ResizeBilinear(images=x, size=shape, **flags).numpy()
        if kernel == "bicubic" and not stage.antialias:
            has = (-0.5, "renormalize") if centers == "half" else (-0.75, "replicate")
            if (stage.cubic_a, stage.edge) != has:
                self.refuse(
                    f"bicubic with cubic_a {stage.cubic_a} and edge {stage.edge!r}: with pixel_centers "
                    f"{centers!r} it has {has[0]} and {has[1]!r}"
                )
            return tf.raw_ops.ResizeBicubic(images=x, size=shape, **flags).numpy()
        method = {"bilinear": "bilinear", "bicubic": "bicubic", "lanczos": f"lanczos{stage.lobes}"}[
            kernel
        ]
        if (
            centers != "half"
            or stage.edge != "renormalize"
            or stage.lobes == 4
            or stage.cubic_a == -0.75
        ):
            self.refuse(
                f"this {kernel}: ScaleAndTranslate has pixel_centers 'half', edge 'renormalize', cubic_a -0.5, "
                "and 3 or 5 lobes"
            )
        return tf.image.resize(x, shape, method=method, antialias=stage.antialias).numpy()

    def normalize(self, x: Any, stage: Any, behind: Any = 0) -> Any:
        """Compute (x − mean) / scale in TensorFlow, in x's own float type or float32."""
        tf = _tf()
        x = tf.cast(x, x.dtype if x.dtype.kind == "f" else np.float32)
        x = x / 255 if stage.units == "0-1" else x
        mean, scale = (
            per_channel(v, x.dtype.as_numpy_dtype, behind) for v in (stage.mean, stage.scale)
        )
        return ((x - tf.constant(mean)) / tf.constant(scale)).numpy()
