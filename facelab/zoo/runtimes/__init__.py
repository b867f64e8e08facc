"""Open a model with the runtime its file needs: `open_model`."""

from facelab.zoo.runtimes.base import Model, ModelRunError, TensorInfo
from facelab.zoo.runtimes.opening import check_spec, open_model
from facelab.zoo.runtimes.sanity import Sanity, sanity_check

__all__ = [
    "Model",
    "ModelRunError",
    "Sanity",
    "TensorInfo",
    "check_spec",
    "open_model",
    "sanity_check",
]
