"""The reverse of capturing: from a black box's tensors to the specification that it carries out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from facelab.core.errors import UnsupportedError
from facelab.core.result import Result
from facelab.fingerprint.capture._capture import capture_spec
from facelab.fingerprint.diagnosis._compare import common_probes, compare
from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.model import _operations as ops
from facelab.fingerprint.model._budget import Budget
from facelab.fingerprint.model._linear_fit import Linear
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.search._identify import identify
from facelab.fingerprint.search._sides import Identified
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.align import template
from facelab.preprocess.colour import GRAY_WEIGHTS
from facelab.preprocess.internals import DECODE_RGB

ROUNDINGS = ("half_up", "none", "half_even", "truncate")
PASSES = ("uint8_horizontal_first", "uint8_vertical_first")
ROUND_NUMBERS = (0, 1, 127, 127.5, 128, 255, 104, 117, 123, 116.28, 103.53, 123.675)
"""Means and scales that pipelines use, in levels."""
UNIT_NUMBERS = (0.485, 0.456, 0.406, 0.229, 0.224, 0.225, 0.5)
"""Those of pixels divided by 255."""


@dataclasses.dataclass(frozen=True)
class Proposal(Result):
    """A proposed specification of a black box.

    `verdict` is that of comparing the black box with the proposal on every probe (`identical`, `equivalent` or
    `mismatch`); `open` are the parameters that the probes do not determine, each with the values that fit as well.
    """

    spec: dict[str, Any]
    verdict: str
    open: tuple[str, ...]
    residual: float

    @property
    def proven(self) -> bool:
        """Whether the proposal gives the black box's tensors on every probe, to within rounding."""
        return self.verdict in ("identical", "equivalent")


def infer_spec(black_box: Fingerprint) -> Proposal:
    """Propose the specification that a black box carries out, and check it on every probe.

    Parameters
    ----------
    black_box : Fingerprint
        Of a pipeline without a specification; image probes.

    Returns
    -------
    Proposal
        The specification, the verdict of the comparison with it, and what could not be determined.

    Raises
    ------
    UnsupportedError
        What the pipeline does was not recognised, or has no stage in a specification.
    """
    names = common_probes(black_box, black_box)
    budget = Budget()
    samples = Observed(black_box, names, budget)
    found = identify(black_box, samples, warps=False)
    if not found.good:
        raise UnsupportedError(
            "the pipeline was not recognised",
            where=black_box.path or black_box.name,
            expected="one of the common orders of crop, resize, colour and normalise",
            got=f"{found.linear.loss:.2f} levels RMS are left unexplained",
            fix="capture it with stage hooks, or write the specification by hand: facelab preprocess new --like",
        )
    specs = list(_candidates(black_box, found))
    best, fitting = _best(black_box, specs)
    if best == len(
        RANKS
    ):  # Pillow leaves the orientation of a photograph alone, unless it is asked
        turned = [other for s in specs if (other := _without_exif(s)) is not None]
        best, fitting = min((best, fitting), _best(black_box, turned), key=lambda found: found[0])
    spec, comparison = fitting[0]
    return Proposal(
        spec.to_dict(), comparison.verdict, _undetermined(fitting), float(found.linear.loss)
    )


RANKS = {"identical": 0, "equivalent": 1}


def _best(
    black_box: Fingerprint, specs: list[PreprocessSpec]
) -> tuple[int, list[tuple[PreprocessSpec, Any]]]:
    """Return the best verdict's rank, and the specifications that have it with their comparisons."""
    proposals = [(s, compare(black_box, capture_spec(s))) for s in specs]
    ranks = [RANKS.get(c.verdict, len(RANKS)) for _, c in proposals]
    best = min(ranks, default=len(RANKS) + 1)
    return best, [p for p, rank in zip(proposals, ranks) if rank == best]


def _without_exif(spec: PreprocessSpec) -> PreprocessSpec | None:
    """Return a specification that leaves the orientation of a file alone; None where it does already."""
    stages = [s.to_dict() for s in spec.stages]
    turns = [s for s in stages if s["op"] == "orient" and s["exif"] == "apply"]
    for s in turns:
        s["exif"] = "ignore"
    return PreprocessSpec(spec.name, stages) if turns else None


