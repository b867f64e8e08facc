from ._base import Model, ModelRunError, TensorInfo, after_fork
from ._dlib import import_dlib
from ._litert import open_litert
from ._onnx import open_onnx
from ._opening import SUFFIXES, check_spec, open_here, open_model
from ._sanity import Sanity, sanity_check

__all__ = [
    "SUFFIXES",
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
    "sanity_check",
]
