from . import evidence, golden, manifest, policy, thresholds
from ._bundle import Bundle, load, make_bundle
from ._code import languages_of
from ._export import ABOUT, write_junit, write_sarif
from ._gate import Verdict, judge
from ._verify import verify

__all__ = [
    "ABOUT",
    "Bundle",
    "Verdict",
    "evidence",
    "golden",
    "judge",
    "languages_of",
    "load",
    "make_bundle",
    "manifest",
    "policy",
    "thresholds",
    "verify",
    "write_junit",
    "write_sarif",
]
