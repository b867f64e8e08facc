"""What differs about the tensor itself: number type, layout, batch axis."""

from __future__ import annotations

from facelab.fingerprint.hypotheses import Change
from facelab.fingerprint.schema import Fingerprint

FLOATS = ("float32", "float64")
"""Interchangeable: a float64 result is cast on its way into the model."""


def interface_changes(train: Fingerprint, infer: Fingerprint, names: list[str]) -> list[Change]:
    """Return the differences of batch axis, layout and number type between two sides."""
    a, b = train.output[names[0]], infer.output[names[0]]
    out = []
    la, lb = _readings(a["layout"], a["shape"]), _readings(b["layout"], b["shape"])
    # one tensor of three axes starting with 1 may be a batch of gray images or a gray image channel first
    pairs = sorted(((_layout_changes(x, y, a, b)) for x in la for y in lb), key=len)
    out += pairs[0]
    if a["dtype"] != b["dtype"] and not {a["dtype"], b["dtype"]} <= set(FLOATS):
        out.append(Change("dtype", "cast", a["dtype"], b["dtype"]))
    return out


def _readings(layout: str, shape: list[int]) -> list[str]:
    if layout == "nhw" and shape[0] == 1:
        return ["nhw", "chw"]
    return [layout]


def _layout_changes(x: str, y: str, a: dict, b: dict) -> list[Change]:
    out = []
    if ("n" in x) != ("n" in y):
        out.append(Change("batch_axis", "layout", _words(x, a), _words(y, b)))
    if x.replace("n", "") != y.replace("n", ""):
        out.append(Change("layout", "layout", _words(x, a), _words(y, b)))
    return out


def _words(layout: str, entry: dict) -> str:
    return f"{layout.upper()} {'×'.join(map(str, entry['shape']))}"
