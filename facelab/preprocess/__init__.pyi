from . import emit, presets, spec, tflite_metadata
from ._run import apply, input_to_output, stages
from .image import read_image
from .spec import PreprocessSpec

__all__ = [
    "PreprocessSpec",
    "apply",
    "emit",
    "input_to_output",
    "presets",
    "read_image",
    "spec",
    "stages",
    "tflite_metadata",
]
