"""dlib's own models (.dat) on the dlib module, which is optional."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import extras
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.zoo._integrity import refuse_impostor
from facelab.zoo.runtimes._base import Model, TensorInfo, first_line


def import_dlib() -> Any:
    """Return the dlib module. Raises UnsupportedError with the fix where it cannot be imported."""
    try:
        import dlib
    except ImportError as e:
        raise UnsupportedError(
            "dlib cannot be imported on this machine",
            got=first_line(e),
            fix=f"install dlib-bin ({extras.how_to_get('dlib')}), or choose a model of another runtime",
        ) from e
    return dlib


class DlibEmbedder(Model):
    """dlib's ResNet: 150×150 RGB face chips (n, 150, 150, 3) uint8 in, (n, 128) float32 out, not normalised."""

    runtime = "dlib"

    def _compute(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        chips = feed["chips"]
        with self._turn:  # dlib's networks hold their own activations
            rows = self.handle.compute_face_descriptor([np.ascontiguousarray(c) for c in chips])
        return [np.array(rows, dtype=np.float32).reshape(len(chips), 128)]


class DlibDetector(Model):
    """dlib's CNN (MMOD) detector: an RGB image (h, w, 3) uint8 in; (n, 5) float32 x1, y1, x2, y2, score out."""

    runtime = "dlib"

    def _compute(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        with self._turn:
            found = self.handle(np.ascontiguousarray(feed["image"]), 0)
        rows = [
            (d.rect.left(), d.rect.top(), d.rect.right() + 1, d.rect.bottom() + 1, d.confidence)
            for d in found
        ]
        return [np.array(rows, dtype=np.float32).reshape(-1, 5)]


class DlibShape(Model):
    """dlib's shape predictor: an RGB or gray uint8 image and a box (4,) float32 in; points (n, 2) float32 out."""

    runtime = "dlib"

    def _compute(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        dlib = import_dlib()
        x1, y1, x2, y2 = (round(float(v)) for v in feed["box"])
        with self._turn:
            shape = self.handle(
                np.ascontiguousarray(feed["image"]), dlib.rectangle(x1, y1, x2 - 1, y2 - 1)
            )
        return [np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float32)]


IMAGE = TensorInfo("image", (None, None, 3), "uint8")


def open_dlib(path: Path) -> Model:
    """Open a dlib .dat file; which of dlib's models it is shows in what can be loaded from it.

    Raises UnsupportedError where dlib cannot be imported, IntegrityError or BadInputError for a file it refuses.
    """
    refuse_impostor(path)
    dlib = import_dlib()
    tries = (
        (
            dlib.shape_predictor,
            DlibShape,
            (IMAGE, TensorInfo("box", (4,), "float32")),
            (TensorInfo("points", (None, 2), "float32"),),
        ),
        (
            dlib.face_recognition_model_v1,
            DlibEmbedder,
            (TensorInfo("chips", (None, 150, 150, 3), "uint8"),),
            (TensorInfo("descriptors", (None, 128), "float32"),),
        ),
        (
            dlib.cnn_face_detection_model_v1,
            DlibDetector,
            (IMAGE,),
            (TensorInfo("detections", (None, 5), "float32"),),
        ),
    )
    problems = []
    for load, model, inputs, outputs in tries:
        try:
            return model(path, load(str(path)), inputs, outputs, threads=1)
        except (RuntimeError, MemoryError, ValueError) as e:
            problems.append(first_line(e, 120))
    raise BadInputError(
        "dlib refuses the model",
        where=path,
        expected="a shape predictor, the ResNet or the MMOD detector",
        got="; ".join(dict.fromkeys(problems)),
        fix="fetch the file again",
    )
