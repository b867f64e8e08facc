from . import policy
from ._bundle import load, make_bundle
from ._gate import Verdict, judge
from ._verify import verify

__all__ = [
    "Verdict",
    "judge",
    "load",
    "make_bundle",
    "policy",
    "verify",
]
