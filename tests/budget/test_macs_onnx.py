"""MACs of ONNX operators against loops that count every product, and shapes against what ONNX Runtime gives."""

import itertools

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from facelab import budget
from facelab.core.errors import BadInputError

FLOAT = TensorProto.FLOAT


def saved(tmp, nodes, inputs, stored=(), outputs=("y",), opset=17, domains=(), functions=()):
    """Write a graph and return its path; inputs is {name: shape}, stored {name: array}."""
    entries = [helper.make_tensor_value_info(n, FLOAT, s) for n, s in inputs.items()]
    exits = [helper.make_tensor_value_info(n, FLOAT, None) for n in outputs]
    constants = [numpy_helper.from_array(v, n) for n, v in dict(stored).items()]
    graph = helper.make_graph(list(nodes), "g", entries, exits, constants)
    sets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8, functions=list(functions))
    path = tmp / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def f32(*shape):
    return np.ones(shape, np.float32)


def run(path, **feed):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(
        None, feed
    )


def products_of_convolution(out, weight, groups):
    """Count the products of a convolution one by one, padding as data: a loop over outputs and kernel places."""
    count = 0
    batch, channels, *sides = out
    for _ in range(batch):
        for _ in range(channels):
            for _ in itertools.product(*(range(n) for n in sides)):
                for _ in range(weight[1]):  # input channels of one group
                    count += len(list(itertools.product(*(range(k) for k in weight[2:]))))
    return count


@given(
    groups=st.sampled_from([1, 2, 4]),
    per_in=st.integers(1, 2),
    per_out=st.integers(1, 3),
    kernel=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    pad=st.integers(0, 1),
    batch=st.integers(1, 2),
)
def test_convolutions_of_every_kind(
    tmp_path_factory, groups, per_in, per_out, kernel, stride, dilation, pad, batch
):
    tmp = tmp_path_factory.mktemp("conv")
    weight = (groups * per_out, per_in, *kernel)
    shape = (batch, groups * per_in, *[7] * len(kernel))
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        group=groups,
        strides=[stride] * len(kernel),
        dilations=[dilation] * len(kernel),
        pads=[pad] * 2 * len(kernel),
    )
    path = saved(tmp, [node], {"x": shape}, {"w": f32(*weight)})
    out = run(path, x=f32(*shape))[0].shape
    assert budget.cost_of(path).macs == products_of_convolution(out, weight, groups)


@given(
    groups=st.sampled_from([1, 3]),
    per_in=st.integers(1, 2),
    per_out=st.integers(1, 2),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    side=st.integers(1, 4),
)
def test_transposed_convolutions_count_each_input_element(
    tmp_path_factory, groups, per_in, per_out, kernel, stride, side
):
    """Bug reports: counted by the output's size, or divided by the groups twice, or zero when depthwise."""
    tmp = tmp_path_factory.mktemp("deconv")
    weight, shape = (groups * per_in, per_out, kernel, kernel), (1, groups * per_in, side, side)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=groups, strides=[stride] * 2)
    path = saved(tmp, [node], {"x": shape}, {"w": f32(*weight)})
    # with all ones, each product adds one to the output's sum
    assert budget.cost_of(path).macs == int(run(path, x=f32(*shape))[0].sum())


@given(
    a=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    n=st.integers(1, 4),
    trans_a=st.booleans(),
    trans_b=st.booleans(),
)
def test_gemm_in_all_orders(tmp_path_factory, a, n, trans_a, trans_b):
    tmp = tmp_path_factory.mktemp("gemm")
    m, k = a
    left, right = (k, m) if trans_a else (m, k), (n, k) if trans_b else (k, n)
    node = helper.make_node(
        "Gemm", ["x", "w", "b"], ["y"], transA=int(trans_a), transB=int(trans_b)
    )
    path = saved(tmp, [node], {"x": left}, {"w": f32(*right), "b": np.zeros(n, np.float32)})
    assert budget.cost_of(path).macs == int(run(path, x=f32(*left))[0].sum()) == m * n * k


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3), (3, 4)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3,)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((2, 3), (7, 3, 4)),
    ],
)
def test_matmul_broadcasts_and_vectors(tmp_path, left, right):
    path = saved(tmp_path, [helper.make_node("MatMul", ["x", "z"], ["y"])], {"x": left, "z": right})
    assert budget.cost_of(path).macs == int(run(path, x=f32(*left), z=f32(*right))[0].sum())


