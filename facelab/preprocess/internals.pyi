from . import (
    align,
    backends,
    colour,
    conformance,
    geometry,
    image,
    ops,
    raw,
    resample,
    sizes,
    views,
)
from .ops import DECODE_RGB

__all__ = [
    "DECODE_RGB",
    "align",
    "backends",
    "colour",
    "conformance",
    "geometry",
    "image",
    "ops",
    "raw",
    "resample",
    "sizes",
    "views",
]
