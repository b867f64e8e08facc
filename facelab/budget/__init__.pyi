from ._device import DeviceModel, example_device, load_device
from ._file import Budget, load_budget
from ._measure import measure_device
from ._predict import predict
from ._run import run
from ._vela import vela_estimate
from .model._cost import cost_of

__all__ = [
    "Budget",
    "DeviceModel",
    "cost_of",
    "example_device",
    "load_budget",
    "load_device",
    "measure_device",
    "predict",
    "run",
    "vela_estimate",
]
