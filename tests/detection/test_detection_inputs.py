"""Odd images: an answer or a clear error from every detector that needs no download; geometry there and back."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facelab.core.errors import BadInputError
from facelab.detection._evaluation import _outside
from facelab.detection._inputs import Preparation, detector_spec, geometry
from facelab.detection._labels import Labels
from facelab.preprocess import read_image

EVERYWHERE = ["haar", "dlib-hog", "mtcnn"]
MIRRORED = [
    "yunet-n",
    "yunet-n-320",
    "ultraface-rfb-320",
    "scrfd-2.5g",
    "yolov5n-0.5-face",
    "retinaface-mnet025-320",
    "blazeface-front",
    "blazeface-back-onnx-nms",
]


@pytest.fixture(params=EVERYWHERE + MIRRORED)
def detector(request, load):
    return load(request.param)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 1, 3), (7, 300, 3), (300, 5, 4), (40, 40, 1), (97, 64, 3)]
)
def test_any_shape_gives_arrays_of_the_promised_shapes(detector, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = detector.detect(image)
    n = len(found)
    assert (
        found.boxes.shape == (n, 4)
        and found.boxes.dtype == np.float32
        and found.scores.shape == (n,)
    )
    assert found.landmarks is None or found.landmarks.shape == (n, 5, 2)
    assert found.timings.total > 0


BYTES = [np.zeros(shape, np.uint8) for shape in ((0, 0, 3), (0, 9), (4, 4, 2), (1, 4, 4, 3))]


@pytest.mark.parametrize(
    "image",
    [
        *BYTES,
        np.zeros((4, 4, 3)),
        np.full((4, 4, 3), np.nan),
        np.zeros((4, 4, 3), np.int64),
        None,
        [[1]],
    ],
    ids=str,
)
def test_what_is_not_an_image_is_refused(image, load):
    with pytest.raises(BadInputError):
        load("haar").detect(image)


def test_sixteen_bits_gray_and_alpha_are_the_same_picture(load, six):
    # a detector's answer to one picture does not depend on how its pixels are stored
    gray = np.asarray(Image.fromarray(six).convert("L"))
    for variant in (
        gray[..., None],
        gray.astype(np.uint16) * 257,
        np.dstack([gray] * 3),
        np.dstack([gray, gray, gray, np.zeros_like(gray)]),
    ):
        assert len(load("dlib-hog").detect(variant)) == 6


@pytest.mark.parametrize("name", ["yunet-n", "ultraface-rfb-320"])
def test_a_hundred_megapixels(name, load, six):
    image = np.zeros((10_000, 10_000, 3), np.uint8)
    image[2000 : 2000 + six.shape[0] * 4, 3000 : 3000 + six.shape[1] * 4] = np.repeat(
        np.repeat(six, 4, 0), 4, 1
    )
    found = load(name).detect(image)
    assert found.boxes.shape == (len(found), 4)
    if name == "yunet-n":
        assert len(found) == 6
        assert (found.boxes[:, :2] > [2900, 1900]).all() and (
            found.boxes[:, 2:] < [8300, 5700]
        ).all()


def encoded(mode, fmt, **options):
    buffer = io.BytesIO()
    Image.new(mode, (64, 48)).save(buffer, fmt, **options)
    return buffer.getvalue()


def test_files_of_every_kind(tmp_path, load):
    """CMYK, 16-bit, palette and alpha files are read; a truncated JPEG and a text file are refused by name."""
    sixteen = io.BytesIO()
    Image.fromarray(np.full((48, 64), 40_000, np.uint16)).save(sixteen, "PNG")
    good = {
        "cmyk.jpg": encoded("CMYK", "JPEG"),
        "gray.png": encoded("L", "PNG"),
        "rgba.png": encoded("RGBA", "PNG"),
        "palette.gif": encoded("P", "GIF"),
        "sixteen.png": sixteen.getvalue(),
    }
    for name, data in good.items():
        (tmp_path / name).write_bytes(data)
        image = read_image(tmp_path / name)
        assert image.shape == (48, 64, 3) and image.dtype == np.uint8
        assert len(load("haar").detect(image)) == 0
    whole = encoded("RGB", "JPEG")
    for name, data in {
        "cut.jpg": whole[: len(whole) // 2],
        "text.png": b"no image",
        "empty.jpg": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInputError) as caught:
            read_image(tmp_path / name)
        assert name in caught.value.where


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.sampled_from(["stretch", "letterbox", "letterbox_center", "pad"]),
)
def test_boxes_come_back_to_the_image(size, fit):
    """The whole image, mapped into the tensor and back, is the whole image; the tensor contains it."""
    spec = detector_spec("t", size=None if fit == "pad" else (320, 256), fit=fit)
    where = geometry(spec, size)
    back = where.boxes_to_image(np.array([[0.0, 0.0, *where.size]]))[0]
    assert (
        back[0] <= 1e-6
        and back[1] <= 1e-6
        and back[2] >= size[0] - 1e-6
        and back[3] >= size[1] - 1e-6
    )
    if fit == "stretch":
        assert np.allclose(back, [0, 0, *size])
    if fit == "pad":
        assert np.allclose(back, [0, 0, *where.size])


def test_long_sides_are_bounded_and_accounted_for():
    small = Preparation(detector_spec("t", size=None, fit="pad"), max_side=100)
    tensor, where = small(np.zeros((1000, 500, 3), np.uint8))
    assert tensor.shape == (1, 3, 128, 64)
    assert np.allclose(where.boxes_to_image(np.array([[0.0, 0, 50, 100]])), [[0, 0, 500, 1000]])


def test_a_spec_that_needs_a_face_is_refused():
    from facelab.embedding._specs import aligned_spec

    with pytest.raises(BadInputError, match="still to be found"):
        geometry(aligned_spec("x"), (10, 10))


def test_what_data_synth_writes_is_a_list_of_labels(tmp_path):
    from facelab.detection import read_labels

    rows = "images/0.png,a,1,2,11,22\nimages/0.png,b,30,2,41,22\n"
    (tmp_path / "labels.csv").write_text("file,identity,x1,y1,x2,y2\n" + rows)
    labels = read_labels(tmp_path / "labels.csv")
    assert labels.counts == {"images/0.png": 2} and labels.boxes["images/0.png"].tolist()[0] == [
        1,
        2,
        11,
        22,
    ]


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "letterbox_center"])
def test_a_network_of_any_size_needs_a_size_to_resize_to(fit):
    with pytest.raises(BadInputError, match="needs a size to resize to"):
        detector_spec("any", size=None, fit=fit)


def test_images_with_a_count_and_no_boxes_lie_nowhere():
    labels = Labels({"a": 2, "b": 1}, {"a": np.array([[90.0, 90.0, 120.0, 120.0]])})
    found = _outside(labels, {"a": (100, 100), "b": (100, 100)})
    assert found == ["1 labelled boxes lie mostly outside their picture"]
