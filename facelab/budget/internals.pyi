from ._device import EXAMPLE_DEVICE, DeviceModel
from ._file import EXAMPLE_BUDGET
from ._measure import measure_device
from ._predict import Prediction, describe
from ._report import BudgetReport
from ._vela import vela_estimate
from .model._arena import Life, greedy_by_size
from .model._cost import ModelCost

__all__ = [
    "EXAMPLE_BUDGET",
    "EXAMPLE_DEVICE",
    "BudgetReport",
    "DeviceModel",
    "Life",
    "ModelCost",
    "Prediction",
    "describe",
    "greedy_by_size",
    "measure_device",
    "vela_estimate",
]
