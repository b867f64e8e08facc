"""Small ONNX chains of one operator each, from which a device's rates are fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.budget.model._classes import PLAIN

OPSET = 17


@dataclass(frozen=True)
class Chain:
    """A chain of `length` operators of one class between inputs of a shape; `bytes` are those of its ONNX file.

    The time of one operator is that of a long chain less that of a short one, over the difference of their lengths:
    the call's own cost and changes of the memory layout at both ends drop out.
    """

    work: str
    label: str
    length: int
    shape: tuple[int, ...]
    content: bytes


class _Builder:
    def __init__(self, shape: tuple[int, ...], *, open_weights: bool = False) -> None:
        self.shape, self.nodes, self.stored = shape, [], []
        self.open = open_weights
        self.rng = np.random.default_rng(0)

    def weight(self, *sides: int) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.stored)}"
        values = self.rng.standard_normal(sides) / np.sqrt(max(1, np.prod(sides[1:])))
        self.stored.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def integer(self, value: int) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.array([value], np.int64), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def content(self, last: str) -> bytes:
        from onnx import TensorProto, helper

        entries = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)]
        if self.open:
            entries += [
                helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in self.stored
            ]
        exit_ = helper.make_tensor_value_info(last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "chain", entries, [exit_], self.stored)
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


Sizes = list[tuple[int, int, int, int]]


def _convs(work: str, sizes: Sizes, groups: str, *, open_weights: bool = False) -> list[Chain]:
    """Chains a → b → a → … of convolutions with ReLU; sizes are (channels, channels, side, kernel)."""
    out = []
    for a, b, side, kernel in sizes:
        for length in (2, 6):
            g = _Builder((1, a, side, side), open_weights=open_weights)
            last = "x"
            for k in range(length):
                cin, cout = (a, b) if k % 2 == 0 else (b, a)
                group = {"one": 1, "each": cin, "four": 4}[groups]
                w = g.weight(cout, cin // group, kernel, kernel)
                pads = [kernel // 2] * 4
                last = g.node("Conv", last, w, g.weight(cout), group=group, pads=pads)
                last = g.node("Relu", last)
            label = f"{a}-{b} {kernel}×{kernel} at {side}"
            out.append(Chain(work, label, length, g.shape, g.content(last)))
    return out


def _first_convs(work: str = "conv", *, open_weights: bool = False) -> list[Chain]:
    """Three channels in, stride 2: the first layer of nearly every net; the short chain is a plain copy."""
    out = []
    for side, channels in ((320, 16), (112, 64), (640, 16)):
        for length in (0, 1):
            g = _Builder((1, 3, side, side), open_weights=open_weights)
            last = g.node("Relu", "x")
            if length:
                w = g.weight(channels, 3, 3, 3)
                last = g.node("Conv", last, w, g.weight(channels), pads=[1] * 4, strides=[2, 2])
            out.append(
                Chain(work, f"3-{channels} 3×3/2 at {side}", length, g.shape, g.content(last))
            )
    return out


def _products() -> list[Chain]:
    out = []
    for rows, inner, outer in ((1, 512, 256), (1, 2048, 512), (1, 1024, 1024), (64, 256, 256)):
        for length in (2, 6):
            g = _Builder((rows, inner))
            last = "x"
            for k in range(length):
                sides = (inner, outer) if k % 2 == 0 else (outer, inner)
                last = g.node("Relu", g.node("Gemm", last, g.weight(*sides), g.weight(sides[1])))
            out.append(Chain("matmul", f"{rows}×{inner}×{outer}", length, g.shape, g.content(last)))
    return out


def _transposed() -> list[Chain]:
    out = []
    for channels, side in ((16, 20), (64, 16)):
        for length in (1, 2):
            g = _Builder((1, channels, side, side))
            last = "x"
            for _ in range(length):
                w = g.weight(channels, channels, 3, 3)
                last = g.node("ConvTranspose", last, w, pads=[1] * 4)
            label = f"{channels} 3×3 at {side}"
            out.append(Chain("transposed", label, length, g.shape, g.content(last)))
    return out


def _joined_and_cut(g: _Builder, value: str, channels: int) -> str:
    """Join two tensors and cut one half off again, so that the size stays."""
    both = g.node("Concat", value, "x", axis=1)
    start, stop, axis = (g.integer(n) for n in (channels // 2, channels // 2 + channels, 1))
    return g.node("Slice", both, start, stop, axis)


def _without_macs() -> list[Chain]:
    """Operators that only move bytes, on small and large pictures; each reads what the one before wrote."""
    steps = {
        "elementwise": {"Add": lambda g, v, c: g.node("Add", v, "x")},
        "prelu": {"PRelu": lambda g, v, c: g.node("PRelu", v, g.weight(c, 1, 1))},
        "nonlinear": {"Sigmoid": lambda g, v, c: g.node("Sigmoid", v)},
        "pool": {
            "MaxPool": lambda g, v, c: g.node("MaxPool", v, kernel_shape=[3, 3], pads=[1] * 4)
        },
        "move": {"Concat, Slice": _joined_and_cut},
    }
    out = []
    for work, kinds in steps.items():
        for kind, step in kinds.items():
            for channels, side in ((4, 16), (32, 40), (32, 112), (64, 112)):
                for length in (2, 7):
                    g = _Builder((1, channels, side, side))
                    last = g.node("Abs", "x")
                    for _ in range(length):
                        last = step(g, last, channels)
                    label = f"{kind} {channels} at {side}"
                    out.append(Chain(work, label, length, g.shape, g.content(last)))
    return out


def chains() -> list[Chain]:
    """Return all chains, the short and the long one of a pair next to each other."""
    conv = [(16, 16, 80, 3), (64, 64, 40, 3), (32, 64, 20, 3), (128, 128, 14, 3), (24, 24, 48, 5)]
    conv += [(16, 16, 160, 3), (64, 64, 80, 3)]
    pointwise = [(16, 16, 80, 1), (64, 64, 40, 1), (64, 128, 20, 1), (256, 256, 7, 1)]
    pointwise += [(16, 64, 56, 1), (16, 16, 160, 1), (64, 64, 80, 1), (16, 64, 160, 1)]
    depthwise = [(16, 16, 80, 3), (64, 64, 40, 3), (64, 64, 20, 3), (256, 256, 7, 3)]
    depthwise += [(32, 32, 56, 5), (16, 16, 160, 3), (64, 64, 80, 3), (64, 64, 160, 3)]
    grouped = [(16, 16, 40, 3), (64, 64, 20, 3), (128, 128, 14, 3)]
    out = [
        *_convs("conv", conv, "one"),
        *_first_convs(),
        *_convs("pointwise", pointwise, "one"),
        *_convs("depthwise", depthwise, "each"),
        *_convs("grouped", grouped, "four"),
        *_transposed(),
        *_products(),
        *_without_macs(),
    ]
    few = slice(0, 4)
    for work, sizes, groups in (
        ("conv", [*conv[few], conv[-2]], "one"),
        ("pointwise", [*pointwise[few], pointwise[-3]], "one"),
        ("depthwise", [*depthwise[few], depthwise[-3]], "each"),
    ):
        out += _convs(PLAIN + work, sizes, groups, open_weights=True)
    return [*out, *_first_convs(PLAIN + "conv", open_weights=True)]
