from . import calibration, recipes
from ._budgets import Budgets
from ._run import quantize
from ._session import Session
from ._subject import load

__all__ = [
    "Budgets",
    "Session",
    "calibration",
    "load",
    "quantize",
    "recipes",
]
