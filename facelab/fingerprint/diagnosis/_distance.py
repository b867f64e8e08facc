"""How far apart two sides' outputs are on one probe, and whether that is rounding."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from facelab.fingerprint.diagnosis._levels import Curve
from facelab.fingerprint.document._schema import Fingerprint, hwc
from facelab.fingerprint.document._statistics import lines, unpack
from facelab.fingerprint.model._linear_fit import Floats
from facelab.fingerprint.probes._cache import Picture


class Distance(TypedDict):
    """How far two tensors of one probe are apart, in levels of 8-bit input."""

    max: float
    rms: float


class Measured(Distance):
    """A distance with what decides whether it is rounding; `nonfinite` is true where one side alone has NaN."""

    p99: float
    blocks: float
    energy: float
    moments: float
    nonfinite: bool


def distance(
    train: Fingerprint,
    infer: Fingerprint,
    name: str,
    unit: np.ndarray,
    curve: Curve | None = None,
) -> Measured | None:
    """Return the largest, RMS and 99th-percentile difference of the samples, and of the block means, in levels.

    `unit` is the size of one 8-bit level in each output channel. Behind a `curve`, levels are counted behind it or in
    front of it, whichever are fewer: where it is steep, one level before it is several behind it. None where the
    tensors have other sizes.
    """
    a, b = train.output[name], infer.output[name]
    if hwc(a["shape"], a["layout"]) != hwc(b["shape"], b["layout"]):
        return None
    laid = common_samples(train, infer, name)
    if laid is None:
        return None
    x, y = laid
    sx, sy = unpack(a["sketch"]), unpack(b["sketch"])
    if sx.shape != sy.shape:
        return None
    d, s = _apart(x, y, unit, curve), _apart(sx, sy, unit, curve)
    energy = max(
        abs(p - q) / (max(abs(p), abs(q)) + 0.5 * u)
        for key in ("gradient", "laplacian")
        for p, q, u in zip(a["energy"][key], b["energy"][key], unit)
    )
    whole = max(
        abs(p - q) / u
        for key in ("mean", "std", "min", "max")
        for p, q, u in zip(a["moments"][key], b["moments"][key], unit)
    )
    bad = a.get("nonfinite", 0) != b.get("nonfinite", 0)
    return {
        "max": float(d.max()),
        "rms": float(np.sqrt((d**2).mean())),
        "p99": float(np.percentile(d, 99)),
        "blocks": float(s.max()),
        "energy": float(energy),
        "moments": float(whole),
        "nonfinite": bad,
    }


def _apart(x: Floats, y: Floats, unit: Floats, curve: Curve | None) -> Floats:
    d: Floats = np.abs(x - y) / unit
    if curve is None or x.shape[-1] != len(curve.gain):
        return d
    return np.minimum(d, np.abs(curve.before(x) - curve.before(y)))


def common_samples(
    train: Fingerprint, infer: Fingerprint, name: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return both sides' samples of one probe at the places that both hold; None where the tensors differ in size.

    Fingerprints of one size are sampled at the same places. Files of older versions, thinned to stay small, hold other
    rows and columns: of those, the common ones are compared.
    """
    a, b = train.output[name], infer.output[name]
    size = hwc(a["shape"], a["layout"])
    if size != hwc(b["shape"], b["layout"]):
        return None
    x, y = train.samples(name), infer.samples(name)
    for axis in (0, 1):
        p, q = (lines(size[axis], s.shape[axis]) for s in (x, y))
        both = sorted(set(p) & set(q))
        if not both:
            return None
        x = np.take(x, [p.index(k) for k in both], axis)
        y = np.take(y, [q.index(k) for k in both], axis)
    return x, y


def same(
    picture: Picture, d: Measured, plain: list[float], step: float = 0.0, *, twice: bool = False
) -> bool:
    """Return whether one probe's difference `d` is rounding, or the noise of two accurate JPEG decoders.

    `plain` are the RMS differences on the probes that every decoder reads alike; `step` is what one whole number of a
    quantised tensor is in levels (0: the tensor is not quantised). `twice` says that pixels may have been rounded
    before a curve and behind it, so that a level becomes two here and there.
    """
    if d["nonfinite"]:
        return False
    if picture.lossy:
        # accurate decoders differ by at most one level a channel; libjpeg's fast DCT by up to six on the probes.
        # Quantising rounds both sides once more, by half a step where quotients are ties (a scale near 2/255).
        return (
            d["rms"] <= max(np.hypot(0.8, 0.5 * step), 1.25 * max(plain, default=0.0))
            and d["p99"] <= 2.05
            and d["blocks"] <= 1.5
        )
    if d["max"] > 3.0 or d["blocks"] > 1.06:
        return False
    if d["p99"] > 1.06:
        return twice and d["p99"] <= 2.05 and d["rms"] <= TWICE
    # a level in a picture that is one colour nearly everywhere is a level everywhere
    return d["rms"] <= 0.95 or (d["rms"] <= 1.0 and float(np.median(plain)) <= USUAL)


TWICE, USUAL = 0.65, 0.8
"""Levels RMS that roundings before a curve and behind it leave at most, and that one rounding leaves mostly."""
