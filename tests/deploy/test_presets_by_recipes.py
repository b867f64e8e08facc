"""Every preset meets every recipe: what `quantize` writes behind it passes the gate with a program one step off.

For each preprocessing of the presets and of the catalogue, a small network of its input goes through all LiteRT and
ONNX recipes (`qat-int8` and `modelmaker-int8` write what the converter writes: `test_every_recipe_passes_its_gate`).
The fingerprint of each file's preprocessing is compared with a program that is one step off on one value, and on as
many values as the README allows. Bundle and gate run for each INT8 and uint8 file, and in turn for one LiteRT and one
ONNX recipe whose input stays float: their preprocessing is the same, only the weights differ.
"""

import shutil

import numpy as np
import onnx
import pytest
from conftest_deploy import CLASSES

from facelab.core.errors import FacelabError, UnsupportedError
from facelab.deploy import judge, make_bundle
from facelab.deploy._bundle_files import _contents
from facelab.fingerprint import capture_spec, compare, import_tensors
from facelab.preprocess import PreprocessSpec
from facelab.quantization import Session, calibration, load
from facelab.quantization.internals import export
from facelab.quantization.recipes import RECIPES
from tests.deploy.test_every_recipe_passes_its_gate import moved
from tests.deploy.test_keras_files_pass_their_gate import specs, write_keras

pytestmark = [
    pytest.mark.slow,
    pytest.mark.tensorflow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
PRESETS = specs()
ROUTES = {"litert": ("edge", "tf"), "onnx": ("onnx",)}
FREE = 96
"""Side of the tensors that calibrate a network of any size."""


def recipes_of(runtime):
    return [r for r in RECIPES.values() if r.route in ROUTES[runtime]]


def whole(recipe):
    """Whether a recipe makes the model's input an integer."""
    return recipe.route != "onnx" and recipe.kind in ("int8", "uint8")


def gated(runtime, turn):
    """The recipes whose bundles are judged behind the preset number `turn`."""
    floats = [r.name for r in recipes_of(runtime) if not whole(r)]
    return {r.name for r in recipes_of(runtime) if whole(r)} | {floats[turn % len(floats)]}


def write_onnx(folder, spec):
    """Write a network of a spec's input: a convolution, the mean, three classes."""
    shape = spec.output_shape()
    first = shape[1] in (1, 3)
    channels = shape[1] if first else shape[3]
    h, numbers = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(2)
    held = {
        "kernel": rng.normal(0, 0.1, (4, channels, 3, 3)).astype(np.float32),
        "weights": rng.normal(0, 1, (4, 3)).astype(np.float32),
    }
    nodes = [] if first else [h.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2])]
    nodes += [
        h.make_node("Conv", ["image" if first else "planes", "kernel"], ["c"], strides=[2, 2]),
        h.make_node("Relu", ["c"], ["r"]),
        h.make_node("GlobalAveragePool", ["r"], ["p"]),
        h.make_node("Flatten", ["p"], ["f"]),
        h.make_node("MatMul", ["f", "weights"], ["logits"]),
        h.make_node("Softmax", ["logits"], ["scores"]),
    ]
    sizes = [n if n is not None else f"side{k}" for k, n in enumerate(shape)]
    graph = h.make_graph(
        nodes,
        "mine",
        [h.make_tensor_value_info("image", onnx.TensorProto.FLOAT, sizes)],
        [h.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [1, 3])],
        [numbers.from_array(v, k) for k, v in held.items()],
    )
    file = folder / "mine.onnx"
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9), file)
    return file


