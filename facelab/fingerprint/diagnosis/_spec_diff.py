"""What differs between two specs: stage, parameter, and the kind of mistake that is."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

import numpy as np

from facelab.fingerprint.model._linear_fit import compare_scaling, describe_scaling
from facelab.fingerprint.model._pipeline_state import KIND_OF, Change

PARAMETER_KINDS = {
    ("decode", "order"): "channel_order",
    ("orient", "exif"): "exif_orientation",
    ("color", "weights"): "gray_weights",
    ("color", "matrix"): "yuv_matrix",
    ("color", "range"): "yuv_range",
    ("crop", "margin"): "margin",
    ("crop", "aspect"): "aspect",
    ("align", "kernel"): "resize_kernel",
    ("align", "size"): "size",
    ("resize", "kernel"): "resize_kernel",
    ("resize", "cubic_a"): "resize_kernel",
    ("resize", "lobes"): "resize_kernel",
    ("resize", "antialias"): "antialias",
    ("resize", "pixel_centers"): "pixel_centers",
    ("resize", "mode"): "aspect",
    ("resize", "anchor"): "shift",
    ("resize", "size"): "size",
    ("resize", "size_rounding"): "size",
    ("resize", "value"): "aspect",
    ("pad", "anchor"): "shift",
    ("pad", "to"): "size",
    ("pad", "multiple"): "size",
    ("cast", "dtype"): "dtype",
    ("cast", "saturate"): "saturation",
    ("quantize", "saturate"): "saturation",
}
OP_KINDS = {
    "decode": "decoder",
    "orient": "exif_orientation",
    "color": "channel_order",
    "crop": "crop",
    "align": "alignment_template",
    "resize": "resize_order",
    "pad": "aspect",
    "normalize": "missing_normalization",
    "layout": "layout",
    "cast": "dtype",
    "quantize": "quantization",
}
FOLLOWS = {
    "edge": ("kernel", "antialias"),
    "cubic_a": ("kernel",),
    "lobes": ("kernel",),
    "idct": ("format",),
    "saturate": ("dtype",),
    "anchor": ("mode",),
    "value": ("mode",),
    "size_rounding": ("mode",),
}
"""A parameter that must change when another one does is not its own mistake."""


def spec_changes(
    train: dict[str, Any], infer: dict[str, Any]
) -> list[tuple[Change, dict[str, Any]]]:
    """Return the differences of two specs (plain JSON) in order, each with {"stage", "parameter"} for the report.

    Stages are matched by their op; matched ones are compared parameter by parameter.
    """
    a, b = train["stages"], infer["stages"]
    out: list[tuple[Change, dict[str, Any]]] = []
    ops = [s["op"] for s in a], [s["op"] for s in b]
    if ops[0] != ops[1] and sorted(ops[0]) == sorted(ops[1]):
        first = next(i for i, (x, y) in enumerate(zip(*ops)) if x != y)
        out.append(
            (
                Change("resize_order", ops[0][first], " → ".join(ops[0]), " → ".join(ops[1])),
                _place(first, ops[0][first], "order"),
            )
        )
        return out
    for tag, i1, i2, j1, j2 in SequenceMatcher(a=ops[0], b=ops[1], autojunk=False).get_opcodes():
        if tag == "equal":
            for i, j in zip(range(i1, i2), range(j1, j2)):
                out += _parameters(a[i], b[j], i)
            continue
        out += [(_lost(a[i], ops[1]), _place(i, a[i]["op"], "stage")) for i in range(i1, i2)]
        out += [(_added(b[j], ops[0]), _place(i1, b[j]["op"], "stage")) for j in range(j1, j2)]
    return _scaling(train, infer, out)


def _place(index: int, op: str, parameter: str) -> dict[str, Any]:
    return {"stage": f"{index + 1:02d}_{op}", "parameter": parameter}


def _lost(stage: dict[str, Any], others: list[str]) -> Change:
    kind = OP_KINDS[stage["op"]]
    return Change(
        kind,
        stage["op"],
        _show(stage),
        f"no {stage['op']} stage" if stage["op"] not in others else "one fewer",
    )


def _added(stage: dict[str, Any], others: list[str]) -> Change:
    kind = OP_KINDS[stage["op"]]
    if stage["op"] == "normalize" and "normalize" in others:
        kind = "double_normalization"
    return Change(kind, stage["op"], f"no such {stage['op']} stage", _show(stage))


def _show(stage: dict[str, Any]) -> str:
    return stage["op"] + " " + ", ".join(f"{k} {_value(v)}" for k, v in stage.items() if k != "op")


def _value(v: Any) -> str:
    return "not stated" if v is None else str(v).lower() if isinstance(v, bool) else str(v)


def _parameters(
    a: dict[str, Any], b: dict[str, Any], index: int
) -> list[tuple[Change, dict[str, Any]]]:
    op: str = a["op"]
    out: list[tuple[Change, dict[str, Any]]] = []
    keys = [k for k in {**a, **b} if a.get(k) != b.get(k)]
    for k in keys:
        if any(f in keys for f in FOLLOWS.get(k, ())) or (
            op == "cast" and k == "rounding" and "dtype" in keys
        ):
            continue
        change = Change(
            _kind(op, k, a, b), op, f"{k} {_value(a.get(k))}", f"{k} {_value(b.get(k))}"
        )
        out.append((change, _place(index, op, k)))
    return out


def _kind(op: str, key: str, a: dict[str, Any], b: dict[str, Any]) -> str:
    if op == "orient" and key == "transform":
        return KIND_OF[b[key] if b[key] != "none" else a[key]]
    if op == "layout":
        x, y = a["to"], b["to"]
        return "batch_axis" if x.replace("n", "") == y.replace("n", "") else "layout"
    if key == "rounding":
        return "rounding"
    if op == "normalize":
        return {"mean": "mean", "scale": "scale", "units": "value_range"}[key]
    if op == "resize" and key == "antialias" and "area" in (a["kernel"], b["kernel"]):
        return "resize_kernel"
    return PARAMETER_KINDS.get((op, key), OP_KINDS[op])


def _scaling(
    train: dict[str, Any], infer: dict[str, Any], changes: list[tuple[Change, dict[str, Any]]]
) -> list[tuple[Change, dict[str, Any]]]:
    """Name what the whole chain of normalisations does to the values, instead of parameter by parameter."""
    moved = [c for c in changes if c[0].stage == "normalize"]
    a, b = (scaling_of(s) for s in (train, infer))
    if not moved or a is None or b is None:
        return changes
    gains = np.broadcast_arrays(*a, *b)
    pair = (gains[0], gains[1]), (gains[2], gains[3])
    words = describe_scaling(*pair[0]), describe_scaling(*pair[1])
    named = [
        (Change(kind, "normalize", words[0], f"{words[1]}: {remark}"), moved[0][1])
        for kind, remark in compare_scaling(*pair)
    ]
    at = changes.index(moved[0])
    rest = [c for c in changes if c not in moved]
    return rest[:at] + named + rest[at:]


def scaling_of(spec: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (gain, offset) per channel of all normalize stages together, None if their channels do not fit."""
    gain, offset = np.ones(1), np.zeros(1)
    try:
        for s in spec["stages"]:
            if s["op"] == "normalize":
                unit = 1 / 255 if s["units"] == "0-1" else 1.0
                mean, scale = np.array(s["mean"], float), np.array(s["scale"], float)
                gain, offset = gain * unit / scale, (offset * unit - mean) / scale
        a, b = np.broadcast_arrays(gain, offset)
        return a, b
    except ValueError:
        return None
