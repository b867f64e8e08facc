"""The search for float layers: bounded in time, with progress, the nearest miss, and operators without a kernel."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from facelab import detection, embedding
from facelab.cli import run
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.preprocess import PreprocessSpec
from facelab.quantization import Budgets, Session, _run, recipes
from facelab.quantization._layers import smallest
from facelab.quantization._operators import NotIntegerError, Operator
from facelab.quantization._run import Request, _progress
from facelab.quantization._subject import Subject
from facelab.quantization.calibration import Samples

OPS = [Operator(i, "Conv", f"layer{i}", (), ()) for i in range(40)]


def never(kept, only):
    """A metric that no set meets; two layers help, more do not."""
    gain = 0.02 * len({"layer3", "layer7"} & set(kept))
    return {"size_ratio": 0.1, "agreement": None, "cosine": {"mean": 0.9 + gain}}


def test_the_search_stops_in_time_and_names_the_nearest_miss():
    def slow(kept, only):
        time.sleep(0.02)
        return never(kept, only)

    started = time.monotonic()
    found = smallest(OPS, slow, Budgets(), seconds=1.2)
    assert time.monotonic() - started < 1.5
    assert not found.met and "within 1 s" in found.how and "--time" in found.how
    assert set(found.layers) <= {"layer3", "layer7"} and found.layers  # what was best so far
    assert found.row["cosine"]["mean"] > 0.9 and found.tried < 80


def test_at_least_one_model_is_made_however_short_the_time():
    assert smallest(OPS, never, Budgets(), seconds=1e-9).tried >= 1


def test_a_set_found_before_the_time_is_over_counts():
    def fake(kept, only):
        time.sleep(0.01)
        return {"size_ratio": 0.1, "agreement": None, "cosine": {"mean": 0.99 if kept else 0.9}}

    found = smallest(OPS, fake, Budgets(), seconds=0.2)
    assert found.met and len(found.layers) == 1


def test_of_equal_sets_found_in_time_the_closest_counts():
    """The first that met the budgets was reported, and a smaller one said to be possible."""
    close = {"layer0": 0.985, "layer1": 0.999}

    def fake(kept, only):
        time.sleep(0.02)
        mean = max((close.get(k, 0.982) for k in kept), default=0.9)
        return {"size_ratio": 0.1, "agreement": None, "cosine": {"mean": mean}}

    found = smallest(OPS, fake, Budgets(), seconds=0.3)
    assert found.met and found.layers == ("layer1",) and 3 <= found.tried < 40
    assert "a better single layer may exist" in found.how


def test_progress_says_models_seconds_and_what_is_left():
    seen = []
    smallest(OPS, never, Budgets(), seconds=0.5, progress=lambda *a: seen.append(a))
    made, seconds, left = zip(*seen)
    assert list(made) == list(range(1, len(made) + 1)) and list(seconds) == sorted(seconds)
    assert left[1] == 39 and left[2] == 38  # after the first of forty single layers
    said = []
    follow = _progress(said.append)
    for n, s, rest in ((1, 1.0, None), (2, 3.0, 38), (5, 12.0, 35), (6, 13.0, 34)):
        follow(n, s, rest)
    assert said == [
        "1 model made in 1 s",
        "5 models made in 12 s, about 84 s for the 35 left of this round",
    ]


@pytest.mark.parametrize(
    "text, auto, kept",
    [
        ("auto", True, ""),
        ("PRELU,auto", True, "PRELU"),
        ("#3, 4", False, "#3,4"),
        (None, False, ""),
    ],
)
def test_named_operators_and_auto_stand_together(text, auto, kept):
    request = Request("m", ("int8",), "a", "b", keep_float=text)
    assert (request.auto, request.kept) == (auto, kept)


def test_auto_is_for_the_recipe_that_can_beside_one_that_cannot(monkeypatch):
    """`--recipe int8 --recipe qat-int8 --keep-float auto` was refused outright."""
    monkeypatch.setattr(_run.qat, "source_of", lambda it: None)
    it = SimpleNamespace(file=Path("m.keras"), source=Path("m.keras"))
    both = Request("m", ("int8", "qat-int8"), "a", "b", keep_float="auto")
    assert [r.name for r in _run._chosen(both, it)] == ["edge-int8", "qat-int8"]
    for names, keep in ((("tf-int8", "qat-int8"), "auto"), (("qat-int8",), "auto")):
        with pytest.raises(UnsupportedError, match="cannot leave single operators in float"):
            _run._chosen(Request("m", names, "a", "b", keep_float=keep), it)
    with pytest.raises(BadInputError, match="goes with one recipe"):
        _run._chosen(Request("m", ("int8", "qat-int8"), "a", "b", keep_float="#3"), it)


@pytest.fixture
def prelu(tmp_path):
    """A small LiteRT classifier with a PReLU, for which ai-edge-quantizer has no integer kernel."""
    tf = pytest.importorskip("tensorflow")
    tf.keras.utils.set_random_seed(3)
    model = tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 3)),
            tf.keras.layers.Conv2D(4, 3, name="first"),
            tf.keras.layers.PReLU(alpha_initializer=tf.keras.initializers.Constant(0.25)),
            tf.keras.layers.Conv2D(4, 3, name="second"),
            tf.keras.layers.GlobalAveragePooling2D(),
            tf.keras.layers.Dense(3, activation="softmax"),
        ]
    )
    path = tmp_path / "prelu.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    spec = PreprocessSpec(
        "p",
        [
            {"op": "decode", "format": "rgb24", "order": "rgb", "size": (8, 8)},
            {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
            {"op": "layout", "to": "nhwc"},
            {"op": "cast", "dtype": "float32"},
        ],
    )
    return Subject("prelu", path, None, spec, "classifier", ("a", "b", "c"))


def samples(spec, n, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, (n, 8, 8, 3)).astype(np.float32)
    names = tuple(f"{seed}-{i}" for i in range(n))
    return Samples(x, names, names, spec, "drawn")


@pytest.mark.tensorflow
def test_prelu_is_found_by_itself(prelu):
    with Session(
        prelu, samples(prelu.spec, 24, 1), samples(prelu.spec, 12, 2), budgets=Budgets(size=2)
    ) as session:
        recipe = recipes.RECIPES["edge-int8"]
        with pytest.raises(NotIntegerError) as e:
            session.make(recipe)
        kept = session.without_kernel(recipe)
        kinds = {op.kind for op in session.layers() if op.name in kept}
        assert e.value.operators and kinds == {"PRELU"}
        row = session.add("int8", session.make(recipe, keep_float=kept), keep_float=kept)
        assert row["operators"]["CONV_2D"] == {"int8": 2} and row["agreement"]["value"] > 0.9
        found = session.keep_float_auto(recipe, always=kept, seconds=30)
        assert set(kept) <= set(found.layers)


def searched(folder, capsys, model, *args, seconds=25):
    """Quantise by command with a bounded search; return the report, what was said, and how long it took."""
    started = time.monotonic()
    line = ["quantize", model, "--keep-float", "auto", "--time", seconds, "--no-latency"]
    code = run([str(a) for a in (*line, *args, "--out", folder / "out")])
    took = time.monotonic() - started
    assert code in (0, 1)
    said = capsys.readouterr()
    return json.loads((folder / "out" / "quantization.json").read_text()), said, took


def own_copy(source, spec, folder):
    """Save a public file with another producer's name beside its spec: no hash knows it."""
    model = onnx.load(source)
    model.producer_name = "mine"
    onnx.save(model, folder / "mine.onnx")
    spec.save(folder / "mine.preprocess.json")
    return folder / "mine.onnx"


