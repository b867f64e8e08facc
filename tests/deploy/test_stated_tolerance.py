"""A correct implementation that is off by what a bundle's README allows passes, for every preset and integer input."""

import json

import numpy as np
import pytest

from facelab.deploy._readme import MOST
from facelab.deploy._stage_rules import one_level
from facelab.emotion import emotion_spec
from facelab.emotion.internals import quantized
from facelab.fingerprint import capture_spec, compare, import_tensors, load
from facelab.fingerprint.document._schema import parse
from facelab.fingerprint.document._statistics import lines, pack
from facelab.fingerprint.probes import write_probes
from facelab.preprocess import apply
from facelab.preprocess.presets import catalogue_specs, preset
from facelab.preprocess.spec import PreprocessSpec
from facelab.report.fingerprint import page


def sides(spec, folder, *, every=False, seed=0):
    """The training side's fingerprint, and that of a program off by one step on one value of one probe (or on as
    many values of every probe as may be, up or down at random)."""
    train = capture_spec(spec, tensors=folder)
    rng = np.random.default_rng(seed)
    files = sorted(folder.glob("*.npy"))
    for path in files if every else files[len(files) // 2 :][:1]:
        a = np.load(path)
        if a.dtype.kind in "iu":
            low, high = np.iinfo(a.dtype).min, np.iinfo(a.dtype).max
            step = rng.choice([-1, 1], a.shape) if every else np.where(a.flat[7] == high, -1, 1)
            moved = np.clip(a.astype(int) + step, low, high).astype(a.dtype)
        else:
            level = np.asarray(one_level(spec), a.dtype).reshape(-1)
            moved = a + rng.choice([-1, 1], a.shape).astype(a.dtype) * level.min()
        if not every:
            moved = np.where(np.arange(a.size).reshape(a.shape) == 7, moved, a)
        else:
            moved = np.where(rng.random(a.shape) < MOST, moved, a)
        np.save(path, moved)
    return train, import_tensors(folder)


def integer(spec, folder, dtype):
    """The spec with a quantize stage whose scale and zero point follow from the probes, as a calibration gives them."""
    capture_spec(spec, tensors=folder)
    values = [np.load(p) for p in folder.glob("*.npy")]
    low, high = min(0, *(v.min() for v in values)), max(0, *(v.max() for v in values))
    scale = float(np.float32((high - low) / 255))
    zero = int(np.rint(np.iinfo(dtype).min - low / scale))
    return quantized(spec, scale=scale, zero_point=zero, dtype=dtype)


def eight_float_stages():
    """facelab's own spec with one `color` stage to and fro: nothing else changes."""
    stages = emotion_spec().to_dict()["stages"]
    both = [{"op": "color", "from": a, "to": b} for a, b in (("rgb", "bgr"), ("bgr", "rgb"))]
    return PreprocessSpec("eight", [*stages[:2], *both, *stages[2:]])


QUICK = ("fer",)
SLOW = (
    "arcface",
    "adaface",
    "sface",
    "facenet",
    "dlib",
    "yunet",
    "ultraface",
    "retinaface",
    "scrfd",
)
SLOW += ("yolov5face", "mtcnn", "mini-xception-107", "face-mesh", "fsanet", "minifasnet-v2")
NAMES = [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float", "int8", "uint8"])
@pytest.mark.parametrize("every", [False, True])
def test_one_step_is_equivalent(tmp_path, name, dtype, every):
    spec = preset(name)
    spec = spec if dtype == "float" else integer(spec, tmp_path, dtype)
    found = compare(*sides(spec, tmp_path, every=every))
    assert found.verdict == "equivalent", found
    assert all(found.distances[n] for n in found.distances)


def others():
    """Return one name of each preprocessing in the catalogue that no preset above is."""
    named = {preset(n).hash for n in (*QUICK, *SLOW)}
    found = {}
    for name, spec in catalogue_specs().items():
        if spec.hash not in named:
            found.setdefault(spec.hash, name)
    return sorted(found.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", others())
@pytest.mark.parametrize("dtype", ["float", "int8"])
def test_one_step_is_equivalent_for_the_rest_of_the_catalogue(tmp_path, name, dtype):
    spec = catalogue_specs()[name]
    if spec.output_dtype == "uint8" and dtype != "float":
        pytest.skip("its tensor is bytes already: there is nothing to quantise")
    spec = spec if dtype == "float" else integer(spec, tmp_path, dtype)
    for every in (False, True):
        found = compare(*sides(spec, tmp_path, every=every))
        assert found.verdict == "equivalent", (every, found)
        assert all(found.distances[n] for n in found.distances)


@pytest.mark.parametrize(
    ("stages", "every"),
    [
        ("int8", False),
        ("float", True),
        pytest.param("int8", True, marks=pytest.mark.slow),
        pytest.param("float", False, marks=pytest.mark.slow),
    ],
)
def test_eight_stages_are_compared_like_seven(tmp_path, stages, every):
    """A fingerprint of eight stages was thinned to other sample places, and nothing was comparable any more."""
    spec = eight_float_stages()
    if stages == "int8":
        spec = quantized(emotion_spec(), scale=0.007843137718737125, zero_point=-1, dtype="int8")
    assert len(spec.stages) >= 8
    train, infer = sides(spec, tmp_path, every=every)
    size = len(train.dumps())
    assert size < 256 * 1024
    found = compare(load(train.save(tmp_path / "train.json")), infer)
    assert found.verdict == "equivalent", found
    assert None not in found.distances.values()
    html = page(found)
    assert "sizes differ" not in html and "differ by more than rounding" not in html
    wrong = sides(spec, tmp_path)[1]
    assert wrong.samples("marks").shape == train.samples("marks").shape


def test_fingerprints_thinned_by_older_versions_are_compared_at_common_places(tmp_path):
    spec = emotion_spec()
    train, infer = sides(spec, tmp_path)
    thinned = train.to_dict()
    for name, entry in thinned["stages"][-1]["entries"].items():
        image = np.load(tmp_path / f"{name}.npy")[0].astype(np.float64)
        at = lines(image.shape[0], 12), lines(image.shape[1], 12)
        entry["samples"] = pack(image[np.ix_(*at)])
    found = compare(parse(thinned), infer)
    assert found.verdict == "equivalent", found
    assert None not in found.distances.values()
    assert "sizes differ" not in page(found)


@pytest.mark.tensorflow
@pytest.mark.parametrize("dtype", ["float", "int8"])
def test_a_decoder_that_repeats_colours_is_a_good_decoder(tmp_path, dtype):
    """Go's image/jpeg does not smooth the colours of 4:2:0: accepted in float, it failed behind INT8's ties."""
    tf = pytest.importorskip("tensorflow")
    spec = emotion_spec()
    if dtype == "int8":
        spec = quantized(spec, scale=0.007843137718737125, zero_point=-1, dtype="int8")
    train = capture_spec(spec, tensors=tmp_path / "tensors")
    write_probes(tmp_path / "probes")
    known = json.loads((tmp_path / "probes" / "probes.json").read_text())["probes"]
    for probe in known:
        if probe["format"] == "jpeg" and probe["orientation"] == 1:
            raw = (tmp_path / "probes" / probe["file"]).read_bytes()
            pixels = tf.io.decode_jpeg(raw, fancy_upscaling=False, dct_method="INTEGER_ACCURATE")
            golden = tmp_path / "tensors" / f"{probe['name']}.npy"
            made = apply(spec, pixels.numpy(), face=probe["face"])
            if probe["name"] == "jpeg_420":
                assert not np.array_equal(made, np.load(golden))
            np.save(golden, made)
    found = compare(train, import_tensors(tmp_path / "tensors"))
    assert found.verdict == "equivalent", found


def test_two_accurate_decoders_are_not_called_the_same(tmp_path):
    """Farther apart than rounding, yet each accurate by itself: both sides had the same name."""
    train = capture_spec(emotion_spec(), tensors=tmp_path)
    a = np.load(tmp_path / "jpeg_420.npy")
    noise = np.random.default_rng(0).choice([-1.5, 1.5], a.shape).astype(a.dtype) / np.float32(
        127.5
    )
    np.save(tmp_path / "jpeg_420.npy", a + noise)
    found = compare(train, import_tensors(tmp_path))
    assert found.verdict == "mismatch"
    for finding in found.findings:
        assert finding.training != finding.inference, finding
