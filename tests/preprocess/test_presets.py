"""The factories give what the models' authors fed them (PROTOCOLS, "Preprocessing of the catalogue's models")."""

import pytest

from facelab.core.errors import BadInputError
from facelab.preprocess import presets


def affine(spec):
    """Return ((order), offset, gain): what value v of a channel becomes (v − offset)·gain at the tensor."""
    norm = spec.find("normalize")
    order = spec.states[-1].order
    if norm is None:
        return order, 0.0, 1.0
    unit = 255 if norm.units == "0-1" else 1
    mean = norm.mean if len(norm.mean) > 1 else norm.mean[0] * unit
    return order, mean, 1 / (norm.scale[0] * unit)


@pytest.mark.parametrize(
    ("family", "order", "mean", "scale", "size"),
    [
        ("arcface", "rgb", 127.5, 127.5, (112, 112)),
        ("adaface", "bgr", 127.5, 127.5, (112, 112)),
        ("sface", "rgb", 0, 1, (112, 112)),
        ("facenet", "rgb", 127.5, 128, (160, 160)),
        ("dlib", "rgb", 0, 1, (150, 150)),
        ("yunet", "bgr", 0, 1, None),
        ("ultraface", "rgb", 127, 128, (320, 240)),
        ("scrfd", "rgb", 127.5, 128, (640, 640)),
        ("retinaface", "bgr", (104, 117, 123), 1, None),
        ("yolov5face", "rgb", 0, 255, (640, 640)),
        ("mtcnn", "rgb", 127.5, 128, None),
        ("fer", "gray", 127.5, 127.5, (64, 64)),
    ],
)
def test_each_family_is_fed_as_its_authors_do(family, order, mean, scale, size):
    spec = presets.preset(family)
    got_order, got_mean, gain = affine(spec)
    assert got_order == order and gain == pytest.approx(1 / scale)
    assert got_mean == pytest.approx(mean)
    if size:
        assert spec.states[-1].size == size
    assert getattr(presets, family)() == spec


def test_aligned_embedders_are_aligned():
    for family in ("arcface", "adaface", "sface"):
        assert presets.preset(family).find("align").template == "arcface"
    assert presets.dlib().find("align").template == "dlib5"
    assert presets.facenet().find("align") is None


def test_letterboxes_lie_where_the_detectors_expect_them():
    assert presets.scrfd().find("resize").anchor == "top_left"
    yolo = presets.yolov5face().find("resize")
    assert yolo.mode == "letterbox" and yolo.value == (114,)
    assert presets.ultraface().find("resize").mode == "stretch"
    assert presets.yunet().find("pad").multiple == 32


def test_every_entry_of_the_catalogue_is_a_valid_spec():
    specs = presets.catalogue_specs()
    assert len(specs) > 20 and all(s.states[-1].dtype != "float" for s in specs.values())


def test_unknown_names_get_a_near_one():
    with pytest.raises(BadInputError, match="did you mean 'scrfd'"):
        presets.preset("scrdf")
    with pytest.raises(BadInputError, match="yunet-n"):
        presets.yunet("yunet-nn")


def test_the_catalogue_is_read_again_only_where_it_has_changed(tmp_path, monkeypatch):
    """Each preset parsed all of it: a twentieth of a second, thirty times for one test file."""
    path, read = tmp_path / "catalogue.toml", []
    plain = presets.read_toml
    monkeypatch.setattr(presets, "read_toml", lambda *a: read.append(1) or plain(*a))
    monkeypatch.setattr(presets, "catalogue_path", lambda: path)
    text = presets.package_file("zoo/data/catalogue.toml").read_text()
    path.write_text(text)
    assert presets.preset("arcface").hash == presets.preset("arcface").hash and len(read) == 1
    path.write_text(text + "\n# another line\n")
    presets.preset("yunet")
    assert len(read) == 2
    path.unlink()
    with pytest.raises(BadInputError, match="cannot be read"):
        presets.preset("yunet")