class Sides:
    """Training fingerprints and those of programs one step off, made once for each preprocessing."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def capture(self, spec, *, tensors=None):
        """Stand in for `capture_spec` while bundles are made."""
        train = self.of(spec)[0]
        if tensors is not None:
            shutil.copytree(self.folder / spec.hash / "golden", tensors, dirs_exist_ok=True)
        return train

    def of(self, spec):
        """Return the training side, and the programs off on one value and on as many as may be."""
        if spec.hash not in self.made:
            place = self.folder / spec.hash
            train = capture_spec(spec, tensors=place / "golden")
            off = []
            for every in (False, True):
                shutil.copytree(place / "golden", place / f"off-{every}")
                moved(place / f"off-{every}", spec, every=every)
                off.append(import_tensors(place / f"off-{every}"))
                shutil.rmtree(place / f"off-{every}")
            self.made[spec.hash] = train, off
        return self.made[spec.hash]


def samples(spec, golden_tensors, seed):
    """Return twenty tensors as a calibration set, near those of the probes."""
    rng = np.random.default_rng(seed)
    found = [np.load(p)[0] for p in sorted(golden_tensors.glob("*.npy"))[:20]]
    if None in spec.output_shape():
        side = {n: FREE for n, v in enumerate(spec.output_shape()[1:]) if v is None}
        shape = [side.get(n, v) for n, v in enumerate(found[0].shape)]
        low, high = min(f.min() for f in found), max(f.max() for f in found)
        found = [rng.uniform(low, high, shape).astype(np.float32) for _ in found]
    tensors = np.stack([np.clip(f * rng.uniform(0.9, 1), f.min(), f.max()) for f in found])
    names = tuple(f"{seed} {k}" for k in range(len(found)))
    return calibration.Samples(tensors.astype(np.float32), names, names, spec, f"set {seed}")


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    return Sides(tmp_path_factory.mktemp("sides"))


@pytest.mark.parametrize("runtime", ROUTES)
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_recipe_behind_every_preset(name, runtime, sides, tmp_path, monkeypatch):
    spec, turn = PRESETS[name], sorted(PRESETS).index(name)
    file = write_keras(tmp_path, spec) if runtime == "litert" else write_onnx(tmp_path, spec)
    spec.save(file.with_suffix(".preprocess.json"))
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    if spec.output_dtype != "float32":
        with pytest.raises(FacelabError):
            made(file, spec, sides, recipes_of(runtime), tmp_path)
        return
    monkeypatch.setattr(_contents, "capture_spec", sides.capture)
    judged = gated(runtime, turn)
    chosen = recipes_of(runtime)
    if runtime == "litert" and None in spec.output_shape():
        edge = next(r for r in chosen if r.name == "edge-int8")
        with pytest.raises(UnsupportedError, match="one input size"):
            made(file, spec, sides, [edge], tmp_path)
        chosen.remove(edge)
    files = made(file, spec, sides, chosen, tmp_path)
    assert set(files) == {r.name for r in chosen}
    for recipe, path in files.items():
        said = PreprocessSpec.load(path.with_suffix(".preprocess.json"))
        assert said.output_dtype == (RECIPES[recipe].kind if whole(RECIPES[recipe]) else "float32")
        train, off = sides.of(said)
        for program in off:
            found = compare(train, program)
            assert found.verdict == "equivalent", (recipe, found)
        if recipe in judged:
            bundle = make_bundle(path, tmp_path / recipe, licence="MIT", every_golden=True)
            for program in off:
                checks = {c.name: c for c in judge(bundle.folder, inference=program).checks}
                assert checks["fingerprint"].status == "pass", (recipe, checks["fingerprint"])
                assert checks["golden_outputs"].status == "pass", (recipe, checks)
            shutil.rmtree(tmp_path / recipe)


def made(file, spec, sides, chosen, folder):
    """Return the file of each chosen recipe, beside its preprocessing and the labels."""
    sides.of(spec)
    tensors = sides.folder / spec.hash / "golden"
    with Session(load(file), samples(spec, tensors, 1), samples(spec, tensors, 2)) as session:
        variants = session.make_all(chosen)
        session.files |= variants
        out = folder / "out"
        out.mkdir()
        export.write_labels(session, out)
        return {v: export.with_spec(session, v, out / p.name) for v, p in variants.items()}