@pytest.mark.parametrize(
    ("equation", "expected"),
    [("bij,bjk->bik", 2 * 3 * 4 * 5), ("ij,ij->", 12), ("...i,i->...", None)],
)
def test_einsum_counts_all_labels_and_says_where_it_cannot(tmp_path, equation, expected):
    shapes = {
        "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
        "ij,ij->": ((3, 4), (3, 4)),
        "...i,i->...": ((2, 4), (4,)),
    }
    a, b = shapes[equation]
    path = saved(
        tmp_path,
        [helper.make_node("Einsum", ["x", "z"], ["y"], equation=equation)],
        {"x": a, "z": b},
    )
    cost = budget.cost_of(path)
    assert cost.macs == (expected or 0)
    assert cost.complete == (expected is not None)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_operators_count_every_step(tmp_path, kind, directions):
    """Bug reports: zero, or one step only. Counted here by a loop over steps, gates and units."""
    steps, batch, size, hidden = 5, 2, 3, 4
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    w, r = f32(directions, gates * hidden, size), f32(directions, gates * hidden, hidden)
    direction = "bidirectional" if directions == 2 else "forward"
    node = helper.make_node(kind, ["x", "w", "r"], ["y"], hidden_size=hidden, direction=direction)
    path = saved(tmp_path, [node], {"x": (steps, batch, size)}, {"w": w, "r": r})
    count = 0
    for _ in itertools.product(
        range(steps), range(batch), range(directions), range(gates), range(hidden)
    ):
        count += size + hidden
    assert budget.cost_of(path).macs == count


def quantised_pair(tmp_path):
    q = {"s": np.float32(0.1), "z": np.uint8(0), "ws": np.float32(0.1), "wz": np.uint8(0)}
    stored = {k: np.array(v) for k, v in q.items()} | {"w": np.ones((8, 2, 3, 3), np.uint8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QLinearConv", ["q", "s", "z", "w", "ws", "wz", "s", "z"], ["c"], group=2),
        helper.make_node("DequantizeLinear", ["c", "s", "z"], ["y"]),
    ]
    return saved(tmp_path, nodes, {"x": (1, 4, 6, 6)}, stored)


def test_integer_operators_count_like_their_float_kin_and_move_a_quarter(tmp_path):
    cost = budget.cost_of(quantised_pair(tmp_path))
    assert cost.complete and cost.macs == 8 * 4 * 4 * 2 * 9
    conv = next(op for op in cost.operators if op.kind == "QLinearConv")
    assert (conv.dtype, conv.work) == ("int8", "grouped")
    assert conv.bytes == 4 * 36 + 8 * 2 * 9 + 8 * 16 + 3 * (
        4 + 1
    )  # data, weights, output, scales and zero points


def test_operators_between_conversions_run_in_integers_and_the_conversions_are_free(tmp_path):
    """ONNX's quantised form writes a float convolution: counted as written it would move four times the bytes."""
    stored = {
        "s": np.array(np.float32(0.1)),
        "z": np.array(np.uint8(0)),
        "w": np.ones((8, 4, 3, 3), np.uint8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["dw"]),
        helper.make_node("Conv", ["d", "dw"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["qc"]),
        helper.make_node("DequantizeLinear", ["qc", "s", "z"], ["y"]),
    ]
    cost = budget.cost_of(saved(tmp_path, nodes, {"x": (1, 4, 6, 6)}, stored))
    conv = next(op for op in cost.operators if op.kind == "Conv")
    assert (conv.dtype, conv.macs) == ("int8", 8 * 16 * 4 * 9)
    assert conv.bytes == 4 * 36 + 8 * 4 * 9 + 8 * 16
    alone = [op.kind for op in cost.operators if not op.fused and op.kind != "Conv"]
    assert alone == ["QuantizeLinear", "DequantizeLinear"]  # at the two ends of the network
    assert cost.weight_bytes == 8 * 4 * 9 + 5


def test_operators_of_onnx_runtime_after_fusion(tmp_path):
    nodes = [
        helper.make_node("FusedConv", ["x", "w"], ["y"], domain="com.microsoft", activation="Relu")
    ]
    path = saved(
        tmp_path, nodes, {"x": (1, 2, 5, 5)}, {"w": f32(4, 2, 3, 3)}, domains=["com.microsoft"]
    )
    cost = budget.cost_of(path)
    assert cost.complete and cost.macs == 4 * 9 * 2 * 9


def test_an_unknown_operator_is_unknown_and_not_free(tmp_path):
    nodes = [
        helper.make_node("Fancy", ["x"], ["m"], domain="maker"),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    cost = budget.cost_of(saved(tmp_path, nodes, {"x": (1, 2)}, domains=["maker"]))
    assert cost.unknown["maker.Fancy"] == 1
    found = budget.predict(cost, budget.example_device())
    assert found.latency_s is None and found.fits is None and "cost of Fancy" in found.missing


def test_attention_and_loops_are_unknown(tmp_path):
    body = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["inside"])],
        "then",
        [],
        [helper.make_tensor_value_info("inside", FLOAT, None)],
    )
    nodes = [helper.make_node("If", ["flag"], ["y"], then_branch=body, else_branch=body)]
    path = saved(tmp_path, nodes, {"x": (1, 8)}, {"flag": np.array(True)})
    assert budget.cost_of(path).unknown == {"If": 1}


