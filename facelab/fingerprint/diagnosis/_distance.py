"""How far apart two sides' outputs are on one probe, and whether that is rounding."""

from __future__ import annotations

import numpy as np

from facelab.fingerprint.document._schema import Fingerprint, hwc
from facelab.fingerprint.document._statistics import unpack
from facelab.fingerprint.probes._cache import Picture


def distance(train: Fingerprint, infer: Fingerprint, name: str, unit: np.ndarray) -> dict | None:
    """Return the largest, RMS and 99th-percentile difference of the samples, and of the block means, in levels.

    `unit` is the size of one 8-bit level in each output channel. None where the tensors cannot be laid over another.
    """
    a, b = train.output[name], infer.output[name]
    if hwc(a["shape"], a["layout"]) != hwc(b["shape"], b["layout"]):
        return None
    x, y = train.samples(name), infer.samples(name)
    sx, sy = unpack(a["sketch"]), unpack(b["sketch"])
    if x.shape != y.shape or sx.shape != sy.shape:
        return None
    d, s = np.abs(x - y) / unit, np.abs(sx - sy) / unit
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


def same(picture: Picture, d: dict, plain: list[float]) -> bool:
    """Return whether one probe's difference `d` is rounding, or the noise of two accurate JPEG decoders.

    `plain` are the RMS differences on the probes that every decoder reads alike.
    """
    if d["nonfinite"]:
        return False
    if picture.lossy:
        # accurate decoders differ by at most one level a channel; libjpeg's fast DCT by up to six on the probes
        return (
            d["rms"] <= max(0.8, 1.25 * max(plain, default=0.0))
            and d["p99"] <= 2.05
            and d["blocks"] <= 1.5
        )
    return d["p99"] <= 1.06 and d["max"] <= 3.0 and d["rms"] <= 0.95 and d["blocks"] <= 1.06
