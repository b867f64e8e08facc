"""Capture of pipelines as frameworks write them: Keras and tf.data, augmentation libraries, ONNX graphs, `.tflite`."""

import flatbuffers
import numpy as np
import pytest

from facelab.cli import run
from facelab.core.errors import BadInputError
from facelab.fingerprint import capture_target, compare
from facelab.fingerprint.capture import as_array
from facelab.fingerprint.capture._tflite import spec_of
from facelab.fingerprint.document import _schema as schema
from facelab.fingerprint.document import describe
from facelab.preprocess.tflite_metadata import write_metadata

CODE = '''
import cv2
import numpy as np


def by_hand(image):
    x = cv2.resize(image, (48, 40), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return ((x - 127.5) / 127.5)[None]


def upright(path):
    x = cv2.imread(path)[..., ::-1]
    return by_hand(np.ascontiguousarray(x))


def upright_imagenet(path):
    x = cv2.imread(path)[..., ::-1]
    x = cv2.resize(np.ascontiguousarray(x), (48, 40), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return ((x - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375])[None].astype(np.float32)


class Compose:
    """The call of albumentations' Compose: data by keyword, a dictionary back."""

    def __init__(self, swap=False):
        self.swap = swap

    def __call__(self, *args, force_apply=False, **data):
        image = data["image"][..., ::-1] if self.swap else data["image"]
        return {"image": by_hand(np.ascontiguousarray(image))[0].transpose(2, 0, 1)}


class Transforms:
    """The call of torchvision's Compose: a Pillow image, a tensor back."""

    transforms = ["resize", "to tensor"]

    def __call__(self, img):
        class Tensor:
            def __init__(self, array):
                self.array = array

            def detach(self):
                return self

            def cpu(self):
                return self

            def numpy(self):
                return self.array

        return Tensor(by_hand(np.asarray(img.convert("RGB")))[0].transpose(2, 0, 1))


compose, swapped, transforms = Compose(), Compose(swap=True), Transforms()
'''

KERAS = """
import keras
import tensorflow as tf

layers = keras.Sequential([
    keras.Input((None, None, 3)),
    keras.layers.Resizing(40, 48, interpolation="bilinear"),
    keras.layers.Rescaling(1 / 127.5, offset=-1),
])


def dataset(ds):
    def prepare(path):
        x = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        x = tf.image.resize(tf.cast(x, tf.float32), (40, 48))
        return x / 127.5 - 1

    return ds.map(prepare).batch(1)
"""


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    (folder / "code.py").write_text(CODE)
    (folder / "keras_code.py").write_text(KERAS)
    return folder


@pytest.fixture(scope="module")
def by_hand(pipelines):
    return capture_target(f"{pipelines / 'code.py'}:by_hand")


def test_an_augmentation_library_s_call_is_the_same_pipeline_in_another_layout(pipelines, by_hand):
    for name in ("compose", "transforms"):
        made = capture_target(f"{pipelines / 'code.py'}:{name}")
        assert made.output["marks"]["shape"] == [3, 40, 48]
        assert [f.kind for f in compare(by_hand, made).findings] == ["layout", "batch_axis"]
    wrong = capture_target(f"{pipelines / 'code.py'}:swapped")
    assert (
        compare(capture_target(f"{pipelines / 'code.py'}:compose"), wrong).findings[0].kind
        == "channel_order"
    )


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["layers", "dataset"])
def test_keras_layers_and_datasets_are_captured_and_agree_with_code(pipelines, by_hand, name):
    made = capture_target(f"{pipelines / 'keras_code.py'}:{name}")
    assert (
        made.output["marks"]["shape"] == [1, 40, 48, 3]
        and made.output["marks"]["dtype"] == "float32"
    )
    # TensorFlow rounds nothing between resizing and scaling and reads no EXIF; its JPEG decoder is the fast one
    found = [f.kind for f in compare(by_hand, made).findings]
    assert found in ([], ["decoder"]), found


