from . import calibration, export, images, measure, recipes
from ._budgets import Budgets
from ._edge import EdgeQuantizer
from ._operators import check_integer
from ._qat import source_of
from ._run import Request, quantize
from ._session import FLOAT, Session
from ._subject import Subject, load
from ._table import statement

__all__ = [
    "FLOAT",
    "Budgets",
    "EdgeQuantizer",
    "Request",
    "Session",
    "Subject",
    "calibration",
    "check_integer",
    "export",
    "images",
    "load",
    "measure",
    "quantize",
    "recipes",
    "source_of",
    "statement",
]
