"""Entropy and percentile calibration: ONNX Runtime's own ranges, in memory that does not grow with the images."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facelab.quantization import _subject as subject
from facelab.quantization._onnx_route import OnnxQuantizer
from facelab.quantization._rows import Rows
from facelab.quantization.internals import images, measure
from facelab.quantization.recipes import RECIPES

SIDE = 192


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Return a network whose inner tensors take 10 MiB an image, in three tensors of unlike ranges."""
    import onnx
    from onnx import helper
    from onnx import numpy_helper as nh

    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("onnx") / "wide.onnx"
    w1 = rng.normal(0, 0.3, (24, 3, 3, 3)).astype(np.float32)
    w2 = rng.normal(0, 0.2, (24, 24, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "conv1", pads=[1] * 4),
        helper.make_node("Sigmoid", ["a"], ["b"], "soft"),
        helper.make_node("Conv", ["b", "w2"], ["c"], "conv2"),
        helper.make_node("GlobalAveragePool", ["c"], ["y"], "pool"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", 1, [1, 24, 1, 1])],
        [nh.from_array(w1, "w1"), nh.from_array(w2, "w2")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        str(path),
    )
    return path


def row(i: int) -> np.ndarray:
    """Return image `i`; later images reach further than the first, so ranges that start with it would differ."""
    rng = np.random.default_rng(i)
    return rng.normal(0, 0.2 + i, (3, SIDE, SIDE)).astype(np.float32)


def initializers(path: Path) -> dict[str, np.ndarray]:
    import onnx
    from onnx import numpy_helper as nh

    return {i.name: nh.to_array(i) for i in onnx.load(str(path)).graph.initializer}


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_the_file_is_that_of_the_runtimes_own_calibrator(method, network, tmp_path):
    from onnxruntime import quantization as q

    feeds = iter([{"x": row(i)[None]} for i in range(4)])

    class Reader(q.CalibrationDataReader):
        def get_next(self):
            return next(feeds, None)

    with OnnxQuantizer(network) as quantizer:
        rows = Rows(row, range(4), (3, SIDE, SIDE))
        ours = quantizer.quantize(
            RECIPES[f"u8s8-per-channel-{method}"], tmp_path / "ours.onnx", calibration=rows
        )
        q.quantize_static(
            str(quantizer.prepared),
            str(tmp_path / "theirs.onnx"),
            Reader(),
            quant_format=q.QuantFormat.QDQ,
            per_channel=True,
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            calibrate_method=q.CalibrationMethod[method.capitalize()],
        )
    expected, got = initializers(tmp_path / "theirs.onnx"), initializers(ours)
    assert expected.keys() == got.keys() and len(got) > 8
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


GROWTH = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_calibration_memory import SIDE, row
from facelab.quantization._onnx_route import OnnxQuantizer
from facelab.quantization.recipes import RECIPES
from facelab.quantization._rows import Rows
peaks = []
with OnnxQuantizer(Path(sys.argv[1])) as quantizer:
    for n in (2, 22):
        rows = Rows(row, range(n), (3, SIDE, SIDE))
        out = Path(sys.argv[1]).with_name("grown.onnx")
        quantizer.quantize(RECIPES["u8s8-per-channel-" + sys.argv[2]], out, calibration=rows)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
print(*peaks)
"""


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_memory_does_not_grow_with_the_images(method, network):
    arguments = [str(network), method, str(Path(__file__).parent)]
    run = subprocess.run(
        [sys.executable, "-c", GROWTH, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    few, many = map(int, run.stdout.split())
    # keeping the inner tensors of 20 more images takes 200 MiB; allocators differ by a few
    assert many - few < 40, f"{few} MiB with 2 images, {many} MiB with 22"


def test_a_large_set_is_read_again_instead_of_held(assets, monkeypatch):
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    it = subject.load(assets / "models" / "detectors" / "yunet_n_640_640.onnx")
    folder = str(assets / "images" / "conditions")
    held = images.read(it, folder, most=3)
    monkeypatch.setattr(images, "HELD", 0)
    lazy = images.read(it, folder, most=3)
    assert isinstance(held.tensors, np.ndarray) and isinstance(lazy.tensors, Rows)
    np.testing.assert_array_equal(np.asarray(lazy.tensors), held.tensors)
    assert lazy.hashes == held.hashes and lazy.names == held.names
    again = lazy.take([2, 0])
    np.testing.assert_array_equal(again.tensors[1], held.tensors[0])
    few = measure.to_input(again.tensors[:1], it.spec)
    np.testing.assert_array_equal(few, held.tensors[2:])
