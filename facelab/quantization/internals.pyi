from . import export, images, measure
from ._edge import EdgeQuantizer
from ._operators import check_integer
from ._qat import source_of
from ._run import Request
from ._session import FLOAT
from ._subject import Subject
from ._table import statement

__all__ = [
    "FLOAT",
    "EdgeQuantizer",
    "Request",
    "Subject",
    "check_integer",
    "export",
    "images",
    "measure",
    "source_of",
    "statement",
]
