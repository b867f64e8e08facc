"""The preprocessing that a `.tflite` file's own metadata state, as a spec."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, MissingAssetError
from facelab.core.safety.first_try import first_try
from facelab.preprocess.ops import DECODE_RGB
from facelab.preprocess.spec import PreprocessSpec
from facelab.preprocess.tflite_metadata import read_metadata


def spec_of(path: str | os.PathLike[str]) -> PreprocessSpec:
    """Return the preprocessing a `.tflite` file's metadata and input tensor state, as the TFLite Task Library does it.

    That is: RGB, stretched to the input's size bilinearly without antialias, (x − mean) / std, then quantised where
    the input is integer. Raises BadInputError for a model without normalisation metadata or whose input is not an RGB
    picture, MissingAssetError for a missing file.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingAssetError("the model file does not exist", where=path, fix="check the path")
    try:
        found = read_metadata(path)
    except (ValueError, IndexError, TypeError, struct.error) as e:
        # what a flatbuffer reader raises on bytes that are none
        raise BadInputError(
            "the file is not a TFLite model that can be read",
            where=path,
            got=str(e)[:160],
            fix="convert the model again, or name a .tflite file",
        ) from None
    if found is None or not found["mean"] or not found["std"]:
        raise BadInputError(
            "the TFLite model has no normalisation metadata",
            where=path,
            expected="TensorFlow Lite Metadata with NormalizationOptions",
            fix="give --spec with what the model was trained for",
        )
    return PreprocessSpec(path.name, _stages(path, found["mean"], found["std"]))


def _input_of(path: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    details: list[dict[str, Any]] = Interpreter(model_path=path).get_input_details()
    return details[0]


def _trial(path: str) -> None:  # pyright: ignore[reportUnusedFunction] # `first_try` calls it by its name
    _input_of(path)


def _stages(path: Path, mean: list[float], std: list[float]) -> list[dict[str, Any]]:
    first_try(path, f"{__name__}:_trial", reader="litert for its metadata")
    try:
        detail = _input_of(str(path))
    except (ValueError, RuntimeError) as e:
        raise BadInputError(
            "the TFLite model cannot be opened",
            where=path,
            got=str(e).splitlines()[0][:160],
            fix="convert the model with built-in operators only",
        ) from None
    shape = [int(n) for n in detail["shape"]]
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
        raise BadInputError(
            "the TFLite model's input is not a picture",
            where=path,
            expected="1 × height × width × 3 or 1",
            got=str(shape),
            fix="give a model whose input is one picture",
        )
    dtype = detail["dtype"].__name__
    gray = (
        [{"op": "color", "from": "rgb", "to": "gray", "weights": "bt601", "rounding": "half_up"}]
        if shape[3] == 1
        else []
    )
    stages = [
        DECODE_RGB,
        {"op": "orient", "exif": "apply", "transform": "none"},
        *gray,
        {
            "op": "resize",
            "size": [shape[2], shape[1]],
            "mode": "stretch",
            "kernel": "bilinear",
            "antialias": False,
            "pixel_centers": "half",
            "rounding": "half_up",
        },
        {
            "op": "normalize",
            "mean": mean[:1] if gray else mean,
            "scale": std[:1] if gray else std,
            "units": "0-255",
        },
        {"op": "layout", "to": "nhwc"},
    ]
    if dtype == "float32":
        return [*stages, {"op": "cast", "dtype": "float32"}]
    scale, zero = detail["quantization"]
    return [
        *stages,
        {
            "op": "quantize",
            "scale": float(scale),
            "zero_point": int(zero),
            "dtype": dtype,
            "rounding": "half_away",
            "saturate": True,
        },
    ]
