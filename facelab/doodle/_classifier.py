"""The classifier as a device runs it: ink, the spec's numbers, and an INT8 model on the TFLite C library."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, UnsupportedError, at
from facelab.datasets.doodles import CLASSES
from facelab.doodle._ink import SIDE, ink
from facelab.preprocess import PreprocessSpec, apply
from facelab.zoo.runtimes import Model, check_spec, open_model

MODEL = "doodle_int8.tflite"


def doodle_spec(scale: float | None = None, zero_point: int = 0) -> PreprocessSpec:
    """Return the numbers that a 28×28 ink picture becomes: [−1, 1], NHWC, and with a scale INT8.

    Parameters
    ----------
    scale : float or None
        The model's input scale; None stops at float32.
    zero_point : int
        The model's zero point.

    Returns
    -------
    PreprocessSpec
        The numbers that a 28×28 ink picture becomes.

    Examples
    --------
    >>> spec = doodle_spec()
    >>> spec.output_shape(), spec.output_dtype
    ((1, 28, 28, 1), 'float32')
    """
    stages = [
        {"op": "decode", "format": "gray8", "order": "gray", "size": [SIDE, SIDE]},
        {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
        {"op": "layout", "to": "nhwc"},
        {"op": "cast", "dtype": "float32"},
    ]
    if scale is None:
        return PreprocessSpec("doodle", stages)
    stages.append(
        {
            "op": "quantize",
            "scale": scale,
            "zero_point": zero_point,
            "dtype": "int8",
            "rounding": "half_even",
            "saturate": True,
        }
    )
    return PreprocessSpec("doodle-int8", stages)


class DoodleClassifier:
    """Says whether a drawing is a heart.

    Parameters
    ----------
    model : Model
        An opened TFLite model: 28×28 in, probabilities of `CLASSES` out, float or INT8.
    spec : PreprocessSpec or None
        Replaces the numbers that the model's own scale and zero point call for.

    Raises
    ------
    BadInputError
        The model has other inputs or outputs, or the spec does not fit.
    """

    def __init__(self, model: Model, spec: PreprocessSpec | None = None):
        self.model, self.classes = model, CLASSES
        info, out = model.inputs[0], model.outputs[0]
        fits = len(info.shape) == 4 and info.shape[1:] == (SIDE, SIDE, 1)
        if len(model.inputs) != 1 or not fits or out.shape[-1] != len(CLASSES):
            raise BadInputError(
                "the model is not a classifier of drawings",
                where=model.path,
                expected=f"one input of {SIDE}×{SIDE}, {len(CLASSES)} outputs",
                got=f"{len(model.inputs)} inputs, {info} → {out}",
                fix="train one: facelab doodle train",
            )
        scale, zero = self._quantization(info.name)
        self.spec = spec or (doodle_spec(scale, zero) if info.dtype == "int8" else doodle_spec())
        check_spec(model, self.spec)

    def _quantization(self, name: str) -> tuple[float, int]:
        return getattr(self.model, "quantization", {}).get(name, (0.0, 0))

    def tensors(self, inks: np.ndarray) -> np.ndarray:
        """Return the model's input for ink pictures (n, 28, 28) uint8, by the spec."""
        rows = [apply(self.spec, np.ascontiguousarray(i)[..., None]) for i in inks]
        return np.concatenate(rows)

    def probabilities(self, inks: np.ndarray) -> np.ndarray:
        """Return the probability of each class, float64 (n, 2), for ink pictures (n, 28, 28) uint8."""
        if not len(inks):
            return np.zeros((0, len(CLASSES)))
        return np.concatenate([self.answer(t[None]) for t in self.tensors(inks)])

    def answer(self, tensor: np.ndarray) -> np.ndarray:
        """Return the probabilities for one prepared input, dequantised by the model's own parameters."""
        raw = self.model.run(tensor)[0]
        if raw.dtype.kind == "f":
            return raw.astype(np.float64)
        scale, zero = self._quantization(self.model.outputs[0].name)
        return (raw.astype(np.float64) - zero) * scale

    def heart(self, image: np.ndarray) -> float:
        """Return the probability that a picture (height, width[, 3]) uint8 of a drawing shows a heart."""
        return float(self.probabilities(ink(image)[None])[0, 0])

    def __repr__(self) -> str:
        return f"<DoodleClassifier {self.model!r}>"


def load(
    path: str | os.PathLike[str] | None = None, *, runtime: str = "tflite_c", threads: int = 1
) -> DoodleClassifier:
    """Load a classifier of drawings.

    Parameters
    ----------
    path : path-like or None
        A `.tflite` file or the folder of a training; None: the folder of the last `facelab doodle train`.
    runtime : {"tflite_c", "litert"}
        "tflite_c" is the C library that devices link; "litert" gives the same answers in Python.
    threads : int
        Threads of the runtime.

    Returns
    -------
    DoodleClassifier
        The classifier.

    Raises
    ------
    BadInputError
        There is no such file, or it is not a classifier of drawings.
    UnsupportedError
        The C library is not installed.

    Examples
    --------
    >>> classifier = load()
    >>> classifier.classes
    ('heart', 'other')
    """
    from facelab.doodle._train import default_folder

    chosen = Path(path) if path is not None else default_folder()
    file = chosen / MODEL if chosen.is_dir() or path is None else chosen
    if not file.is_file():
        raise BadInputError(
            "there is no classifier of drawings",
            where=file,
            fix="train one: facelab doodle train",
        )
    if runtime not in ("tflite_c", "litert"):
        raise UnsupportedError(
            "no such runtime for drawings",
            expected="tflite_c, litert",
            got=runtime,
            fix="choose one of the two",
        )
    with at(file):
        return DoodleClassifier(open_model(file, threads=threads, runtime=runtime))
