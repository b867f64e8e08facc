"""MACs of TFLite operators on files made here, one operator each, against products counted by hand."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from facelab import budget
from facelab.core.errors import BadInputError, UnsupportedError

OPTIONS = {
    "BATCH_MATMUL": ("BatchMatMulOptions", schema.BatchMatMulOptionsT),
    "CONCATENATION": ("ConcatenationOptions", schema.ConcatenationOptionsT),
}


def saved(tmp, kind, inputs, outputs, *, weights=(), signatures=None, custom=None, **options):
    """Write a file of one operator: shapes of inputs and outputs, `weights` are the places of constants."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers = 3, [schema.BufferT()]
    graph.tensors, places = [], []
    for k, shape in enumerate([*inputs, *outputs]):
        if shape is None:
            places.append(-1)
            continue
        t = schema.TensorT()
        t.shape, t.type, t.name, t.buffer = (
            np.array(shape, np.int32),
            schema.TensorType.FLOAT32,
            b"same",
            0,
        )
        if signatures and k in signatures:
            t.shapeSignature = np.array(signatures[k], np.int32)
        if k in weights:
            buffer = schema.BufferT()
            buffer.data = np.zeros(int(np.prod(shape)) * 4, np.uint8)
            model.buffers.append(buffer)
            t.buffer = len(model.buffers) - 1
        places.append(len(graph.tensors))
        graph.tensors.append(t)
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.customCode = custom
    op = schema.OperatorT()
    op.opcodeIndex = 0
    op.inputs, op.outputs = (
        np.array(places[: len(inputs)], np.int32),
        np.array(places[len(inputs) :], np.int32),
    )
    if kind in OPTIONS:
        name, make = OPTIONS[kind]
        op.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        op.builtinOptions = make()
        for key, value in options.items():
            setattr(op.builtinOptions, key, value)
    graph.operators, model.operatorCodes, model.subgraphs = [op], [code], [graph]
    graph.inputs = np.array(
        [p for k, p in enumerate(places[: len(inputs)]) if p >= 0 and k not in weights], np.int32
    )
    graph.outputs = op.outputs
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path = tmp / "one.tflite"
    path.write_bytes(bytes(builder.Output()))
    return path