def tiny_model(path, shape=(1, 40, 48, 3)):
    """Write a `.tflite` of one RELU on a float picture."""
    from ai_edge_litert import schema_py_generated as tfl

    model, graph = tfl.ModelT(), tfl.SubGraphT()
    graph.tensors = []
    for name in (b"image", b"out"):
        t = tfl.TensorT()
        t.name, t.shape, t.type, t.buffer = name, list(shape), tfl.TensorType.FLOAT32, 0
        graph.tensors.append(t)
    operator, code = tfl.OperatorT(), tfl.OperatorCodeT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    code.builtinCode = code.deprecatedBuiltinCode = tfl.BuiltinOperator.RELU
    code.version = 1
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [1]
    model.version, model.subgraphs, model.operatorCodes, model.buffers = (
        3,
        [graph],
        [code],
        [tfl.BufferT()],
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def described(path, mean, std):
    return write_metadata(
        path, name="m", description="d", size=(48, 40), mean=mean, std=std, labels=["a", "b"]
    )


def test_a_tflite_file_with_metadata_is_captured_and_compared(pipelines, tmp_path):
    model = described(tiny_model(tmp_path / "m.tflite"), 127.5, 127.5)
    out = tmp_path / "tflite.json"
    assert run(["fingerprint", "capture", "--pipeline", str(model), "--out", str(out)]) == 0
    made = schema.load(out)
    assert made.spec is not None and made.output["marks"]["shape"] == [1, 40, 48, 3]
    right, wrong = (
        capture_target(f"{pipelines / 'code.py'}:{n}") for n in ("upright", "upright_imagenet")
    )
    assert compare(made, right).verdict == "equivalent"
    assert compare(made, wrong).findings[0].kind in ("mean", "scale")


def test_a_tflite_file_that_says_nothing_or_is_none_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="no normalisation metadata"):
        spec_of(tiny_model(tmp_path / "plain.tflite"))
    whole = described(tiny_model(tmp_path / "cut.tflite"), 0, 255).read_bytes()
    for data in (
        b"",
        b"TFL3",
        b"\0\0\0\0TFL3" + b"\xff" * 64,
        b"\x1c\0\0\0TFL3" + b"\0" * 12,
        whole[:200],
    ):
        (tmp_path / "cut.tflite").write_bytes(data)
        with pytest.raises(BadInputError, match="TFLite"):
            spec_of(tmp_path / "cut.tflite")


def test_a_spec_as_an_onnx_graph_is_the_spec(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "Resize",
            ["first", "", "", "sizes"],
            ["small"],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        ),
        helper.make_node("Transpose", ["small"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Sub", ["last", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "mean"], ["scaled"]),
    ]
    graph = helper.make_graph(
        nodes,
        "preprocessing",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "h", "w", 3])],
        [helper.make_tensor_value_info("scaled", TensorProto.FLOAT, None)],
        [
            helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 3, 40, 48]),
            helper.make_tensor("mean", TensorProto.FLOAT, [], [127.5]),
        ],
    )
    path = tmp_path / "inside.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path
    )
    (tmp_path / "code.py").write_text(CODE)
    hand = capture_target(f"{tmp_path / 'code.py'}:by_hand")
    assert compare(hand, capture_target(str(path))).verdict == "equivalent"


def test_a_comparison_shows_itself_in_a_notebook(pipelines, by_hand):
    c = compare(by_hand, capture_target(f"{pipelines / 'code.py'}:upright_imagenet"))
    c.infer.name = "<b>phone</b>"
    html = c._repr_html_()
    assert "mismatch" in html and "&lt;b&gt;phone" in html and "<b>phone" not in html
    assert all(f.kind in html and f.fix.split(",")[0][:20] in html for f in c.findings)
    assert "<table" not in compare(by_hand, by_hand)._repr_html_()


@pytest.mark.parametrize(
    "wrap,shape",
    [
        (lambda x: {"pixel_values": x}, (2, 3)),
        (lambda x: {"image": x, "mask": None}, (2, 3)),
        (lambda x: (x, 0.5, (1, 2)), (2, 3)),
        (lambda x: [x, x + 1], (2, 2, 3)),
        (lambda x: [x], (2, 3)),
        (lambda x: x.tolist(), (2, 3)),
    ],
)
def test_results_come_in_many_wrappings(wrap, shape):
    assert as_array(wrap(np.zeros((2, 3), np.float32))).shape == shape


def test_bfloat16_is_its_own_number_type(by_hand):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.linspace(-1, 1, 48 * 40 * 3).reshape(1, 40, 48, 3)
    a, b = (describe(x.astype(t)) for t in (np.float32, ml_dtypes.bfloat16))
    assert (a["dtype"], b["dtype"]) == ("float32", "bfloat16") and a["digest"] != b["digest"]
    assert abs(a["moments"]["std"][0] - b["moments"]["std"][0]) < 1e-3
