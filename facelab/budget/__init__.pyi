from ._device import EXAMPLE_DEVICE, DeviceModel, example_device, load_device
from ._file import EXAMPLE_BUDGET, Budget, load_budget
from ._measure import measure_device, processor_times
from ._predict import Prediction, describe, predict
from ._report import BudgetReport
from ._run import run
from ._vela import VelaEstimate, vela_estimate
from .model._arena import Life, greedy_by_size
from .model._cost import ModelCost, cost_of

__all__ = [
    "EXAMPLE_BUDGET",
    "EXAMPLE_DEVICE",
    "Budget",
    "BudgetReport",
    "DeviceModel",
    "Life",
    "ModelCost",
    "Prediction",
    "VelaEstimate",
    "cost_of",
    "describe",
    "example_device",
    "greedy_by_size",
    "load_budget",
    "load_device",
    "measure_device",
    "predict",
    "processor_times",
    "run",
    "vela_estimate",
]
