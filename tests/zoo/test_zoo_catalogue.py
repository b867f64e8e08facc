"""The committed catalogue and registry are complete and honest; a broken one is refused by name."""

import csv
import re

import pytest

from facelab.core.errors import BadInputError
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo._catalogue import load_catalogue
from facelab.zoo._registry import load_registry

CATALOGUE, REGISTRY = load_catalogue(), load_registry()
EVERYTHING = [*CATALOGUE, *REGISTRY]
INDEX_HOST = re.compile(
    r"pypi\.org|pythonhosted|anaconda|conda\.|npmjs|crates\.io|/simple/|artifactory|nexus", re.I
)
ids = {"ids": lambda e: e.name}


@pytest.mark.parametrize(
    "family",
    [
        "yunet",
        "ultraface",
        "retinaface",
        "scrfd",
        "yolov5face",
        "mtcnn",
        "blazeface",
        "haar",
        "dlib-hog",
        "dlib-cnn",
    ],
)
def test_every_detector_family_of_the_design_is_there(family):
    assert CATALOGUE.of_kind("detector", family=family)


@pytest.mark.parametrize(
    "name",
    [
        "retinaface-r50",
        "scrfd-500m",
        "scrfd-2.5g",
        "scrfd-10g",
        "yolov5n-0.5-face",
        "yolov5n-face",
        "yolov5s-face",
        "arcface-r50",
        "mobilefacenet-w600k",
        "mobilefacenet",
        "adaface-r18",
        "facenet",
        "sface",
        "sface-int8",
        "dlib-resnet",
        "dlib-landmarks-5",
        "dlib-landmarks-68",
        "mini-xception-107",
        "big-xception",
        "minifasnet-v2",
        "efficientnet-lite0",
        "mobilenet-v2",
    ],
)
def test_the_models_that_the_protocols_name_are_there(name):
    assert CATALOGUE.model(name).name == name


@pytest.mark.parametrize("asset", EVERYTHING, **ids)
def test_every_entry_says_what_it_is_and_what_it_must_be(asset):
    assert asset.licence and asset.source and asset.what
    if asset.file:
        assert re.fullmatch(r"[0-9a-f]{64}", asset.sha256) or len(asset.hash_note) > 20
        assert asset.url.startswith("https://") or asset.package or asset.hash_note
    for text in (asset.url, asset.source):
        assert not INDEX_HOST.search(text)


def test_names_and_files_are_unique():
    names = [a.name for a in EVERYTHING]
    files = [(type(a), a.file) for a in EVERYTHING if a.file]
    assert len(set(names)) == len(names) and len(set(files)) == len(files)


@pytest.mark.parametrize("entry", [e for e in CATALOGUE if e.kind != "aux"], **ids)
def test_every_task_model_has_a_full_spec(entry):
    spec = entry.spec
    assert isinstance(spec, PreprocessSpec) and spec.stages[0].op == "decode"
    if entry.runtime in ("onnx", "litert", "keras"):
        assert spec.output_dtype == "float32" and len(spec.output_shape()) == 4


def test_specs_are_compared_by_content_and_cached():
    entry = CATALOGUE.model("sface")
    assert entry.spec is entry.spec
    assert (
        entry.spec.hash
        == CATALOGUE.model("sface-int8").spec.hash
        != CATALOGUE.model("adaface-r18").spec.hash
    )


def test_research_only_entries_are_marked_and_no_default():
    assert not [e.name for e in CATALOGUE if e.default and e.research_only]
    for name in ("scrfd-2.5g", "arcface-r50", "dlib-landmarks-68", "minifas-128"):
        assert CATALOGUE.model(name).research_only and CATALOGUE.model(name).terms
    for kind in ("detector", "embedder", "emotion", "liveness"):
        assert CATALOGUE.default(kind).kind == kind
        assert sum(e.default for e in CATALOGUE.of_kind(kind)) == 1


def test_hashes_and_sizes_are_those_of_the_mirror(assets):
    with (assets / "MANIFEST.csv").open(newline="", encoding="utf-8") as f:
        rows = {row["sha256"]: row for row in csv.DictReader(f)}
    known = [a for a in EVERYTHING if a.sha256 in rows]
    assert len(known) >= 60
    assert [a.name for a in known if a.bytes != int(rows[a.sha256]["bytes"])] == []


def test_a_near_name_is_suggested():
    with pytest.raises(BadInputError, match="did you mean 'sface'"):
        CATALOGUE.model("sfase")
    with pytest.raises(BadInputError, match="did you mean 'lfw-pairs'"):
        REGISTRY.data("lfw-pair")


GOOD = """[[model]]
name = "a"
kind = "aux"
family = "f"
runtime = "onnx"
what = "w"
file = "a.onnx"
sha256 = "%s"
licence = "MIT"
source = "s"
""" % ("0" * 64)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("licence", "license", "license"),
        ('sha256 = "' + "0" * 64, 'sha256 = "' + "0" * 63, "sha256"),
        ('sha256 = "' + "0" * 64, 'sha256 = "', "hash_note"),
        ('file = "a.onnx"', 'file = "../a.onnx"', "plain relative path"),
        ('file = "a.onnx"', 'file = "a.onnx"\nurl = "http://x/a.onnx"', "https"),
        ('kind = "aux"', 'kind = "detektor"', "kind"),
        ('what = "w"', 'what = "w"\nresearch_only = true\ndefault = true', "cannot be a default"),
        ('what = "w"', 'what = "w"\nparts = ["b"]', "exactly one"),
        ('what = "w"', 'what = "w"\npreprocess = [{op = "decode"}]', "missing"),
        ("[[model]]", "[[model", "not TOML"),
        ("[[model]]", "[[models]]", "no entries"),
    ],
)
def test_a_broken_catalogue_is_refused(tmp_path, old, new, message):
    path = tmp_path / "c.toml"
    path.write_text(GOOD)
    assert len(load_catalogue(path)) == 1
    other = tmp_path / "d.toml"
    other.write_text(GOOD.replace(old, new))
    with pytest.raises(BadInputError) as e:
        load_catalogue(other)
    assert message in str(e.value) and str(other) in str(e.value)


def test_two_entries_of_one_name_and_unknown_parts_are_refused(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(GOOD + GOOD)
    with pytest.raises(BadInputError, match="two entries"):
        load_catalogue(path)
    path = tmp_path / "e.toml"
    path.write_text(
        GOOD.replace('file = "a.onnx"\n', 'parts = ["b"]\n').replace(
            'sha256 = "' + "0" * 64 + '"\n', ""
        )
    )
    with pytest.raises(BadInputError, match="unknown part"):
        load_catalogue(path)
    with pytest.raises(BadInputError, match="cannot be read"):
        load_catalogue(tmp_path / "absent.toml")
