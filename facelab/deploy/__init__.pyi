from . import evidence, policy, thresholds
from ._bundle import load, make_bundle
from ._export import write_junit, write_sarif
from ._gate import Verdict, judge
from ._opened import Bundle
from ._verify import verify

__all__ = [
    "Bundle",
    "Verdict",
    "evidence",
    "judge",
    "load",
    "make_bundle",
    "policy",
    "thresholds",
    "verify",
    "write_junit",
    "write_sarif",
]
