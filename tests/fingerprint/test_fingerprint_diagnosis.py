"""The diagnosis against pipelines written apart from it: plain OpenCV, Pillow and numpy code with planted mistakes."""

import json

import numpy as np
import pytest

from facelab.fingerprint import capture_spec, compare
from facelab.fingerprint.diagnosis import FIX, KINDS, SEVERITY
from facelab.fingerprint.document import _schema as schema
from facelab.fingerprint.document._statistics import lines
from facelab.fingerprint.internals import Finding
from facelab.fingerprint.model import _operations as chain
from facelab.fingerprint.model._linear_fit import compare_scaling, fit
from facelab.fingerprint.model._pipeline_state import TRANSFORMS
from facelab.fingerprint.model._predictor import predict
from facelab.fingerprint.model._resampling import weights
from facelab.fingerprint.probes._cache import Source
from facelab.preprocess.spec import PreprocessSpec
from facelab.studies.planted import BASES, HARMLESS, PAIRS, SINGLES, SPECS
from facelab.studies.planted import _matrix as matrix
from facelab.studies.planted import _pipelines as planted

BY_NAME = {m.name: m for m in SINGLES}
GRAY, RGB, FACE, BOX = BASES
# a mistake of each family; the slow test has all of them in every base, with and without the training side's spec
QUICK = [
    (GRAY, "EXIF orientation ignored"),
    (GRAY, "red and blue swapped"),
    (GRAY, "gray by plain average"),
    (GRAY, "nearest neighbour"),
    (GRAY, "bilinear without antialias"),
    (BOX, "top-left pixel centres (TF 1)"),
    (GRAY, "resized twice"),
    (RGB, "resized before the crop"),
    (GRAY, "centre crop of 7/8"),
    (RGB, "30 % margin around"),
    (BOX, "stretched instead of letterboxed"),
    (FACE, "two pixels to the right"),
    (FACE, "template without the +8"),
    (GRAY, "turned by 90°"),
    (RGB, "tilted by 12°"),
    (RGB, "mirrored"),
    (FACE, "rows and columns exchanged"),
    (RGB, "channel axis on the wrong side"),
    (FACE, "buffer reinterpreted without a transpose"),
    (GRAY, "no batch axis"),
    (FACE, "another mean"),
    (GRAY, "another scale"),
    (GRAY, "0…1 instead of −1…1"),
    (RGB, "normalised twice"),
    (RGB, "raw pixels"),
    (RGB, "gamma 2.2"),
    (GRAY, "histogram equalised"),
    (GRAY, "float16"),
    (FACE, "clipped to 0…1"),
    (RGB, "16 gray levels"),
    (GRAY, "another size"),
    (RGB, "YUV limited range read as full"),
    (RGB, "BT.601 read as BT.709"),
    (GRAY, "JPEG decoded at half size and scaled up"),
]


def check(train, infer, *mistakes):
    c = compare(train, infer)
    found = [f.kind for f in c.findings]
    assert c.verdict == "mismatch" and found, (c.verdict, found)
    assert all(f.fix and f.training and f.inference and f.evidence["probe"] for f in c.findings)
    if len(mistakes) == 1:
        assert found[0] in mistakes[0].kinds, (found, c.explained)
    else:
        assert all(set(m.kinds) & set(found) for m in mistakes), found
    return c


@pytest.mark.parametrize("base,name", QUICK)
def test_a_single_mistake_is_named_first(base, name, documented, black_box):
    check(documented(base), black_box(base, BY_NAME[name]), BY_NAME[name])


@pytest.mark.parametrize("base,name", QUICK[::4])
def test_a_single_mistake_is_named_when_neither_side_has_a_spec(base, name, black_box):
    check(black_box(base), black_box(base, BY_NAME[name]), BY_NAME[name])


@pytest.mark.parametrize("pair", PAIRS[::3], ids=" + ".join)
def test_two_mistakes_at_once_are_separated(pair, documented, black_box):
    mistakes = [BY_NAME[n] for n in pair]
    base = next(b for b in (RGB, GRAY, FACE) if all(m.suits(b) for m in mistakes))
    check(documented(base), black_box(base, *mistakes), *mistakes)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("mistake", HARMLESS, ids=lambda m: m.name)
def test_harmless_variations_raise_no_alarm(base, mistake, documented, black_box):
    if not mistake.suits(base) or (
        base == BOX and mistake.name not in ("the same again", "last bit truncated")
    ):
        pytest.skip("does not apply, or in the slow matrix")
    c = compare(documented(base), black_box(base, mistake))
    assert c.verdict == "equivalent" and not c.findings, [(f.kind, f.inference) for f in c.findings]


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("base", BASES)
def test_the_whole_matrix(base):
    rows = matrix.run_matrix([base])
    shares = matrix.shares(rows)
    assert shares["single"][0] >= 0.95 * shares["single"][1], [
        r for r in rows if not r.right and r.group == "single"
    ]
    assert shares["pair"][0] >= 0.8 * shares["pair"][1], [
        r for r in rows if not r.right and r.group == "pair"
    ]
    assert shares["harmless"][0] == shares["harmless"][1], [
        r for r in rows if not r.right and r.group == "harmless"
    ]


