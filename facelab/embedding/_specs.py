"""Preprocessing specs that embedders share, and the variants of them that experiments compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facelab.core.errors import BadInputError
from facelab.preprocess.ops import DECODE_RGB
from facelab.preprocess.spec import PreprocessSpec

ALIGNMENTS = ("umeyama", "affine3", "none")
"""Least-squares similarity to the template; affine through both eyes and the mouth; the face box, unaligned."""

MISTAKES = ("swapped channels", "x/255 only", "raw 0-255", "normalised twice")
"""Mistakes that are often made in front of an embedder (see `mistaken`)."""

DECODE = DECODE_RGB


def aligned_spec(
    name: str,
    *,
    size: int = 112,
    order: str = "rgb",
    mean: Sequence[float] = (127.5,),
    scale: Sequence[float] = (127.5,),
    units: str = "0-255",
    layout: str = "nchw",
) -> PreprocessSpec:
    """Build the spec of an embedder that takes faces aligned to the ArcFace template; empty `mean`: raw pixels.

    Parameters
    ----------
    name : str
        A name.
    size : int
        The size (width, height) in pixels.
    order : str
        The channel order of the model.
    mean : sequence of float
        The mean per channel.
    scale : sequence of float
        The scale per channel.
    units : str
        The units of mean and scale, `0-255` or `0-1`.
    layout : str
        The order of the axes.

    Returns
    -------
    PreprocessSpec
        The spec.

    Examples
    --------
    >>> spec = aligned_spec("mine", size=112, order="bgr")
    >>> [stage.op for stage in spec.stages], spec.output_shape()
    (['decode', 'color', 'align', 'normalize', 'layout', 'cast'], (1, 3, 112, 112))
    """
    stages: list[dict[str, Any]] = (
        [DECODE] if order == "rgb" else [DECODE, {"op": "color", "from": "rgb", "to": order}]
    )
    stages.append(
        {
            "op": "align",
            "template": "arcface",
            "size": [size, size],
            "estimator": "umeyama",
            "kernel": "bilinear",
            "coordinates": "1/32",
            "border": [0],
            "rounding": "half_up",
        }
    )
    if mean:
        stages.append({"op": "normalize", "mean": list(mean), "scale": list(scale), "units": units})
    return PreprocessSpec(
        name, [*stages, {"op": "layout", "to": layout}, {"op": "cast", "dtype": "float32"}]
    )


def with_alignment(spec: PreprocessSpec, how: str) -> PreprocessSpec:
    """Return `spec` with another estimator in its align stage; `none` crops the face box and resizes it instead.

    Raises BadInputError for an unknown way and for a spec without an align stage.

    Parameters
    ----------
    spec : PreprocessSpec
        The preprocessing to apply.
    how : str
        A key of `ALIGNMENTS`.

    Returns
    -------
    PreprocessSpec
        `spec` with another estimator in its align stage.

    Raises
    ------
    BadInputError
        The alignment is unknown, or the spec has no align stage.

    Examples
    --------
    >>> from facelab.embedding._specs import aligned_spec
    >>> other = with_alignment(aligned_spec("mine"), "none")
    >>> [stage.op for stage in other.stages]
    ['decode', 'crop', 'resize', 'normalize', 'layout', 'cast']
    """
    if how not in ALIGNMENTS:
        raise BadInputError(
            "unknown alignment",
            expected=", ".join(ALIGNMENTS),
            got=how,
            fix="choose one of the names",
        )
    stages = [s.to_dict() for s in spec.stages]
    index = next((i for i, s in enumerate(stages) if s["op"] == "align"), None)
    if index is None:
        raise BadInputError(
            "the spec has no align stage to change",
            where=spec.name,
            fix="choose an embedder that takes aligned faces",
        )
    if how == "none":
        size = stages[index]["size"]
        stages[index : index + 1] = [
            {
                "op": "crop",
                "region": "face",
                "margin": 0.0,
                "aspect": "square_longer",
                "box_rounding": "nearest",
                "outside": "constant",
                "value": [0],
            },
            {
                "op": "resize",
                "size": size,
                "mode": "stretch",
                "kernel": "bilinear",
                "antialias": False,
                "pixel_centers": "half",
                "rounding": "half_up",
            },
        ]
    else:
        stages[index]["estimator"] = how
    return PreprocessSpec(f"{spec.name}, alignment {how}", stages)


def mistaken(spec: PreprocessSpec, mistake: str) -> PreprocessSpec:
    """Return `spec` with one of `MISTAKES`; the tensor keeps its shape and type, so nothing complains.

    Raises BadInputError for an unknown mistake, or one that this spec cannot make (no normalize stage).

    Parameters
    ----------
    spec : PreprocessSpec
        The preprocessing to apply.
    mistake : str
        A key of `MISTAKES`.

    Returns
    -------
    PreprocessSpec
        `spec` with one of `MISTAKES`.

    Raises
    ------
    BadInputError
        The mistake is unknown, or the spec lacks the stage that it changes.

    Examples
    --------
    >>> from facelab.embedding._specs import MISTAKES, aligned_spec
    >>> spec = aligned_spec("mine")
    >>> all(mistaken(spec, m).output_shape() == spec.output_shape() for m in MISTAKES)
    True
    """
    stages = [s.to_dict() for s in spec.stages]
    index = next((i for i, s in enumerate(stages) if s["op"] == "normalize"), None)
    if mistake not in MISTAKES or (index is None and mistake != "swapped channels"):
        raise BadInputError(
            "the mistake is unknown, or cannot be made with this spec",
            where=spec.name,
            expected=", ".join(MISTAKES),
            got=mistake,
            fix="choose another mistake, or a spec with the stage that it changes",
        )
    place = -1 if index is None else index
    if mistake == "swapped channels":
        stages = _swapped(stages)
    elif mistake == "x/255 only":
        stages[place] = {"op": "normalize", "mean": [0], "scale": [1], "units": "0-1"}
    elif mistake == "raw 0-255":
        del stages[place]
    else:
        stages.insert(place, dict(stages[place]))
    return PreprocessSpec(f"{spec.name}, {mistake}", stages)


def _swapped(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say that the pixels have the other order, and let everything else treat them as before."""
    order = stages[0]["order"]
    return (
        [
            stages[0],
            {"op": "color", "from": order, "to": {"rgb": "bgr", "bgr": "rgb"}[order]},
            *[s for s in stages[1:] if s["op"] != "color"],
        ]
        if not any(s["op"] == "color" for s in stages)
        else [s for s in stages if s["op"] != "color"]
    )
