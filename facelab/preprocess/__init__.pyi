from . import (
    align,
    backends,
    colour,
    conformance,
    emit,
    geometry,
    image,
    ops,
    presets,
    raw,
    resample,
    sizes,
    spec,
    tflite_metadata,
    views,
)
from ._run import apply, input_to_output, stages
from .backends import BACKENDS
from .geometry import Face
from .image import read_image
from .ops import DECODE_RGB
from .spec import PreprocessSpec

__all__ = [
    "BACKENDS",
    "DECODE_RGB",
    "Face",
    "PreprocessSpec",
    "align",
    "apply",
    "backends",
    "colour",
    "conformance",
    "emit",
    "geometry",
    "image",
    "input_to_output",
    "ops",
    "presets",
    "raw",
    "read_image",
    "resample",
    "sizes",
    "spec",
    "stages",
    "tflite_metadata",
    "views",
]
