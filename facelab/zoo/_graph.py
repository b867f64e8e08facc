"""Write ONNX graphs node by node, deterministically: the same weights give the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto


OPSET = 17
IR = 8


class GraphBuilder:
    """Collects nodes and initialisers; every method returns the name of the value it makes.

    >>> g = GraphBuilder("double", [("x", (None, 3))])
    >>> model = g.finish({"y": g.node("Add", "x", "x")}, {"y": (None, 3)})
    >>> [n.op_type for n in model.graph.node]
    ['Add', 'Identity']
    """

    def __init__(self, name: str, inputs: list[tuple[str, tuple]]):
        self.name, self.inputs = name, inputs
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []

    def constant(self, value: np.ndarray) -> str:
        """Add an initialiser and return its name; float arrays are stored as float32."""
        from onnx import numpy_helper

        array = np.asarray(value)
        array = np.ascontiguousarray(array.astype(np.float32) if array.dtype.kind == "f" else array)
        name = f"c{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """Add a node (arrays become initialisers) and return its output's name."""
        from onnx import helper

        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        out = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, names, [out], name=f"n{len(self.nodes)}", **attributes)
        )
        return out

    def finish(
        self, outputs: dict[str, str], shapes: dict[str, tuple], *, producer: str = "facelab"
    ) -> ModelProto:
        """Return the checked ModelProto. `outputs` maps public names to values; `shapes` gives None for dynamic."""
        import onnx
        from onnx import TensorProto, helper

        nodes = [
            *self.nodes,
            *(
                helper.make_node("Identity", [value], [name], name=f"out_{name}")
                for name, value in outputs.items()
            ),
        ]
        graph = helper.make_graph(
            nodes,
            self.name,
            [self._info(n, s) for n, s in self.inputs],
            [
                helper.make_tensor_value_info(n, TensorProto.FLOAT, self._dims(n, shapes[n]))
                for n in outputs
            ],
            self.initialisers,
        )
        model = helper.make_model(
            graph, producer_name=producer, opset_imports=[helper.make_opsetid("", OPSET)]
        )
        model.ir_version = IR
        onnx.checker.check_model(model, full_check=True)
        return model

    def _info(self, name: str, shape: tuple) -> ValueInfoProto:
        from onnx import TensorProto, helper

        return helper.make_tensor_value_info(name, TensorProto.FLOAT, self._dims(name, shape))

    @staticmethod
    def _dims(name: str, shape: tuple) -> list:
        return [f"{name}_{i}" if n is None else n for i, n in enumerate(shape)]


def prelu(g: GraphBuilder, x: str, slope: np.ndarray) -> str:
    """Add a PReLU whose slope has one number per channel of an NCHW (or NC) value."""
    flat = np.asarray(slope).reshape(-1)
    return flat_prelu(g, x, flat.reshape(-1, 1, 1))


def flat_prelu(g: GraphBuilder, x: str, slope: np.ndarray) -> str:
    """Add a PReLU with a slope that broadcasts as it is."""
    return g.node("PRelu", x, np.asarray(slope))
