"""What each stage does to size, channel order, number type and layout, without touching a pixel; errors in one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from facelab.core.errors import BadInputError, did_you_mean
from facelab.preprocess import ops as st
from facelab.preprocess.sizes import fitted, whole_box

PIXEL_OPS = ("decode", "orient", "color", "crop", "align", "resize", "pad")


@dataclasses.dataclass(frozen=True)
class State:
    """The array between two stages: `size` is (width, height) with None where it depends on the image.

    `dtype` is `float` for the backend's working precision (float64 in the reference, float32 elsewhere).
    """

    order: str
    dtype: str = "uint8"
    layout: str = "hwc"
    size: tuple[int | None, int | None] = (None, None)

    @property
    def channels(self) -> int:
        return 1 if self.order == "gray" else 3

    @property
    def shape(self) -> tuple[int | None, ...]:
        axes = {"n": 1, "h": self.size[1], "w": self.size[0], "c": self.channels}
        return tuple(axes[a] for a in self.layout)


def advance(state: State, stage: st.Stage, where: str) -> State:
    """Return the state after `stage`; raise BadInputError naming `where` if the stage cannot follow."""
    if stage.op == "decode":
        raise BadInputError(
            "decode can only be the first stage", where=where, fix="move it to the front"
        )
    if stage.op in PIXEL_OPS and (state.layout != "hwc" or state.dtype not in ("uint8", "float")):
        raise BadInputError(
            f"{stage.op} works on pixels, but the array is not an image any more",
            where=where,
            expected="layout hwc, before any cast or quantize",
            got=f"layout {state.layout}, dtype {state.dtype}",
            fix=f"move {stage.op} forward",
        )
    return _ADVANCE[stage.op](state, stage, where)


def _orient(state: State, stage: Any, where: str) -> State:
    w, h = state.size
    if stage.exif == "apply":
        w, h = (w, h) if w == h else (None, None)
    swap = stage.transform in ("rotate90", "rotate270", "transpose", "transverse")
    return dataclasses.replace(state, size=(h, w) if swap else (w, h))


def _rounded(state: State, stage: Any, where: str) -> str:
    if stage.rounding is None:
        return state.dtype
    if stage.rounding == "none":
        return "float"
    if state.dtype == "float":
        raise BadInputError(
            f"{stage.op} rounds to uint8, but its input is already a float",
            where=where,
            expected="rounding 'none'",
            got=f"rounding {stage.rounding!r}",
            fix=f"write rounding 'none', or move the normalize or cast behind {stage.op}",
        )
    return "uint8"


def _color(state: State, stage: Any, where: str) -> State:
    if stage.source != state.order:
        raise BadInputError(
            "the color stage does not start from the order that the array has",
            where=where,
            expected=f"from {state.order!r}",
            got=f"from {stage.source!r}",
            fix=f'write "from": "{state.order}" or correct the stage before',
        )
    return dataclasses.replace(state, order=stage.target, dtype=_rounded(state, stage, where))


def _channels(values: Any, state: State, stage: Any, name: str, where: str) -> None:
    if values is not None and len(values) not in (1, state.channels):
        raise BadInputError(
            f"{stage.op} states {name!r} for another number of channels",
            where=where,
            expected=f"1 or {state.channels} numbers ({state.order})",
            got=f"{len(values)} numbers",
            fix="give one number for all channels, or one for each",
        )


def _crop(state: Any, stage: Any, where: str) -> State:
    _channels(stage.value, state, stage, "value", where)
    if stage.region == "center" and stage.outside != "clip":
        return dataclasses.replace(state, size=stage.size)
    if stage.region == "full":
        return state
    if None not in state.size:
        if stage.region == "square":
            return dataclasses.replace(state, size=(min(state.size),) * 2)
        if stage.region == "center":
            return dataclasses.replace(state, size=tuple(map(min, state.size, stage.size)))
    if stage.region == "box":
        return dataclasses.replace(state, size=_box_size(state, stage, where))
    return dataclasses.replace(state, size=(None, None))


def _box_size(state: State, stage: Any, where: str) -> tuple[None, None] | tuple[int, int]:
    x1, y1, x2, y2 = whole_box(stage.box, stage.box_rounding)
    w, h = state.size
    if stage.outside == "clip":
        if w is None or h is None:
            return (None, None)
        x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, w), min(y2, h)
    if x2 <= x1 or y2 <= y1:
        raise BadInputError(
            "the crop leaves nothing of the image",
            where=where,
            expected=f"a box inside {w}×{h}",
            got=f"{stage.box}",
            fix="correct the box",
        )
    return (x2 - x1, y2 - y1)


def _align(state: State, stage: Any, where: str) -> State:
    _channels(stage.border, state, stage, "border", where)
    return dataclasses.replace(state, size=stage.size, dtype=_rounded(state, stage, where))


def _resize(state: Any, stage: Any, where: str) -> State:
    _channels(stage.value, state, stage, "value", where)
    if stage.kernel == "nearest":
        dtype = "float" if stage.rounding == "none" else state.dtype
    else:
        dtype = _rounded(state, stage, where)
    if stage.mode in ("stretch", "letterbox"):
        size = stage.size
    else:
        known = None not in state.size
        size = (
            fitted(state.size, stage.size, stage.mode, stage.size_rounding)
            if known
            else (None, None)
        )
    return dataclasses.replace(state, size=size, dtype=dtype)


def padded(size: tuple[int, int], stage: st.Pad, where: str) -> tuple[int, int]:
    """Return the size after padding; raise BadInputError if the image is larger than the target."""
    if stage.multiple:
        w, h = (-(-s // stage.multiple) * stage.multiple for s in size)
        return w, h
    assert stage.to is not None  # a pad has `to` or `multiple`
    if size[0] > stage.to[0] or size[1] > stage.to[1]:
        raise BadInputError(
            "the image is larger than the size it should be padded to",
            where=where,
            expected=f"at most {stage.to[0]}×{stage.to[1]}",
            got=f"{size[0]}×{size[1]}",
            fix="put a resize before the pad",
        )
    return stage.to


def _pad(state: Any, stage: Any, where: Any) -> State:
    _channels(stage.value, state, stage, "value", where)
    if None not in state.size:
        return dataclasses.replace(state, size=padded(state.size, stage, where))
    return dataclasses.replace(state, size=stage.to or (None, None))


def _normalize(state: State, stage: Any, where: str) -> State:
    if state.dtype not in ("uint8", "float", "float16", "float32", "float64"):
        raise BadInputError(
            "normalize cannot follow a stage that made signed integers",
            where=where,
            expected="uint8 pixels or floats",
            got=state.dtype,
            fix="move the cast or quantize behind",
        )
    _channels(stage.mean, state, stage, "mean", where)
    _channels(stage.scale, state, stage, "scale", where)
    return dataclasses.replace(state, dtype="float" if state.dtype == "uint8" else state.dtype)


def _layout(state: State, stage: Any, where: str) -> State:
    if state.layout != "hwc":
        raise BadInputError(
            "the axes have been ordered by an earlier layout stage",
            where=where,
            expected="one layout stage",
            got=f"layout {state.layout!r}, then {stage.to!r}",
            fix="keep the last layout stage and remove the others",
        )
    if "c" not in stage.to and state.channels != 1:
        raise BadInputError(
            f"layout {stage.to!r} has no channel axis, but the image has {state.channels} channels",
            where=where,
            expected="a gray image",
            got=state.order,
            fix="keep the c axis",
        )
    return dataclasses.replace(state, layout=stage.to)


def _cast(state: State, stage: Any, where: str) -> State:
    return dataclasses.replace(state, dtype=stage.dtype)


def _quantize(state: State, stage: Any, where: str) -> State:
    if state.dtype in ("int8", "int16", "int32"):
        raise BadInputError(
            "quantize needs real numbers, not integers",
            where=where,
            expected="floats or pixels",
            got=state.dtype,
            fix="remove the stage that made integers",
        )
    return dataclasses.replace(state, dtype=stage.dtype)


_ADVANCE = {
    "orient": _orient,
    "color": _color,
    "crop": _crop,
    "align": _align,
    "resize": _resize,
    "pad": _pad,
    "normalize": _normalize,
    "layout": _layout,
    "cast": _cast,
    "quantize": _quantize,
}


def explain(
    error: ValidationError, model: Any, value: Mapping[str, Any], where: str
) -> list[BadInputError]:
    """Turn pydantic's complaints about a stage into sentences with near names, all missing parameters into one."""
    fields: dict[str, Any] = model.model_fields
    known = [f.alias or n for n, f in fields.items()]
    # an unknown name explains a missing one, so it goes first
    ordered = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    unknown = sum(e["type"] == "extra_forbidden" for e in ordered)
    if unknown:  # each unknown name stands for one that is missing
        missing = [e for e in ordered if e["type"] == "missing"][:unknown]
        ordered = [e for e in ordered if e not in missing]
    seen: set[tuple[Any, ...]] = set()
    kept = [e for e in ordered if not (e["loc"][:1] in seen or seen.add(e["loc"][:1]))]
    lacking = [str(e["loc"][0]) for e in kept if e["type"] == "missing"]
    told = [_sentence(e, known, where) for e in kept if e["type"] != "missing"]
    if more := _also(model, value, {e["loc"][0] for e in kept if e["loc"]}):
        told.append(BadInputError(more, where=where, fix="correct the stage"))
    if lacking:
        names = ", ".join(map(repr, lacking))
        verb = "parameters" if len(lacking) > 1 else "parameter"
        told.append(
            BadInputError(
                f"the {verb} {names} {'are' if len(lacking) > 1 else 'is'} missing (nothing is implicit)",
                where=where,
                expected=", ".join(known),
                fix=f"state {names}",
            )
        )
    return told


