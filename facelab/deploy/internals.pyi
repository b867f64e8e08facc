from . import evidence, golden, manifest, thresholds
from ._code import languages_of
from ._export import ABOUT, write_junit, write_sarif
from ._opened import Bundle

__all__ = [
    "ABOUT",
    "Bundle",
    "evidence",
    "golden",
    "languages_of",
    "manifest",
    "thresholds",
    "write_junit",
    "write_sarif",
]