def _undetermined(fitting: list[tuple[PreprocessSpec, Any]]) -> tuple[str, ...]:
    """Return what the probes leave open: the decoder, and parameters whose other values fit as well."""
    words = ["stage 1 (decode): idct and alpha follow the usual decoder, accurate and drop"]
    first = fitting[0][0]
    for i, stage in enumerate(first.stages):
        for name in ("rounding", "passes"):
            values = {getattr(s.stages[i], name, None) for s, _ in fitting if len(s.stages) > i}
            if len(values) > 1:
                shown = ", ".join(sorted(map(str, values)))
                words.append(f"stage {i + 1} ({stage.op}): {name}, any of {shown}")
    return tuple(words)


def _candidates(black_box: Fingerprint, found: Identified) -> Iterator[PreprocessSpec]:
    """Yield the specification with each rounding of its resampling stage, and of its two passes as Pillow does them."""
    entry = next(iter(black_box.output.values()))
    head, order, linear = _colour(found.linear)
    geometry = [s for op in found.state.chain for s in _stage(op)]
    if found.state.head or found.state.tail:
        _refuse("a change of tones that no stage carries out")
    rounds = any(s["op"] in ("resize", "align") for s in geometry) or any(
        "weights" in s for s in head
    )
    wide = any("edge" in s and s["antialias"] for s in geometry)
    ways = [("half_up", p) for p in PASSES] if wide and rounds else []
    ways += [(r, "") for r in (ROUNDINGS if rounds else ROUNDINGS[:1])]
    for rounding, passes in ways:
        stages: list[dict[str, Any]] = [dict(DECODE_RGB)]
        body = [*geometry[:1], *head, *geometry[1:]] if geometry else head
        real = False
        for s in body:
            s = dict(s)
            if s["op"] in ("resize", "align") or "weights" in s:
                nearest = s.get("kernel") == "nearest"
                s["rounding"] = "half_up" if nearest and not real else "none" if real else rounding
                if passes and s.get("edge") and s["rounding"] == rounding:
                    s["passes"] = passes
                real = real or s["rounding"] == "none"
            stages.append(s)
        stages += _numbers(linear, order)
        stages += [{"op": "layout", "to": entry["layout"]}] if entry.get("layout") else []
        stages += _cast(entry["dtype"])
        yield PreprocessSpec(black_box.name or "inferred", stages)


def _refuse(what: str) -> Any:
    raise UnsupportedError(
        f"the pipeline does {what}",
        fix="write the specification by hand: facelab preprocess new --like PRESET",
    )


def _cast(dtype: str) -> list[dict[str, Any]]:
    if dtype.startswith("float"):
        return [{"op": "cast", "dtype": dtype}]
    if dtype == "uint8":
        return []
    return _refuse(f"give {dtype} numbers, whose scale and zero point the probes do not determine")


def _colour(linear: Linear) -> tuple[list[dict[str, Any]], str, Linear]:
    """Return the color stages, the order of channels, and the linear map."""
    weights = linear.weights
    if weights.shape[0] == 1:
        near = {n: float(np.abs(weights[0] - np.array(w)).max()) for n, w in GRAY_WEIGHTS.items()}
        name = min(near, key=near.__getitem__)
        if near[name] > 0.01:
            rounded = [round(float(w), 3) for w in weights[0]]
            _refuse(f"a gray with the weights {rounded}")
        return [{"op": "color", "from": "rgb", "to": "gray", "weights": name}], "gray", linear
    picked = np.argmax(weights, axis=1).tolist()
    if weights.max(axis=1).min() < 0.97 or picked not in ([0, 1, 2], [2, 1, 0]):
        _refuse("a mix of channels that no stage carries out")
    if picked == [0, 1, 2]:
        return [], "rgb", linear
    return [{"op": "color", "from": "rgb", "to": "bgr"}], "bgr", linear


def _numbers(linear: Linear, order: str) -> list[dict[str, Any]]:
    """Return the normalize stage of output = gain · pixel + offset, brought to the numbers that people write."""
    gain, offset = linear.gain, linear.offset
    if np.allclose(gain, 1, atol=1e-3) and np.allclose(offset, 0, atol=0.3):
        return []
    scale, mean = 1 / gain, -offset / gain
    unit = all(_near(v / 255, UNIT_NUMBERS) is not None for v in [*scale, *mean])
    factor, known = (255, UNIT_NUMBERS) if unit else (1, ROUND_NUMBERS)

    def tidy(v: float) -> float:
        found = _near(v / factor, known)
        return float(found if found is not None else np.round(v / factor, 4))

    means, scales = [tidy(v) for v in mean], [tidy(v) for v in scale]
    units = "0-1" if unit else "0-255"
    return [{"op": "normalize", "mean": means, "scale": scales, "units": units}]


