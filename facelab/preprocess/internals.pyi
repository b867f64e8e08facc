from . import (
    align,
    backends,
    colour,
    conformance,
    geometry,
    image,
    ops,
    raw,
    resample,
    sizes,
    spec,
    tflite_metadata,
    views,
)
from ._run import stages
from .ops import DECODE_RGB

__all__ = [
    "DECODE_RGB",
    "align",
    "backends",
    "colour",
    "conformance",
    "geometry",
    "image",
    "ops",
    "raw",
    "resample",
    "sizes",
    "spec",
    "stages",
    "tflite_metadata",
    "views",
]