def test_the_matrix_is_as_large_as_promised():
    assert len(SINGLES) >= 30 and len(PAIRS) >= 10 and len(BASES) >= 4
    assert sum(m.suits(b) for b in BASES for m in HARMLESS) >= 12
    assert {k for m in SINGLES for k in m.kinds} <= set(KINDS) == set(SEVERITY) == set(FIX)


@pytest.mark.tensorflow
@pytest.mark.slow
def test_tensorflow_is_harmless_and_its_fast_jpeg_is_not():
    spec = PreprocessSpec(GRAY, SPECS[GRAY])
    train = capture_spec(spec)
    assert compare(train, capture_spec(spec, backend="tensorflow")).verdict == "equivalent"
    fast = capture_spec(spec.replace(0, idct="fast"), decode_with="tensorflow")
    fast.spec = None
    c = compare(train, fast)
    assert c.verdict == "mismatch" and [f.kind for f in c.findings] == ["decoder"]


def test_with_two_specs_the_first_deviating_stage_and_the_parameter_are_named(documented):
    spec = PreprocessSpec(RGB, SPECS[RGB])
    for index, changes, kind, stage, parameter in (
        (1, {"exif": "ignore"}, "exif_orientation", "02_orient", "exif"),
        (3, {"kernel": "bilinear", "edge": "renormalize"}, "resize_kernel", "04_resize", "kernel"),
        (4, {"mean": [0.0]}, "mean", "05_normalize", "mean"),
        (5, {"to": "nhwc"}, "layout", "06_layout", "to"),
    ):
        c = compare(documented(RGB), capture_spec(spec.replace(index, **changes)))
        assert c.verdict == "mismatch" and c.findings[0].kind == kind
        assert (c.first_stage["stage"], c.first_stage["parameter"]) == (stage, parameter)


def test_a_declared_batch_axis_is_equivalent_and_an_undeclared_one_is_not(documented, black_box):
    single = black_box(GRAY, BY_NAME["no batch axis"])
    assert [f.kind for f in compare(documented(GRAY), single).findings] == ["batch_axis"]
    assert compare(documented(GRAY), single, allow=("batch_axis",)).verdict == "equivalent"
    declared = schema.parse(json.loads(single.dumps()))
    declared.declares = ["batch"]
    assert compare(documented(GRAY), declared).verdict == "equivalent"


def test_a_pipeline_that_nothing_explains_is_unknown(documented, black_box):
    junk = schema.parse(json.loads(black_box(GRAY).dumps()))
    rng = np.random.default_rng(0)
    from facelab.fingerprint.document import describe

    for name in junk.output:
        junk.output[name] = describe(rng.normal(size=(1, 64, 64, 1)).astype(np.float32))
    c = compare(documented(GRAY), junk)
    assert c.verdict == "mismatch" and [f.kind for f in c.findings] == ["unknown"]


def test_identical_fingerprints_are_identical(documented):
    c = compare(documented(BOX), documented(BOX))
    assert c.verdict == "identical" and not c.findings and c.explained is None


# -- the parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", BASES)
def test_the_prediction_is_what_the_reference_backend_computes(base, documented):
    from facelab.fingerprint.model._observed import Observed
    from facelab.fingerprint.search._identify import identify

    names = [n for n, e in documented(base).output.items() if "error" not in e]
    side = identify(documented(base), Observed(documented(base), names))
    # the spec rounds to whole pixels once or twice, the prediction does not: uniform errors of ±½ level have 0.29 RMS;
    # an alignment that places its samples on 1/32 pixel is off by more at edges
    assert side.linear.loss < (0.8 if base == FACE else 0.5) and not side.steps


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_chains_turn_as_numpy_does(transform):
    x = np.random.default_rng(1).integers(0, 256, (13, 17, 3)).astype(np.uint8)
    turned = {
        "flip_horizontal": x[:, ::-1],
        "flip_vertical": x[::-1],
        "rotate180": x[::-1, ::-1],
        "rotate90": np.rot90(x, -1),
        "rotate270": np.rot90(x),
        "transpose": x.swapaxes(0, 1),
        "transverse": np.rot90(x, 2).swapaxes(0, 1),
    }[transform]
    source = Source("x", x)
    values, cover = predict((chain.Orient(False, transform),), source)
    np.testing.assert_array_equal(values, turned)
    assert cover.min() == 1
    small, _ = predict((chain.Resize((8, 6)), chain.Orient(False, transform)), source)
    rows, columns = lines(small.shape[0], 4), lines(small.shape[1], 4)
    some, _ = predict((chain.Resize((8, 6)), chain.Orient(False, transform)), source, rows, columns)
    np.testing.assert_allclose(some, small[np.ix_(rows, columns)], atol=1e-3)  # float32 products