def check_search(report, said, task):
    """The search looked at the task's own figures, said how far it was, and names what it found or nearly found."""
    found = report["keep_float"]
    rows = {r["variant"]: r for r in report["rows"]}
    assert found["tried"] >= 2 and found["variant"] in rows and found["how"]
    assert task in rows[found["variant"]]["at_task"]
    judged = {c["budget"] for c in rows[found["variant"]]["verdict"]["checks"]}
    assert {"exact_count": "counts", "tar": "tar"}[task] in judged
    assert "models made in" in said.err and "for the" in said.err
    assert "s at most" in said.err
    told = "float layers that fix" if found["met"] else "nearest: "
    assert told in said.out
    before, after = rows[found["recipe"]], rows[found["variant"]]
    assert after["cosine"]["mean"] >= before["cosine"]["mean"] - 0.01


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_detectors_search_looks_at_labels(assets, tmp_path, capsys):
    source = assets / "models" / "detectors" / "yunet_n_320_320.onnx"
    model = own_copy(source, detection.load(source, threads=1).spec, tmp_path)
    labelled = assets / "labelled"
    report, said, took = searched(
        tmp_path,
        capsys,
        model,
        *("--recipe", "u8s8-per-channel-minmax", "--max-size", "2"),
        *("--calibration", labelled / "identity" / "orl", "--evaluate", labelled / "detection"),
        *("--labels", labelled / "detection.csv", "--calibration-n", 24),
    )
    check_search(report, said, "exact_count")
    assert report["suspicion"]["cause"] == "calibration_does_not_reach"  # portraits only
    assert took < 25 + 120  # reading and the first variant are not part of the search


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_embedders_search_looks_at_pairs(assets, mirror, tmp_path, capsys):
    source = assets / "models" / "embedders" / "mobilefacenet_foamliu.onnx"
    model = own_copy(source, embedding.load("mobilefacenet", threads=1).spec, tmp_path)
    labelled = assets / "labelled"
    report, said, took = searched(
        tmp_path,
        capsys,
        model,
        *("--recipe", "s8s8-per-tensor-minmax", "--max-size", "2", "--min-cosine", "0.999"),
        *("--calibration", labelled / "identity" / "orl", "--calibration-n", 24),
        *("--evaluate", labelled / "identity" / "ageitgey", "--evaluate-n", 8),
        *("--pairs", labelled / "identity_pairs.csv", "--pair-images", labelled),
    )
    check_search(report, said, "tar")
    assert took < 25 + 300
