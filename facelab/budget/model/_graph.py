"""One form for the graphs of ONNX and TFLite: tensors with shapes, operators with attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BYTES = {
    **dict.fromkeys(("bool", "int8", "uint8", "float8"), 1.0),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 2.0),
    **dict.fromkeys(("int32", "uint32", "float32"), 4.0),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8.0),
    **dict.fromkeys(("int4", "uint4"), 0.5),
    "complex128": 16.0,
}


@dataclass(frozen=True)
class Tensor:
    """A value of the graph. `shape` is None, or holds None, where it cannot be determined.

    `replaceable`: a constant that the file lists as an input too, so that a caller may give another value.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    constant: bool = False
    replaceable: bool = False

    @property
    def elements(self) -> int | None:
        """How many elements it has; None where a side is unknown."""
        if self.shape is None:
            return None
        count = 1
        for n in self.shape:
            if n is None:
                return None
            count *= n
        return count

    @property
    def bytes(self) -> int | None:
        """How many bytes its elements take; None where that cannot be determined."""
        if self.elements is None or self.dtype not in BYTES:
            return None
        return int(-(-self.elements * BYTES[self.dtype] // 1))


@dataclass(frozen=True)
class Operator:
    """One operator. `inputs` keeps the places of the standard: an optional input that is left out is None.

    `domain` is "" for standard operators of ONNX and TFLite. `subgraphs` counts graphs inside it (loops, branches).
    """

    index: int
    kind: str
    domain: str
    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    subgraphs: int = 0

    def input(self, place: int) -> Tensor | None:
        """Return the input at a place, or None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    @property
    def present(self) -> tuple[Tensor, ...]:
        """The inputs that are not left out."""
        return tuple(t for t in self.inputs if t is not None)

    @property
    def folded(self) -> bool:
        """Whether its outputs follow from constants alone, so that a runtime computes it once, while loading."""
        return all(t.constant for t in self.outputs)


@dataclass(frozen=True)
class Graph:
    """A model's graph with the shapes of one call; `weight_bytes` are the constants as stored in the file."""

    format: str
    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weight_bytes: int
    file_bytes: int
    notes: tuple[str, ...] = ()
