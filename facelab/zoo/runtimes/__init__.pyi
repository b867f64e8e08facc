from ._base import Model, ModelRunError, TensorInfo, after_fork
from ._dlib import import_dlib
from ._litert import open_litert
from ._onnx import open_onnx
from ._opencv import CascadeModel
from ._opening import SUFFIXES, check_spec, open_here, open_model
from ._sanity import Sanity, sanity_check
from ._tflite_c import Library, open_tflite_c, tflite_c_library

__all__ = [
    "SUFFIXES",
    "CascadeModel",
    "Library",
    "Model",
    "ModelRunError",
    "Sanity",
    "TensorInfo",
    "after_fork",
    "check_spec",
    "import_dlib",
    "open_here",
    "open_litert",
    "open_model",
    "open_onnx",
    "open_tflite_c",
    "sanity_check",
    "tflite_c_library",
]
