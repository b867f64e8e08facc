"""What the diagnosis predicts against the libraries themselves, and mistakes that the planted matrix does not have."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from facelab.fingerprint import capture_pipeline, compare
from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._operations import Crop, Orient, Resize, Shift, Warp
from facelab.fingerprint.model._predictor import predict
from facelab.fingerprint.model._resampling import weights
from facelab.fingerprint.probes._cache import Source
from facelab.fingerprint.search._registration import registered
from facelab.fingerprint.search.candidates._placement import Pixels, Shares
from facelab.preprocess.align import invert, template, umeyama

RNG = np.random.default_rng(4)
PICTURE = cv2.GaussianBlur(RNG.integers(0, 256, (150, 203, 3)).astype(np.uint8), (0, 0), 2)


def predicted(*ops):
    return predict((Orient(), *ops), Source("x", PICTURE))[0]


@pytest.mark.parametrize("gap", [1.0, 1.5, 2.0])
def test_reducing_gap_is_pillows(gap):
    want = Image.fromarray(PICTURE).resize((40, 36), Image.BILINEAR, reducing_gap=gap)
    mine = predicted(Resize((40, 36), antialias=True, gap=gap))
    assert np.abs(mine - np.asarray(want, np.float32)).max() < 1.3  # rounded twice


def test_the_spline_is_scikit_images():
    transform = pytest.importorskip("skimage.transform")
    want = transform.resize(
        PICTURE[..., 0].astype(float), (60, 80), order=3, anti_aliasing=False, clip=False
    )
    mine = (
        weights(150, 60, "spline3", False, "half")
        @ PICTURE[..., 0]
        @ weights(203, 80, "spline3", False, "half").T
    )
    assert np.abs(mine - want)[4:-4, 4:-4].max() < 0.3  # the border is extended otherwise


@pytest.mark.parametrize(
    "fill,code",
    [
        ("constant", cv2.BORDER_CONSTANT),
        ("replicate", cv2.BORDER_REPLICATE),
        ("reflect", cv2.BORDER_REFLECT),
        ("reflect101", cv2.BORDER_REFLECT_101),
        ("wrap", cv2.BORDER_WRAP),
    ],
)
def test_shifts_fill_as_opencv_does(fill, code):
    want = cv2.copyMakeBorder(PICTURE, 9, 9, 9, 9, code)[9 - 3 : 159 - 3, 9 - 5 : 212 - 5]
    np.testing.assert_array_equal(predicted(Shift(5, 3, fill)), want)


def test_what_is_cut_off_each_side_may_differ():
    cut = predicted(Crop("sides", box=(3, 5, 7, 11), style="pixels"))
    np.testing.assert_array_equal(cut, PICTURE[5:-11, 3:-7])


@pytest.mark.parametrize(
    "kernel,flag", [("bilinear32", cv2.INTER_LINEAR), ("bicubic75", cv2.INTER_CUBIC)]
)
def test_warps_are_opencvs(kernel, flag):
    back = np.array([[1.2, 0.1, 7.3], [-0.1, 1.2, 9.1]])
    want = cv2.warpAffine(PICTURE, back, (80, 70), flags=flag | cv2.WARP_INVERSE_MAP).astype(
        np.float32
    )
    mine = predicted(Warp(tuple(back.ravel()), (80, 70), kernel))
    inside = np.s_[2:-2, 2:-2]
    assert np.abs(np.clip(mine, 0, 255) - want)[inside].max() < (
        1.01 if kernel == "bilinear32" else 4
    )


def test_recoding_is_what_two_conversions_do():
    y = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2YCrCb)
    swapped = cv2.cvtColor(y[..., [0, 2, 1]], cv2.COLOR_YCrCb2RGB)
    assert np.abs(tone.apply(("swap_chroma", None), PICTURE) - swapped).mean() < 1.0
    for pair in (("bt601", "full"), ("bt709", "limited")):
        assert np.abs(tone.recode(PICTURE, pair, pair) - PICTURE).max() < 1e-2


# -- whole comparisons ----------------------------------------------------------------------------------------------


def read(path):
    return cv2.imread(path)


def lut(gamma):
    return np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)


def emotion(path, *, before=lambda x: x, behind=lambda g: g, resize=None, flags=cv2.IMREAD_COLOR):
    g = cv2.cvtColor(before(cv2.imread(path, flags)), cv2.COLOR_BGR2GRAY)
    g = resize(g) if resize else cv2.resize(g, (64, 64), interpolation=cv2.INTER_AREA)
    return (behind(g).astype(np.float32) / 255)[None, ..., None]


def pil(g):
    return Image.fromarray(g)


def wrapped(factor):
    return lambda g: (g.astype(float) * factor).astype(int).astype(np.uint8)


MISTAKES = {
    "wraps": ({"behind": wrapped(1.25)}, "saturation"),
    "brightened and clipped before the resize": (
        {"before": lambda x: cv2.convertScaleAbs(x, alpha=1.3)},
        "scale saturation",
    ),
    "read at a quarter": ({"flags": cv2.IMREAD_REDUCED_COLOR_4}, "resize_order decoder"),
    "a pixel off each side": ({"before": lambda x: x[1:-1, 1:-1]}, "crop"),
    "left in 16…235": (
        {"behind": lambda g: np.round(16 + g * (219 / 255)).astype(np.uint8)},
        "yuv_range",
    ),
    "ten pixels off each side": ({"before": lambda x: x[10:-10, 10:-10]}, "crop"),
    "the lower right part": ({"before": lambda x: x[x.shape[0] // 8 :, x.shape[1] // 8 :]}, "crop"),
    "CLAHE of other settings": (
        {"behind": lambda g: cv2.createCLAHE(3.0, (4, 4)).apply(g)},
        "histogram",
    ),
    "autocontrast before the resize": (
        {"before": lambda x: np.asarray(ImageOps.autocontrast(Image.fromarray(x)))},
        "histogram",
    ),
    "half a pixel": (
        {"behind": lambda g: cv2.warpAffine(g, np.float32([[1, 0, 0.5], [0, 1, 0.5]]), (64, 64))},
        "shift pixel_centers",
    ),
    "three pixels, mirrored border": (
        {"behind": lambda g: np.pad(g, ((0, 0), (3, 0)), mode="symmetric")[:, :64]},
        "shift",
    ),
    "a gray by lightness": (
        {"before": lambda x: np.repeat(cv2.cvtColor(x, cv2.COLOR_BGR2LAB)[..., :1], 3, axis=2)},
        "gray_weights",
    ),
    "reduced first": (
        {"resize": lambda g: np.asarray(pil(g).resize((64, 64), Image.BILINEAR, reducing_gap=1.0))},
        "resize_order resize_kernel",
    ),
}


def capture(function, **options):
    return capture_pipeline(
        lambda path, _: function(path, **options), name="x", families=("image",)
    )


@pytest.fixture(scope="module")
def base():
    return capture(emotion)


SLOW = (
    "the lower right part",
    "half a pixel",
    "autocontrast before the resize",
    "a gray by lightness",
    "wraps",
)


@pytest.mark.parametrize(
    "name", [pytest.param(m, marks=[pytest.mark.slow] * (m in SLOW)) for m in MISTAKES]
)
def test_a_mistake_that_the_matrix_does_not_have_is_named(name, base):
    options, kinds = MISTAKES[name]
    c = compare(base, capture(emotion, **options))
    assert c.verdict == "mismatch" and c.findings[0].kind in kinds.split(), [
        (f.kind, f.inference) for f in c.findings
    ]


def test_a_single_nan_is_a_mismatch_and_none_on_either_side_is_not(base):
    def spoilt(path):
        x = np.array(emotion(path), np.float32)
        x.ravel()[0] = np.nan
        return x

    broken = capture(spoilt)
    c = compare(base, broken)
    assert [f.kind for f in c.findings] == ["unknown"] and "NaN" in c.findings[0].inference
    assert compare(broken, capture(spoilt)).verdict == "identical"


def test_a_resize_that_is_missing_is_a_size(base):
    c = compare(base, capture(lambda path: read(path)[None] / np.float32(255)))
    assert c.findings[0].kind == "size" and "64×64" in c.findings[0].training


MATRIX = np.array([[0.62, 0.08, 4.0], [-0.08, 0.62, 9.0]])


def aligned(
    path, *, matrix=MATRIX, flags=cv2.INTER_LINEAR, behind=lambda x: x, scale=127.5, mean=127.5
):
    x = behind(cv2.warpAffine(read(path), matrix, (112, 112), flags=flags))
    return ((x[..., ::-1].astype(np.float32) - mean) / scale).transpose(2, 0, 1)[None]


@pytest.fixture(scope="module")
def warped():
    return capture(aligned)


def test_a_warp_to_fixed_points_is_found_to_a_fraction_of_a_pixel(warped):
    names = [n for n, e in warped.output.items() if "error" not in e]
    state = registered(Observed(warped, names), Pixels)
    found = np.reshape(state.chain[-1].back, (2, 3))
    true = cv2.invertAffineTransform(MATRIX)
    corners = np.array([[0, 0, 1], [111, 0, 1], [0, 111, 1], [111, 111, 1]]).T
    assert np.abs(found @ corners - true @ corners).max() < 0.05


@pytest.mark.parametrize(
    "options,kind",
    [
        ({"flags": cv2.INTER_NEAREST}, "resize_kernel"),
        ({"matrix": np.add(MATRIX, [[0, 0, 2], [0, 0, 0]])}, "shift"),
        (
            {"matrix": cv2.getRotationMatrix2D((56, 56), 9, 1) @ np.vstack([MATRIX, (0, 0, 1)])},
            "rotation",
        ),
        pytest.param({"behind": lambda x: x[:, ::-1]}, "flip", marks=pytest.mark.slow),
        pytest.param({"behind": lambda x: lut(1.8)[x]}, "gamma", marks=pytest.mark.slow),
        pytest.param({"mean": 0, "scale": 255}, "value_range", marks=pytest.mark.slow),
    ],
)
def test_mistakes_behind_a_fixed_warp_are_named(options, kind, warped):
    c = compare(warped, capture(aligned, **options))
    assert c.findings and c.findings[0].kind == kind and not c.notes, [
        (f.kind, f.inference) for f in c.findings
    ]


FACE = template("arcface", (112, 112))
EYES = np.array([[90, 80], [140, 78], [116, 112], [95, 140], [138, 138]], float)
SHARES = np.array([[0.36, 0.4], [0.63, 0.39], [0.5, 0.56], [0.38, 0.7], [0.62, 0.71]])


def by_points(path, *, points=SHARES, order=(0, 1, 2, 3, 4), target=FACE, **options):
    """Aligned by the same landmarks in every picture: at the same pixels, or at the same shares of its sides."""
    h, w = read(path).shape[:2]
    source = points[list(order)] * ((w, h) if points is SHARES else 1)
    return aligned(path, matrix=umeyama(source, target), **options)


@pytest.fixture(scope="module")
def by_shares():
    return capture(by_points)


def test_landmarks_at_shares_of_the_picture_are_found_to_a_fraction_of_a_pixel(by_shares):
    names = [n for n, e in by_shares.output.items() if "error" not in e]
    op = registered(Observed(by_shares, names), Shares).chain[-1]
    corners = np.array([[0, 0, 1], [111, 0, 1], [0, 111, 1], [111, 111, 1]]).T
    for size in ((310, 126), (150, 230), (961, 721)):
        found, true = (
            umeyama(np.array(op.at) * size, op.points),
            umeyama(SHARES * size, FACE),
        )
        # in output pixels, where the true map says that the output's corners come from
        places = np.vstack([invert(true) @ corners, np.ones(4)])
        assert np.abs(found @ places - true @ places).max() < 0.1


@pytest.mark.parametrize(
    "options,kind",
    [
        ({"order": (1, 0, 2, 3, 4)}, "alignment_template"),
        ({"target": (FACE - 56) * 1.1 + 56}, "alignment_template"),
        ({"flags": cv2.INTER_CUBIC}, "resize_kernel"),
        pytest.param({"order": (1, 0, 2, 4, 3)}, "alignment_template", marks=pytest.mark.slow),
        pytest.param({"behind": lambda x: np.roll(x, 2, 1)}, "shift", marks=pytest.mark.slow),
        pytest.param({"mean": 0, "scale": 255}, "value_range", marks=pytest.mark.slow),
        pytest.param({"behind": lambda x: lut(1.8)[x]}, "gamma", marks=pytest.mark.slow),
    ],
)
def test_mistakes_behind_landmarks_at_shares_of_the_picture_are_named(options, kind, by_shares):
    c = compare(by_shares, capture(by_points, **options))
    # mirrored points make the picture so small that a twentieth of the samples shows it, too few to prove it
    allowed = [[kind], ["unknown"]] if options.get("order") == (1, 0, 2, 4, 3) else [[kind]]
    assert [f.kind for f in c.findings] in allowed, [(f.kind, f.inference) for f in c.findings]


@pytest.mark.parametrize(
    "order,words",
    [((1, 0, 2, 3, 4), "left and right eye swapped"), ((1, 0, 2, 4, 3), "left and right swapped")],
)
def test_swapped_landmarks_behind_a_fixed_warp_are_named(order, words):
    c = compare(capture(by_points, points=EYES), capture(by_points, points=EYES, order=order))
    assert [(f.kind, f.inference) for f in c.findings] == [("alignment_template", words)]


@pytest.mark.parametrize("points", [EYES, SHARES], ids=["fixed", "shares"])
def test_rounding_behind_landmarks_that_are_the_same_everywhere_is_not_a_mismatch(points):
    train = capture(by_points, points=points)
    for options in ({"scale": 128.0}, {"behind": lambda x: x & np.uint8(254)}):
        assert compare(train, capture(by_points, points=points, **options)).verdict == "equivalent"


def by_face(path, probe, *, landmarks=lambda p: p, target=FACE, some=(0, 1, 2, 3, 4)):
    points = landmarks(np.array(probe.face["landmarks"]))[list(some)]
    return aligned(path, matrix=umeyama(points, target[list(some)]))


def capture_by_face(**options):
    return capture_pipeline(
        lambda path, probe: by_face(path, probe, **options), name="x", families=("image",)
    )


@pytest.fixture(scope="module")
def faces():
    return capture_by_face()


@pytest.mark.parametrize(
    "options,words",
    [
        ({"target": (FACE - [56, 72]) * 0.9 + [56, 72]}, "another template"),
        ({"some": (0, 1, 3, 4)}, "eyes and mouth only"),
        pytest.param({"landmarks": lambda p: p + 0.5}, "half a pixel", marks=pytest.mark.slow),
        pytest.param({"landmarks": np.floor}, "truncated", marks=pytest.mark.slow),
        pytest.param(
            {"landmarks": lambda p: p[:, ::-1]}, "x and y swapped", marks=pytest.mark.slow
        ),
        pytest.param({"some": (0, 1)}, "eyes only", marks=pytest.mark.slow),
    ],
)
def test_other_landmarks_and_templates_are_named(options, words, faces):
    c = compare(faces, capture_by_face(**options))
    assert [f.kind for f in c.findings] == ["alignment_template"] and words in c.findings[
        0
    ].inference


def swirled(path, *, behind=lambda x: x, scale=255.0, first=cv2.INTER_LINEAR):
    """A geometry that no hypothesis has."""
    x = cv2.resize(read(path), (80, 80), interpolation=first)
    v, u = np.indices((80, 80), np.float32)
    u2, v2 = u + 6 * np.sin(v / 9), v + 6 * np.cos(u / 7)
    x = cv2.remap(x, u2, v2, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return (behind(x)[..., ::-1].astype(np.float32) / scale)[None]


@pytest.fixture(scope="module")
def unheard_of():
    return capture(swirled)


@pytest.mark.parametrize(
    "options,kind",
    [
        ({"behind": lambda x: x[..., ::-1]}, "channel_order"),
        ({"behind": lambda x: x[:, ::-1]}, "flip"),
        ({"behind": lambda x: lut(2.2)[x]}, "gamma"),
        pytest.param({"behind": lambda x: np.rot90(x)}, "rotation", marks=pytest.mark.slow),
        pytest.param({"scale": 1.0}, "missing_normalization", marks=pytest.mark.slow),
        ({"behind": lambda x: np.roll(x, 1, axis=1)}, "shift"),
        ({"first": cv2.INTER_NEAREST}, "unknown"),
    ],
)
def test_sides_of_an_unheard_of_geometry_are_related_to_each_other(options, kind, unheard_of):
    c = compare(unheard_of, capture(swirled, **options))
    assert [f.kind for f in c.findings] == [kind], [(f.kind, f.inference) for f in c.findings]
    assert (kind == "unknown") or "not recognised" in c.notes[0]
