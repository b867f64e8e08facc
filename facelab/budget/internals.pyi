from ._device import EXAMPLE_DEVICE
from ._file import EXAMPLE_BUDGET
from ._predict import Prediction, describe
from ._report import BudgetReport
from .model._arena import Life, greedy_by_size
from .model._cost import ModelCost

__all__ = [
    "EXAMPLE_BUDGET",
    "EXAMPLE_DEVICE",
    "BudgetReport",
    "Life",
    "ModelCost",
    "Prediction",
    "describe",
    "greedy_by_size",
]