CASES = {
    "plain": (
        "CONV_2D",
        [(2, 8, 8, 3), (5, 3, 3, 3), (5,)],
        [(2, 6, 6, 5)],
        (1, 2),
        2 * 36 * 5 * 27,
    ),
    "grouped": ("CONV_2D", [(1, 8, 8, 4), (6, 3, 3, 2), (6,)], [(1, 6, 6, 6)], (1, 2), 36 * 6 * 18),
    "depthwise": (
        "DEPTHWISE_CONV_2D",
        [(1, 8, 8, 4), (1, 3, 3, 4), (4,)],
        [(1, 8, 8, 4)],
        (1, 2),
        64 * 4 * 9,
    ),
    "multiplier": (
        "DEPTHWISE_CONV_2D",
        [(1, 8, 8, 4), (1, 3, 3, 8), (8,)],
        [(1, 4, 4, 8)],
        (1, 2),
        16 * 8 * 9,
    ),
    "transposed": (
        "TRANSPOSE_CONV",
        [(4,), (5, 2, 2, 3), (1, 4, 4, 3)],
        [(1, 8, 8, 5)],
        (0, 1),
        16 * 3 * 5 * 4,
    ),
    "cubes": ("CONV_3D", [(1, 4, 4, 4, 2), (2, 2, 2, 2, 7)], [(1, 3, 3, 3, 7)], (1,), 27 * 7 * 16),
    "dense": ("FULLY_CONNECTED", [(2, 4, 4), (10, 16), (10,)], [(2, 10)], (1, 2), 2 * 10 * 16),
    "dense, kept axes": (
        "FULLY_CONNECTED",
        [(2, 5, 16), (10, 16), None],
        [(2, 5, 10)],
        (1,),
        2 * 5 * 10 * 16,
    ),
    "svdf": (
        "SVDF",
        [(2, 6), (8, 6), (8, 10), None, (2, 80)],
        [(2, 4)],
        (1, 2),
        2 * (8 * 6 + 8 * 10),
    ),
    "rnn": (
        "UNIDIRECTIONAL_SEQUENCE_RNN",
        [(2, 7, 6), (8, 6), (8, 8), (8,)],
        [(2, 7, 8)],
        (1, 2, 3),
        14 * (48 + 64),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_operators_with_macs(tmp_path, name):
    kind, inputs, outputs, weights, expected = CASES[name]
    cost = budget.cost_of(saved(tmp_path, kind, inputs, outputs, weights=weights))
    assert cost.complete and cost.macs == expected


@pytest.mark.parametrize(("adj_x", "left"), [(False, (3, 4, 5)), (True, (3, 5, 4))])
def test_a_product_of_batches_in_both_orders(tmp_path, adj_x, left):
    path = saved(tmp_path, "BATCH_MATMUL", [left, (3, 5, 6)], [(3, 4, 6)], adjX=adj_x, adjY=False)
    assert budget.cost_of(path).macs == 3 * 4 * 6 * 5


def test_an_lstm_counts_every_step_and_its_missing_weights_as_none(tmp_path):
    """Bug report: zero MACs for this operator. Coupled input gate: its two weights are left out."""
    hidden, size = 4, 3
    inputs = [
        (2, 7, size),
        None,
        *[(hidden, size)] * 3,
        None,
        *[(hidden, hidden)] * 3,
        *[None] * 3,
        None,
        *[(hidden,)] * 3,
    ]
    inputs += [None, None, (2, hidden), (2, hidden)]
    weights = tuple(k for k, s in enumerate(inputs) if s is not None and 0 < k < 16)
    path = saved(
        tmp_path, "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [(2, 7, hidden)], weights=weights
    )
    assert budget.cost_of(path).macs == 2 * 7 * 3 * (hidden * size + hidden * hidden)


@pytest.mark.parametrize("kind", ["BIDIRECTIONAL_SEQUENCE_LSTM", "WHILE", "CUSTOM"])
def test_what_has_no_formula_is_unknown(tmp_path, kind):
    path = saved(tmp_path, kind, [(1, 4)], [(1, 4)], custom=b"Own" if kind == "CUSTOM" else None)
    cost = budget.cost_of(path)
    assert cost.unknown == {"custom.Own" if kind == "CUSTOM" else kind: 1}


@pytest.mark.parametrize(
    ("shape", "signature"), [((1, 1, 1, 5), (-1, -1, -1, 5)), ((0, 6, 6, 5), (-1, 6, 6, 5))]
)
def test_sides_that_the_file_leaves_open_are_not_taken_for_one_or_zero(tmp_path, shape, signature):
    """Bug report: many convolutions with zero operations, because the file holds 0 or 1 for open sides."""
    inputs = [(1, 8, 8, 3), (5, 3, 3, 3), (5,)]
    cost = budget.cost_of(
        saved(tmp_path, "CONV_2D", inputs, [shape], weights=(1, 2), signatures={3: signature})
    )
    assert cost.unknown == {"CONV_2D": 1} and not cost.complete


def test_joined_tensors_with_an_open_side_follow_from_their_parts(tmp_path):
    path = saved(
        tmp_path,
        "CONCATENATION",
        [(1, 6, 2), (1, 8, 2)],
        [(1, 1, 2)],
        signatures={2: (-1, -1, 2)},
        axis=1,
    )
    cost = budget.cost_of(path)
    assert cost.complete and cost.bytes == (6 + 8 + 14) * 2 * 4


def test_an_open_input_is_asked_for(tmp_path):
    path = saved(
        tmp_path, "RELU", [(1, 1, 4)], [(1, 1, 4)], signatures={0: (1, -1, 4), 1: (1, -1, 4)}
    )
    with pytest.raises(BadInputError, match="leaves its shape open") as e:
        budget.cost_of(path)
    assert e.value.fix.endswith("--input same=1,N,4")
    assert budget.cost_of(path, {"same": (1, 9, 4)}).peak_bytes == 2 * 9 * 4 * 4
    with pytest.raises(BadInputError):
        budget.cost_of(path, {"other": (1, 9, 4)})


def test_names_that_occur_twice_are_different_tensors(tmp_path):
    cost = budget.cost_of(saved(tmp_path, "CONV_2D", *CASES["plain"][1:3], weights=(1, 2)))
    assert cost.peak_bytes == (2 * 64 * 3 + 2 * 36 * 5) * 4


@pytest.mark.parametrize("cut", [0, 7, 40, 300])
def test_files_that_are_cut_or_point_nowhere_are_errors(tmp_path, cut):
    path = saved(tmp_path, "CONV_2D", *CASES["plain"][1:3], weights=(1, 2))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises((BadInputError, UnsupportedError)) as e:
        budget.cost_of(path)
    assert e.value.fix
