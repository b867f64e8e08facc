from ._device import DeviceModel, example_device, load_device
from ._measure import measure_device, processor_times
from ._predict import Prediction, predict
from .model._cost import ModelCost, cost_of

__all__ = [
    "DeviceModel",
    "ModelCost",
    "Prediction",
    "cost_of",
    "example_device",
    "load_device",
    "measure_device",
    "predict",
    "processor_times",
]
