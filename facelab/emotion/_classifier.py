"""An exported emotion classifier: the `.tflite`, its spec and its labels, run as a device would run them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError
from facelab.emotion._spec import crop_face, to_tensor
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.tflite_metadata import read_metadata
from facelab.zoo.runtimes import open_model


class EmotionClassifier:
    """A classifier file (`.tflite`, `.onnx`, `.keras`) with the spec beside it (`<model>.preprocess.json`).

    `classes` are the labels inside the file, or of `labels.txt` beside it. Integer inputs are quantised by the spec's
    own `quantize` stage (round half to even, saturating), never by a cast; integer outputs are dequantised by the
    file's scale and zero point.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        spec: PreprocessSpec | None = None,
        threads: int | None = None,
    ):
        path = Path(path)
        beside = _spec_file(path)
        if spec is None and not beside.is_file():
            raise BadInputError(
                "the model's preprocessing is unknown",
                where=path,
                expected=f"{beside.name} beside it",
                fix="give the spec, or export the model with facelab emotion train",
            )
        self.path = path
        self.spec = spec or PreprocessSpec.load(beside)
        self.model = open_model(path, threads=threads, spec=self.spec)
        self.classes = _classes(path)
        width = self.model.outputs[0].shape[-1]
        if width not in (None, len(self.classes)):
            raise BadInputError(
                "labels and outputs differ in number",
                where=path,
                expected=f"{width} labels",
                got=len(self.classes),
                fix="correct labels.txt",
            )

    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for uint8 crops (n, size, size, 3) made by this classifier's spec."""
        out = np.empty((len(crops), len(self.classes)), np.float32)
        for i, tensor in enumerate(to_tensor(self.spec, crops)):
            out[i] = self._dequantized(self.model.run(tensor[None])[0])[0]
        return out

    def classify(self, image, boxes: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for the faces in `boxes` (n, 4) xyxy of an image (path, bytes or RGB pixels)."""
        crops = [crop_face(self.spec, image, tuple(float(v) for v in box)) for box in boxes]
        size = self.spec.find("resize").size
        return self.probabilities(np.array(crops, np.uint8).reshape(-1, size[1], size[0], 3))

    def _dequantized(self, raw: np.ndarray) -> np.ndarray:
        if raw.dtype.kind == "f":
            return raw.astype(np.float32, copy=False)
        scale, zero = self.model.quantization[self.model.outputs[0].name]
        return (raw.astype(np.float32) - np.float32(zero)) * np.float32(scale)


def _spec_file(path: Path) -> Path:
    """Return the spec's file: `<model>.preprocess.json`, for a Keras file also the one of the `.tflite` beside it."""
    own = path.with_suffix(".preprocess.json")
    twin = path.with_name(f"{path.stem}_fp32.preprocess.json")
    return (
        twin
        if path.suffix.lower() in (".keras", ".h5") and not own.is_file() and twin.is_file()
        else own
    )


def _classes(path: Path) -> tuple[str, ...]:
    inside = read_metadata(path) if path.suffix == ".tflite" else None
    if inside and inside["labels"]:
        return tuple(inside["labels"])
    beside = path.with_name("labels.txt")
    if not beside.is_file():
        raise BadInputError(
            "the model's labels are unknown",
            where=path,
            expected="metadata with labels or labels.txt",
            fix="put a labels.txt beside it, one class a line",
        )
    return tuple(beside.read_text(encoding="utf-8").split())
