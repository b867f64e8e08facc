"""ONNX's quantised form: operators written in float between DequantizeLinear and QuantizeLinear, run in integers.

A runtime fuses the three into one integer kernel. Counted as written, such a model would move four times its bytes and
compute in float.
"""

from __future__ import annotations

from dataclasses import dataclass

from facelab.budget.model._graph import Graph, Operator, Tensor

_BACK, _THERE = "DequantizeLinear", "QuantizeLinear"
_WITH_KERNEL = frozenset(
    [
        *(
            "Conv",
            "MatMul",
            "Gemm",
            "Add",
            "Mul",
            "Concat",
            "MaxPool",
            "AveragePool",
            "GlobalAveragePool",
            "Relu",
        ),
        *(
            "Sigmoid",
            "LeakyRelu",
            "Softmax",
            "Resize",
            "Transpose",
            "Reshape",
            "Clip",
            "Split",
            "Pad",
            "Slice",
        ),
    ]
)


@dataclass(frozen=True)
class IntegerForm:
    """Places of the operators that run in integers, and of the conversions around them that then cost nothing."""

    operators: frozenset[int]
    conversions: frozenset[int]
    sources: dict[str, Tensor]

    def moved(self, op: Operator) -> int:
        """Return the bytes that the integer kernel reads and writes."""
        read = [self.sources.get(t.name, t) for t in op.present]
        # eight bits per element of what the conversion after it makes
        return sum(t.bytes or 0 for t in read) + sum(t.elements or 0 for t in op.outputs)


def integer_form(graph: Graph) -> IntegerForm:
    """Find operators whose data and weights come from DequantizeLinear, and whose result goes to QuantizeLinear only.

    An operator that ends the network may keep its float result; its own inputs are still read as integers.
    """
    empty: frozenset[int] = frozenset()
    if graph.format != "onnx":
        return IntegerForm(empty, empty, {})
    sources: dict[str, Tensor] = {}
    readers: dict[str, list[Operator]] = {}
    for op in graph.operators:
        data = op.input(0)
        if op.kind == _BACK and data is not None:
            sources[op.outputs[0].name] = data
        for t in op.present:
            readers.setdefault(t.name, []).append(op)
    ends = {t.name for t in graph.outputs}
    inside: set[int] = set()
    for op in graph.operators:
        if op.kind not in _WITH_KERNEL or op.domain or op.folded or not op.outputs:
            continue
        floats = [t for t in op.present[:2] if t.dtype.startswith("float")]
        after = readers.get(op.outputs[0].name, [])
        to_integers = bool(after) and all(r.kind == _THERE for r in after)
        if floats and all(t.name in sources for t in floats) and to_integers:
            inside.add(op.index)
    made = {t.name for op in graph.operators if op.index in inside for t in op.outputs}
    conversions: set[int] = set()
    for op in graph.operators:
        data = op.input(0)
        if op.kind == _BACK and op.outputs[0].name not in ends:
            if all(r.index in inside for r in readers.get(op.outputs[0].name, [])):
                conversions.add(op.index)
        elif op.kind == _THERE and data is not None and data.name in made:
            conversions.add(op.index)
    return IntegerForm(frozenset(inside), frozenset(conversions), sources)
