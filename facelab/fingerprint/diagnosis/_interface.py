"""What differs about the tensor itself: number type, layout, batch axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.document._statistics import canonical
from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._observed import FITTED, Observed
from facelab.fingerprint.model._operations import Refused
from facelab.fingerprint.model._pipeline_state import Change
from facelab.fingerprint.model._predictor import predict
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


def reinterpreted(train: Identified, observed: Observed) -> Change | None:
    """Say whether the other side's tensor is the training side's buffer read with other axes (a reshape where a
    transpose was needed). `train` is an `Identified` side, `observed` the other side's samples."""
    names = observed.screen[:3]
    images: dict[str, np.ndarray] = {}
    for n in names:
        image = _tensor(train, observed, n)
        if image is None or image.size != math.prod(observed.fingerprint.output[n]["shape"]):
            return None
        images[n] = image
    best: tuple[float, str] | None = None
    own = observed.fingerprint.output[names[0]]["layout"].replace("n", "")
    for order, axes in ORDERS.items():
        if order == own:
            continue  # as it should be: whatever differs then is not a layout
        xs: list[np.ndarray] = []
        ys: list[np.ndarray] = []
        for n, image in images.items():
            shape = observed.fingerprint.output[n]["shape"]
            seen = canonical(np.ascontiguousarray(image.transpose(axes)).reshape(shape))[0]
            index = np.ix_(observed.rows[n], observed.columns[n])
            xs.append(seen[index].ravel())
            ys.append(observed.y[n].ravel())
        x, y = np.concatenate(xs), np.concatenate(ys)
        loss = _line_loss(x, y)
        if best is None or loss < best[0]:
            best = loss, order
    if best is None or best[0] > THRESHOLDS.related * float(train.linear.unit.mean()):
        return None
    entry = observed.fingerprint.output[names[0]]
    return Change(
        "layout",
        "layout",
        "axes moved by a transpose",
        f"{best[1].upper()} values read as {entry['layout'].upper()} without a transpose",
    )


def _line_loss(x: np.ndarray, y: np.ndarray) -> float:
    """The RMS residual of `x` about the line through both, in the units of `x`: infinite where `y` is constant."""
    if y.std() <= 0:
        return float("inf")
    r = float(np.corrcoef(x, y)[0, 1])
    return float(x.std() * np.sqrt(max(0.0, 1 - r * r)) / max(abs(r), 1e-6))


def whole_pixels(train: Identified, observed: Observed, name: str) -> np.ndarray | None:
    """Return the training side's whole picture behind its geometry, 0…255 in the order of its channels."""
    values = _tensor(train, observed, name)
    if values is None or values.shape[2] != 3:
        return None
    return np.clip((values - train.linear.offset) / train.linear.gain, 0, 255)


def _tensor(train: Identified, observed: Observed, name: str) -> np.ndarray | None:
    """The training side's whole output for one probe, height × width × channel, as its model predicts it."""
    try:
        values, cover = predict(train.state.chain, train.observed.source(name, train.state.head))
    except Refused:
        return None
    border = border_levels(train)
    if border is not None:
        values = values + (1 - cover)[..., None] * border.mean()
    for t in train.state.tail:
        values = tone.apply(t, values) if t[0] not in FITTED else values
    return values @ train.linear.matrix.T + train.linear.offset