def _also(model: Any, value: Mapping[str, Any], wrong: set[Any]) -> str | None:
    """Return what a stage with wrong parameters must state besides, as far as the others tell; else None."""
    if not wrong or not hasattr(model, "_consistent"):
        return None
    known = {f.alias or n: n for n, f in model.model_fields.items()}
    held = model.model_construct(**{known[k]: v for k, v in value.items() if k in known})
    try:
        held._consistent()
    except ValueError as e:
        return str(e) if "must state" in str(e) else None
    except Exception:  # it needs what is missing
        return None
    return None


def _sentence(first: Any, known: list[str], where: str) -> BadInputError:
    name = ".".join(
        str(p) for p in first["loc"] if not str(p).startswith(("literal[", "tuple[", "constrained"))
    )
    got = repr(first["input"])[:80]
    if first["type"] == "extra_forbidden":
        return BadInputError(
            f"unknown parameter {name!r}{did_you_mean(name, known)}",
            where=where,
            expected=", ".join(known),
            fix="remove or correct it",
        )
    if first["type"] == "literal_error":
        options = first["ctx"]["expected"]
        hint = did_you_mean(
            first["input"], options.replace("'", "").replace(" or ", ", ").split(", ")
        )
        return BadInputError(
            f"{name!r} has an unknown value{hint}",
            where=where,
            expected=options,
            got=got,
            fix="correct the parameter",
        )
    if first["type"] == "value_error":
        return BadInputError(str(first["ctx"]["error"]), where=where, fix="correct the stage")
    said = f"{first['msg'][0].lower()}{first['msg'][1:]}"
    if first["type"] == "tuple_type":
        said = f"write a list, such as [{got}]"
    return BadInputError(
        f"{name!r} has an impossible value: {said}",
        where=where,
        got=got,
        fix="correct the parameter",
    )
