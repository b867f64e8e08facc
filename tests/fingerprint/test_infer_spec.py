"""A black box's specification, proposed from its tensors and checked on every probe."""

import json

import pytest

from facelab import cli
from facelab.core.errors import UnsupportedError
from facelab.fingerprint import capture_target
from facelab.fingerprint.internals import infer_spec
from facelab.preprocess import PreprocessSpec

HEAD = "import cv2\nimport numpy as np\nfrom PIL import Image, ImageOps\n\n\ndef f(path):\n"
PILLOW = (
    HEAD
    + """    im = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    x = np.asarray(im.resize((64, 48), Image.Resampling.BILINEAR), np.float32)
    return np.ascontiguousarray(((x - 127.5) / 128).transpose(2, 0, 1))[None]
"""
)
OPENCV = (
    HEAD
    + """    x = cv2.resize(cv2.imread(path), (80, 80)).astype(np.float32)
    return np.ascontiguousarray(x.transpose(2, 0, 1))[None] / 255
"""
)
UNTURNED = (
    HEAD
    + """    im = Image.open(path).convert("RGB").resize((64, 48), Image.Resampling.BICUBIC)
    x = np.asarray(im, np.float32) / 255
    return ((x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).astype(np.float32)
"""
)
AREA = (
    HEAD
    + """    x = cv2.resize(cv2.imread(path), (64, 48), interpolation=cv2.INTER_AREA)
    return (x.astype(np.float32) / 255).transpose(2, 0, 1)[None]
"""
)
STRANGE = (
    HEAD
    + "    rng = np.random.default_rng(0)\n    return rng.random((1, 3, 32, 32)).astype(np.float32)\n"
)


def black_box(tmp_path, text):
    path = tmp_path / "box.py"
    path.write_text(text)
    return f"{path}:f"


@pytest.mark.parametrize(
    ("text", "size", "kernel", "order"),
    [
        (PILLOW, [64, 48], (True, "bilinear"), "rgb"),
        pytest.param(OPENCV, [80, 80], (False, "bilinear"), "bgr", marks=pytest.mark.slow),
    ],
    ids=["pillow", "opencv"],
)
def test_a_pipelines_specification_is_found_and_proven(tmp_path, text, size, kernel, order):
    found = infer_spec(capture_target(black_box(tmp_path, text)))
    assert found.proven, found
    spec = PreprocessSpec.from_dict(found.spec)
    resize = spec.find("resize")
    assert list(resize.size) == size and (resize.antialias, resize.kernel) == kernel
    assert spec.states[-1].order == order and spec.output_dtype == "float32"
    assert any("decode" in words for words in found.open)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "exif", "wanted"),
    [
        (UNTURNED, "ignore", {"kernel": "bicubic", "passes": "uint8_horizontal_first"}),
        (AREA, "apply", {"kernel": "area"}),
    ],
    ids=["pillow", "area"],
)
def test_what_pillow_and_opencv_do_by_default_is_proven(tmp_path, text, exif, wanted):
    """Pillow leaves a photograph's orientation alone and rounds between its passes; OpenCV's area was refused."""
    found = infer_spec(capture_target(black_box(tmp_path, text)))
    assert found.proven, found
    spec = PreprocessSpec.from_dict(found.spec)
    assert spec.find("orient").exif == exif
    assert {name: getattr(spec.find("resize"), name) for name in wanted} == wanted


@pytest.mark.slow  # every family of pipelines is searched: half a minute
def test_what_is_not_recognised_is_said(tmp_path):
    with pytest.raises(UnsupportedError) as e:
        infer_spec(capture_target(black_box(tmp_path, STRANGE)))
    assert e.value.fix


def test_the_command_writes_the_proposal(tmp_path, capsys):
    out = tmp_path / "found.json"
    target = black_box(tmp_path, PILLOW)
    command = ["preprocess", "infer-spec", "--pipeline", target, "--out", str(out), "--json"]
    assert cli.run(command) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] in ("identical", "equivalent") and document["open"]
    assert PreprocessSpec.load(out).find("normalize").scale == (128.0,)
    assert cli.run(["preprocess", "infer-spec"]) == 2