def _near(value: float, known: tuple[float, ...]) -> float | None:
    best = min(known, key=lambda k: abs(k - value))
    return (
        best
        if abs(best - value) <= 0.002 * max(abs(best), 1 if known is ROUND_NUMBERS else 0.3)
        else None
    )


def _stage(op: Any) -> list[dict[str, Any]]:
    """Return the stage of one step of the geometry; what a specification has no stage for is refused by name."""
    if isinstance(op, ops.Orient):
        return [
            {"op": "orient", "exif": "apply" if op.exif else "ignore", "transform": op.transform}
        ]
    if isinstance(op, ops.Crop):
        return _crop(op)
    if isinstance(op, ops.Resize):
        return [_resize(op)]
    if isinstance(op, ops.Pad):
        size = {"to": list(op.to)} if op.to else {"multiple": op.multiple}
        return [{"op": "pad", **size, "anchor": op.anchor, "border": "constant", "value": [0]}]
    if isinstance(op, ops.Align):
        return [_align(op)]
    return _refuse(f"a step of the kind {type(op).__name__.lower()}")


def _crop(op: ops.Crop) -> list[dict[str, Any]]:
    if op.region == "full":
        return []
    if op.region not in ("square", "center", "face") or op.pixels or op.early or op.tall:
        return _refuse(f"a crop of the kind {op.region!r}")
    stage: dict[str, Any] = {"op": "crop", "region": op.region}
    if op.region == "center":
        assert op.size is not None
        stage |= {"size": list(op.size), "outside": op.outside}
    if op.region == "face":
        how = {"floor": "floor", "outward": "outward"}.get(op.style, "nearest")
        stage |= {
            "margin": op.margin,
            "aspect": op.aspect,
            "box_rounding": how,
            "outside": op.outside,
        }
    if stage.get("outside") == "constant":
        stage["value"] = [0]
    return [stage]


_KERNELS: dict[str, dict[str, Any]] = {
    "nearest": {"kernel": "nearest"},
    "bilinear": {"kernel": "bilinear"},
    "area": {"kernel": "area"},
    "area_cv": {"kernel": "area"},  # the same where both sides shrink; the probes say where not
    "bicubic": {"kernel": "bicubic", "cubic_a": -0.5},
    "bicubic75": {"kernel": "bicubic", "cubic_a": -0.75},
    "lanczos3": {"kernel": "lanczos", "lobes": 3},
    "lanczos4": {"kernel": "lanczos", "lobes": 4},
}


def _resize(op: ops.Resize) -> dict[str, Any]:
    if op.kernel not in _KERNELS or op.gap:
        return _refuse(f"a resize with the kernel {op.kernel!r}")
    antialias = op.antialias or op.kernel.startswith("area")
    stage = {"op": "resize", "size": list(op.size), "mode": op.mode, **_KERNELS[op.kernel]}
    stage |= {"antialias": antialias, "pixel_centers": op.centers}
    if op.kernel.startswith(("bicubic", "lanczos")) or (op.kernel == "bilinear" and antialias):
        stage["edge"] = "renormalize" if antialias else "replicate"
    if op.mode != "stretch":
        stage["size_rounding"] = op.size_rounding
    if op.mode == "letterbox":
        stage |= {"anchor": op.anchor, "value": [0]}
    return stage


def _align(op: ops.Align) -> dict[str, Any]:
    points: Any = None
    for name in ("arcface",):
        square = op.size[0] == op.size[1]
        if square and np.allclose(op.points, template(name, op.size), atol=0.05):
            points = name
    points = points or [list(map(float, p)) for p in op.points]
    if op.at is not None or op.landmarks != "given":
        return _refuse("an alignment to its own landmarks")
    exact = op.kernel != "bilinear32"
    kernel = "nearest" if op.kernel == "nearest" else "bilinear"
    return {
        "op": "align",
        "template": points,
        "size": list(op.size),
        "estimator": op.estimator,
        "kernel": kernel,
        "coordinates": "exact" if exact else "1/32",
        "border": [0],
    }
