from ._boxes import FORMATS, Annotations
from ._read import read
from ._write import write

__all__ = ["FORMATS", "Annotations", "read", "write"]
