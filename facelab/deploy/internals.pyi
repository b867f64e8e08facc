from . import golden, manifest
from ._code import languages_of
from ._export import ABOUT

__all__ = [
    "ABOUT",
    "golden",
    "languages_of",
    "manifest",
]
