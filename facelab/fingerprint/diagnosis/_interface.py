"""What differs about the tensor itself: number type, layout, batch axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.document._statistics import canonical
from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._linear_fit import Floats
from facelab.fingerprint.model._observed import FITTED, Observed
from facelab.fingerprint.model._operations import Refused
from facelab.fingerprint.model._pipeline_state import Change
from facelab.fingerprint.search._sides import Identified, border_levels
from facelab.fingerprint.search._thresholds import THRESHOLDS

FLOATS = ("float32", "float64")
"""Interchangeable: a float64 result is cast on its way into the model."""


def interface_changes(train: Fingerprint, infer: Fingerprint, names: list[str]) -> list[Change]:
    """Return the differences of batch axis, layout and number type between two sides."""
    a, b = train.output[names[0]], infer.output[names[0]]
    out: list[Change] = []
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


def _layout_changes(x: str, y: str, a: dict[str, Any], b: dict[str, Any]) -> list[Change]:
    out: list[Change] = []
    if ("n" in x) != ("n" in y):
        out.append(Change("batch_axis", "layout", _words(x, a), _words(y, b)))
    if x.replace("n", "") != y.replace("n", ""):
        out.append(Change("layout", "layout", _words(x, a), _words(y, b)))
    return out


def _words(layout: str, entry: dict[str, Any]) -> str:
    return f"{layout.upper()} {'×'.join(map(str, entry['shape']))}"


ORDERS = {"hwc": (0, 1, 2), "chw": (2, 0, 1), "whc": (1, 0, 2), "cwh": (2, 1, 0)}


class WholeOutputs:
    """A side's whole outputs as its model predicts them, each made once."""

    def __init__(self, side: Identified):
        self.side = side
        self._made: dict[str, Floats | None] = {}

    def tensor(self, name: str) -> Floats | None:
        """Return the output for one probe (height × width × channel); None where it is impossible or costs too much."""
        if name not in self._made:
            self._made[name] = _tensor(self.side, name)
        return self._made[name]

    def pixels(self, name: str) -> Floats | None:
        """Return the whole picture behind the geometry, 0…255 in the order of the output's channels."""
        values, linear = self.tensor(name), self.side.linear
        if values is None or values.shape[2] != 3:
            return None
        dtype = values.dtype
        out = (values - linear.offset.astype(dtype)) / linear.gain.astype(dtype)
        return np.clip(out, 0, 255, out=out)


WORSE = 4.0
"""How many times what a relation may leave of all pictures may be left of the first: then it is not tried further."""


def reinterpreted(train: Identified, observed: Observed, whole: WholeOutputs) -> Change | None:
    """Say whether the other side's tensor is the training side's buffer read with other axes (a reshape where a
    transpose was needed). `whole` are the training side's outputs, `observed` the other side's samples."""
    names = observed.screen[:3]
    own = observed.fingerprint.output[names[0]]["layout"].replace("n", "")
    # as it should be: whatever differs then is not a layout
    parts: dict[str, list[tuple[Floats, Floats]]] = {o: [] for o in ORDERS if o != own}
    limit = THRESHOLDS.related * float(train.linear.unit.mean())
    losses: dict[str, float] = {}
    for n in names:
        image, shape = whole.tensor(n), observed.fingerprint.output[n]["shape"]
        if image is None or image.size != math.prod(shape):
            return None
        index = np.ix_(observed.rows[n], observed.columns[n])
        for order, pairs in parts.items():
            moved = np.ascontiguousarray(image.transpose(ORDERS[order])).reshape(shape)
            seen = canonical(moved)[0][index]
            pairs.append((seen.ravel().astype(np.float64), observed.y[n].ravel()))
            losses[order] = _line_loss(*(np.concatenate([p[k] for p in pairs]) for k in (0, 1)))
        parts = {o: p for o, p in parts.items() if losses[o] <= WORSE * limit}
        if not parts:
            return None
    order = min(parts, key=lambda o: losses[o])
    if losses[order] > limit:
        return None
    entry = observed.fingerprint.output[names[0]]
    return Change(
        "layout",
        "layout",
        "axes moved by a transpose",
        f"{order.upper()} values read as {entry['layout'].upper()} without a transpose",
    )


def _line_loss(x: np.ndarray, y: np.ndarray) -> float:
    """The RMS residual of `x` about the line through both, in the units of `x`: infinite where `y` is constant."""
    if y.std() <= 0:
        return float("inf")
    r = float(np.corrcoef(x, y)[0, 1])
    return float(x.std() * np.sqrt(max(0.0, 1 - r * r)) / max(abs(r), 1e-6))


def _tensor(train: Identified, name: str) -> Floats | None:
    state, samples = train.state, train.observed
    try:
        values, cover = samples.everywhere(state, name)
    except Refused:
        return None
    border = border_levels(train)
    if border is not None:
        values = values + (1 - cover)[..., None] * np.float32(border.mean())
    for t in state.tail:
        values = tone.apply(t, values) if t[0] not in FITTED else values
    values = values.astype(np.float32, copy=False)
    matrix, offset = (v.astype(values.dtype) for v in (train.linear.matrix, train.linear.offset))
    return values @ matrix.T + offset
