from . import calibration, export, recipes
from ._budgets import Budgets
from ._run import quantize
from ._session import Session
from ._subject import load

__all__ = [
    "Budgets",
    "Session",
    "calibration",
    "export",
    "load",
    "quantize",
    "recipes",
]
