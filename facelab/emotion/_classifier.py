"""An exported emotion classifier: the `.tflite`, its spec and its labels, run as a device would run them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facelab.core.errors import BadInputError
from facelab.datasets.labels import SEVEN
from facelab.emotion._labels import are_logits, emotions, output_of_classes, read_labels
from facelab.emotion._spec import crop_face, face_size, to_tensor
from facelab.preprocess import PreprocessSpec
from facelab.zoo.runtimes import open_model

if TYPE_CHECKING:
    from jaxtyping import Float32, Num, UInt8


class EmotionClassifier:
    """A classifier file (`.tflite`, `.onnx`, `.keras`) with the spec beside it (`<model>.preprocess.json`).

    Outputs that are not probabilities are taken for logits and go through a softmax. Integer inputs are quantised by
    the spec's own `quantize` stage (round half to even, saturating), never by a cast. Integer outputs are dequantised
    by the file's scale and zero point.

    Parameters
    ----------
    path : str or path
        The model file.
    spec : PreprocessSpec or None
        Replaces the spec beside the file.
    threads : int or None
        Threads of the runtime; None for all cores.
    labels : sequence of str or None
        Names in the order of the outputs; None for those in the file, or in `labels.txt` beside it.
    label_map : mapping of str to str or None
        The model's label → one of the seven emotions, for labels that are spelt otherwise.

    Attributes
    ----------
    labels : tuple of str
        The model's own names, in the order of the outputs.
    classes : tuple of str
        The same under facelab's names (`angry` is anger), where one is known.
    logits : bool
        Whether outputs go through a softmax.
    suspicion : Suspicion or None
        Where the file and `labels.txt` disagree.

    Raises
    ------
    BadInputError
        The preprocessing or the labels are unknown, or do not fit the model.

    Examples
    --------
    >>> classifier = EmotionClassifier("model.onnx", labels=["anger", "joy", "neutral"])
    >>> classifier.classes, classifier.emotions
    (('anger', 'joy', 'neutral'), ('anger', 'joy', 'neutral'))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        spec: PreprocessSpec | None = None,
        threads: int | None = None,
        labels: Sequence[str] | None = None,
        label_map: Mapping[str, str] | None = None,
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
        self.logits = False
        self.spec = spec or PreprocessSpec.load(beside)
        self.model = open_model(path, threads=threads, spec=self.spec)
        if labels is None:
            labels, self.suspicion = read_labels(path, self.model)
        else:
            self.suspicion = None
        self.labels = tuple(labels)
        self.classes = emotions(self.labels, label_map or {}, where=path)
        face_size(self.spec)  # a spec that cannot cut faces is refused here
        self._output = output_of_classes(self.model.outputs, len(self.classes), where=path)

    def rename(self, label_map: Mapping[str, str]) -> None:
        """Give classes other names: `label_map` says what a label of the model means. Raises BadInputError."""
        self.classes = emotions(self.labels, label_map, where=self.path)

    @property
    def emotions(self) -> tuple[str, ...]:
        """The classes that are among the seven emotions, sorted. Raises BadInputError for fewer than two."""
        found = tuple(sorted(c for c in self.classes if c in SEVEN))
        if len(found) < 2:
            raise BadInputError(
                "the model's labels are not emotions that facelab knows",
                where=self.path,
                expected=f"two or more of {', '.join(SEVEN)}",
                got=", ".join(self.labels),
                fix="say what its labels mean with --label-map LABEL=EMOTION",
            )
        return found

    def probabilities(
        self, crops: UInt8[np.ndarray, "n h w 3"]
    ) -> Float32[np.ndarray, "n classes"]:
        """Return (n, classes) float32 for uint8 crops (n, size, size, 3) made by this classifier's spec."""
        return self.answers(to_tensor(self.spec, crops))

    def answers(self, tensors: Num[np.ndarray, "n ..."]) -> Float32[np.ndarray, "n classes"]:
        """Return probabilities (n, classes) float32 for the model's own inputs (n, …)."""
        from scipy.special import softmax

        out = np.empty((len(tensors), len(self.classes)), np.float32)
        for i, tensor in enumerate(tensors):
            out[i] = self._dequantized(self.model.run(tensor[None])[self._output]).reshape(-1)
        self.logits = self.logits or are_logits(out)
        return softmax(out, axis=1) if self.logits else out

    def classify(
        self, image: np.ndarray, boxes: Num[np.ndarray, "n 4"]
    ) -> Float32[np.ndarray, "n classes"]:
        """Return (n, classes) float32 for the faces in `boxes` (n, 4) xyxy of an image (path, bytes or RGB pixels)."""
        crops = [crop_face(self.spec, image, [float(v) for v in box]) for box in boxes]
        width, height = face_size(self.spec)
        return self.probabilities(np.array(crops, np.uint8).reshape(-1, height, width, 3))

    def _dequantized(self, raw: np.ndarray) -> np.ndarray:
        if raw.dtype.kind == "f":
            return raw.astype(np.float32, copy=False)
        scale, zero = self.model.quantization.get(self.model.outputs[self._output].name, (0.0, 0))
        if not scale:
            raise BadInputError(
                "the model's output is whole numbers without a scale",
                where=self.path,
                expected="probabilities or logits",
                got=f"{raw.dtype} without quantisation parameters",
                fix="export the model with a float output, or quantise it again",
            )
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
