"""The catalogue's models: published figures, pairs of one net in two formats, and the runtime's own plan."""

import numpy as np
import pytest

from facelab import budget
from facelab.core.errors import BadInputError
from facelab.zoo import find as find_model
from facelab.zoo import load_catalogue


@pytest.fixture(scope="module")
def path_of(mirror):
    def find(name):
        found = find_model(load_catalogue().model(name))
        if found is None:
            pytest.skip(f"{name} is not here")
        return found.path

    return find


@pytest.mark.parametrize(
    ("onnx", "tflite"),
    [
        ("blazeface-front-onnx", "blazeface-front"),
        ("blazeface-back-onnx", "blazeface-back"),
        ("minifasnet-v2", "minifasnet-v2-tflite"),
        ("mtcnn-onet", "mtcnn-tflite-onet"),
        ("ultraface-slim-320-raw", "ultraface-slim-320-tflite"),
    ],
)
def test_one_net_in_two_formats_has_the_same_macs(path_of, onnx, tflite):
    a, b = budget.cost_of(path_of(onnx)), budget.cost_of(path_of(tflite))
    assert a.complete and b.complete
    # converters merge a normalisation into its layer or write a mean as a product: under one per cent
    assert a.macs == pytest.approx(b.macs, rel=0.01)


def test_half_and_quantised_weights_do_not_change_the_macs(path_of):
    assert (
        budget.cost_of(path_of("minifasnet-v2-tflite")).macs
        == budget.cost_of(path_of("minifasnet-v2-tflite-f16")).macs
    )
    whole, quantised = (budget.cost_of(path_of(n)) for n in ("minifas-128", "minifas-128-int8"))
    assert whole.macs == pytest.approx(quantised.macs, rel=0.001)
    assert {op.dtype for op in quantised.operators if op.macs} == {"int8"}
    assert quantised.weight_bytes < 0.35 * whole.weight_bytes


def test_the_published_figure_of_scrfd(path_of):
    """The paper gives 2.5 GFlops at 640 × 480; insightface counts a multiply-add as one."""
    cost = budget.cost_of(path_of("scrfd-2.5g"))
    assert cost.macs * 480 / 640 == pytest.approx(2.5e9, rel=0.05)


def test_every_layer_counts_what_its_runtime_computes(path_of):
    """Shapes come from running the model with every convolution's output exposed, not from inference."""
    import onnx
    import onnxruntime as ort

    path = path_of("yunet-n-320")
    model = onnx.load(path)
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n.output[0]) for n in convs)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs = session.run(
        None, {session.get_inputs()[0].name: np.zeros((1, 3, 320, 320), np.float32)}
    )
    weights = {t.name: np.prod(t.dims[1:]) for t in model.graph.initializer}
    assert budget.cost_of(path).macs == sum(
        o.size * weights[n.input[1]] for n, o in zip(convs, outputs)
    )


@pytest.mark.parametrize(
    "name", ["blazeface-front", "face-mesh", "minifasnet-v2-tflite", "aizoo-mask"]
)
def test_the_arena_is_the_plan_of_litert(path_of, name):
    """An independent reading of the same file, with LiteRT's own shapes."""
    from facelab.quantization._operators import arena_bytes

    cost = budget.cost_of(path_of(name))
    # RESHAPE shares its input's bytes here; the reference kernels copy it
    assert 0.8 * arena_bytes(path_of(name)) <= cost.arena_bytes <= arena_bytes(path_of(name))
    assert cost.peak_bytes <= cost.arena_bytes


def test_every_model_of_the_catalogue_is_counted_or_named(mirror):
    seen = 0
    for entry in load_catalogue().entries:
        found = find_model(entry) if entry.file else None
        if found is None or found.path.suffix not in (".onnx", ".tflite"):
            continue
        try:
            cost = budget.cost_of(found.path)
        except BadInputError as e:
            name, _, sides = e.fix.removeprefix("give its shape: --input ").partition("=")
            given = [
                int(n) if n != "N" else (3 if k == 1 and sides.count(",") == 3 else 320)
                for k, n in enumerate(sides.split(","))
            ]
            cost = budget.cost_of(found.path, {name: [1, *given[1:]]})
        seen += 1
        assert cost.macs > 1e6 and cost.weight_bytes <= cost.file_bytes * 1.01, entry.name
        assert set(cost.unknown) <= {"If", "NonMaxSuppression", "TFLite_Detection_PostProcess"}, (
            entry.name
        )
    assert seen > 20