def test_local_functions_are_counted_inside(tmp_path):
    """A model whose layer is a function: counters that look at the main graph alone see one unknown operator."""
    inner = helper.make_function(
        "own",
        "Layer",
        ["a", "w"],
        ["b"],
        [helper.make_node("MatMul", ["a", "w"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    path = saved(
        tmp_path,
        [helper.make_node("Layer", ["x", "w"], ["y"], domain="own")],
        {"x": (3, 4)},
        {"w": f32(4, 5)},
        domains=["own"],
        functions=[inner],
    )
    assert budget.cost_of(path).macs == 60


def dynamic_model(tmp_path):
    """Shapes computed in the graph: Shape → Gather → Mul → Concat → Reshape, then a product."""
    stored = {
        "w": f32(4, 3, 3, 3),
        "two": np.array([2]),
        "three": np.array([3]),
        "one": np.array([1]),
        "four": np.array([4]),
        "p": f32(4, 7),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Shape", ["c"], ["s"]),
        helper.make_node("Gather", ["s", "two"], ["h"]),
        helper.make_node("Gather", ["s", "three"], ["v"]),
        helper.make_node("Mul", ["h", "v"], ["n"]),
        helper.make_node("Concat", ["one", "four", "n"], ["t"], axis=0),
        helper.make_node("Reshape", ["c", "t"], ["r"]),
        helper.make_node("Transpose", ["r"], ["f"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["f", "p"], ["y"]),
    ]
    return saved(tmp_path, nodes, {"x": ["batch", 3, "height", "width"]}, stored)


@pytest.mark.parametrize(("height", "width"), [(8, 6), (32, 20)])
def test_shapes_that_the_graph_computes_are_followed(tmp_path, height, width):
    cost = budget.cost_of(dynamic_model(tmp_path), {"x": (1, 3, height, width)})
    pixels = height * width
    assert cost.complete and cost.macs == pixels * 4 * 27 + pixels * 4 * 7


def test_an_open_shape_is_asked_for_by_name(tmp_path):
    path = dynamic_model(tmp_path)
    with pytest.raises(BadInputError, match="leaves its shape open") as e:
        budget.cost_of(path)
    assert "--input x=" in e.value.fix
    for bad in (
        {"x": (1, 4, 8, 8)},
        {"x": (1, 3, 8)},
        {"z": (1,)},
        {"x": (1, 3, 0, 8)},
        {"x": (1, 3, True, 8)},
    ):
        with pytest.raises(BadInputError):
            budget.cost_of(path, bad)


def test_stale_shapes_in_the_file_are_not_believed(tmp_path):
    """Exporters leave value_info of other inputs behind; a counter that reads it counts another model."""
    path = dynamic_model(tmp_path)
    model = onnx.load(path)
    model.graph.value_info.append(helper.make_tensor_value_info("c", FLOAT, [1, 4, 2, 2]))
    onnx.save(model, path)
    assert budget.cost_of(path, {"x": (1, 3, 8, 6)}).macs == 48 * 4 * 27 + 48 * 4 * 7


def test_what_constants_give_is_free_and_weights_listed_as_inputs_are_still_weights(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"]),
        helper.make_node("MatMul", ["x", "t"], ["m"]),
        helper.make_node("MatMul", ["t", "t"], ["unused"]),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    path = saved(tmp_path, nodes, {"x": (2, 4), "w": (4, 4)}, {"w": f32(4, 4)})
    cost = budget.cost_of(path)
    assert cost.macs == 2 * 4 * 4 and [op.kind for op in cost.operators] == ["MatMul", "Relu"]
    assert cost.weight_bytes == 64 and any("listed as inputs" in n for n in cost.notes)
    assert cost.operators[1].fused


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\x08\x07" + b"\xff" * 40, b"version https://git-lfs"]
)
def test_files_that_are_not_models_are_errors(tmp_path, content):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="not an ONNX model"):
        budget.cost_of(path)
    with pytest.raises(BadInputError):
        budget.cost_of(tmp_path / "missing.onnx")
    with pytest.raises(BadInputError, match="kind of file"):
        budget.cost_of(tmp_path / "a.bin")


def test_a_hostile_graph_cannot_make_shapes_take_long(tmp_path):
    import time

    stored = {
        "n": np.array([1 << 40], np.int64),
        "zero": np.array(0),
        "many": np.array(1 << 40),
        "one": np.array(1),
    }
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["big"]),
        helper.make_node("Range", ["zero", "many", "one"], ["long"]),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    began = time.monotonic()
    budget.cost_of(saved(tmp_path, nodes, {"x": (1, 2)}, stored))
    assert time.monotonic() - began < 5