@pytest.mark.parametrize(
    "kernel,antialias,code",
    [
        ("bilinear", False, "INTER_LINEAR"),
        ("bicubic75", False, "INTER_CUBIC"),
        ("area", True, "INTER_AREA"),
        ("lanczos4", False, "INTER_LANCZOS4"),
        ("nearest", False, "INTER_NEAREST"),
    ],
)
def test_resampling_matrices_are_opencvs(kernel, antialias, code):
    import cv2

    x = np.random.default_rng(2).integers(0, 256, (61, 83)).astype(np.uint8)
    centers = "legacy" if kernel == "nearest" else "half"
    mine = (
        weights(61, 40, kernel, antialias, centers)
        @ x
        @ weights(83, 48, kernel, antialias, centers).T
    )
    assert (
        np.abs(
            np.clip(mine, 0, 255) - cv2.resize(x, (48, 40), interpolation=getattr(cv2, code))
        ).max()
        < 1.01
    )


def test_the_linear_fit_finds_weights_and_scale():
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 255, (500, 3))
    linear = fit(x, x @ [[0.299], [0.587], [0.114]] / 127.5 - 1)
    np.testing.assert_allclose(linear.weights[0], [0.299, 0.587, 0.114], atol=1e-4)
    assert linear.gain[0] == pytest.approx(1 / 127.5, rel=1e-4) and linear.loss < 0.01


@pytest.mark.parametrize(
    "train,infer,kinds",
    [
        (((127.5,), (127.5,)), ((0.0,), (255.0,)), ["value_range"]),
        (((127.5,), (127.5,)), ((0.0,), (1.0,)), ["missing_normalization"]),
        (((0.0,), (255.0,)), ((0.0,), (255.0**2,)), ["double_normalization"]),
        (((127.5,), (127.5,)), ((127.5,), (128.0,)), []),
        (((127.5,), (127.5,)), ((104.0,), (127.5,)), ["mean"]),
        (((127.5,), (127.5,)), ((127.5,), (64.0,)), ["scale"]),
        ((planted.IMAGENET), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ["value_range"]),
        ((planted.IMAGENET), ((0.0,) * 3, (255.0,) * 3), ["missing_normalization"]),
        ((planted.IMAGENET), (planted.IMAGENET[0][::-1], planted.IMAGENET[1]), ["mean"]),
        (((0.0,), (255.0,)), ((127.5,), (127.5,)), ["value_range"]),
        (
            ((127.5,), (127.5,)),
            ((129.83,), (148.46,)),
            ["yuv_range"],
        ),  # 16 + x · 219/255 before the same
        (((0.0,), (255.0,)), ((16.0,), (219.0,)), ["yuv_range"]),
    ],
)
def test_scalings_are_distinguished(train, infer, kinds):
    def affine(mean, scale):
        return 1 / np.array(scale), -np.array(mean) / np.array(scale)

    assert [k for k, _ in compare_scaling(affine(*train), affine(*infer))] == kinds


def test_specs_that_differ_in_size_alone_are_recognised_by_it():
    train = PreprocessSpec(GRAY, SPECS[GRAY])
    stages = [{**s.to_dict(), "size": [48, 48]} if s.op == "resize" else s for s in train.stages]
    done = compare(capture_spec(train), capture_spec(PreprocessSpec("smaller", stages)))
    assert [f.kind for f in done.findings] == ["size"] and done.verdict == "mismatch"
    assert done.explained is None  # tensors of two sizes have no distance


def test_swapped_chroma_is_not_fixed_by_swapping_red_and_blue():
    fix = Finding("channel_order", "color", "chroma in order U, V", "U and V swapped", {}).fix
    assert "NV21" in fix and "::-1" not in fix


def test_a_nearest_resize_against_another_kernel_is_not_rounding():
    """With a spec on both sides the inference side's own spec explains it, and nearest was forgiven any difference."""
    spec = PreprocessSpec("x", SPECS[next(iter(BASES))])
    place = [s.op for s in spec.stages].index("resize")
    other = spec.replace(place, kernel="nearest", antialias=False, edge=None)
    found = compare(capture_spec(spec), capture_spec(other))
    assert found.verdict == "mismatch"
    assert {f.kind for f in found.findings} == {"resize_kernel", "antialias"}
