from ._device import example_device, load_device
from ._file import Budget, load_budget
from ._predict import predict
from ._run import run
from .model._cost import cost_of

__all__ = [
    "Budget",
    "cost_of",
    "example_device",
    "load_budget",
    "load_device",
    "predict",
    "run",
]
