"""Kernels that turn the last image into the tensor: one value at a time, or by a table of 256."""

from __future__ import annotations

from facelab.preprocess.emit.kernels._words import (
    LAYOUT,
    SC,
    C,
    Int,
    Out,
    Src,
    element,
    out,
    real,
    whole,
)


def table(values: Out, channels: Int) -> None:
    """What each of the 256 byte values becomes, for each channel."""
    for c in range(channels):
        for v in range(256):
            values[c * 256 + v] = out(element(real(v), c))


def tensor_row_by_table(
    src: Src, at: Int, sx: Int, y: Int, w: Int, h: Int, values: Out, apart: Int, tensor: Out
) -> None:
    """Row y of the image into the tensor, each byte looked up."""
    if LAYOUT == "chw":
        for c in range(C):
            o: Int = (c * h + y) * w
            for x in range(w):
                tensor[o + x] = values[c * apart + whole(src[at + x * sx + c * SC])]
    else:
        for x in range(w):
            for c in range(C):
                tensor[(y * w + x) * C + c] = values[c * apart + whole(src[at + x * sx + c * SC])]


def tensor_row(src: Src, at: Int, sx: Int, y: Int, w: Int, h: Int, tensor: Out) -> None:
    """Row y of the image into the tensor."""
    if LAYOUT == "chw":
        for c in range(C):
            o: Int = (c * h + y) * w
            for x in range(w):
                tensor[o + x] = out(element(real(src[at + x * sx + c * SC]), c))
    else:
        for x in range(w):
            for c in range(C):
                tensor[(y * w + x) * C + c] = out(element(real(src[at + x * sx + c * SC]), c))
