"""Parts that other packages bring: found by entry points, refused where they break or claim facelab's own names."""

import importlib.metadata

import numpy as np
import pytest

from facelab import detection
from facelab.camera import open_source
from facelab.core import plugins
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.detection import internals as detection_internals
from facelab.detection.internals import families
from facelab.index.metadata._open import open_metadata
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.emit import available, emit
from facelab.zoo.families import Families

FAMILY = '''
import numpy as np
from facelab.detection import NeuralDetector
from facelab.detection.internals import Found
from facelab.detection._families.yunet import YuNet


class Mine(YuNet):
    """YuNet by another name, whose boxes are one pixel to the right."""

    family = "mine"

    def decode(self, outputs, size):
        found = super().decode(outputs, size)
        return found._replace(boxes=found.boxes + np.array([1, 0, 1, 0]))


broken = 3
'''


@pytest.fixture
def declared(monkeypatch):
    """Declare entry points as an installed package does."""

    def declare(group, **names):
        points = [importlib.metadata.EntryPoint(n, v, group) for n, v in names.items()]
        real = importlib.metadata.entry_points

        def found(**wanted):
            return points if wanted.get("group") == group else real(**wanted)

        monkeypatch.setattr(plugins.importlib.metadata, "entry_points", found)
        plugins.installed.cache_clear()

    yield declare
    plugins.installed.cache_clear()


def test_a_family_in_a_file_detects(assets, tmp_path):
    (tmp_path / "mine.py").write_text(FAMILY)
    path = assets / "models" / "detectors" / "yunet_n_320_320.onnx"
    image = np.random.default_rng(0).integers(0, 255, (60, 60, 3)).astype(np.uint8)
    mine = detection.load(path, family=f"{tmp_path / 'mine.py'}:Mine", score_threshold=0.0)
    own = detection.load(path, family="yunet", score_threshold=0.0)
    assert mine.family == "mine"
    a, b = mine.detect(image).boxes, own.detect(image).boxes
    back = 60 / 320
    assert len(a) and np.allclose(a, b + np.array([back, 0, back, 0]), atol=1e-3)


@pytest.mark.parametrize(
    "name, says",
    [
        ("mine.py:Other", "has no 'Other'"),
        ("mine.py:broken", "not a class"),
        ("gone.py:Mine", "not there"),
        ("bad.py:Mine", "cannot be imported"),
    ],
)
def test_a_file_without_the_family_is_refused(tmp_path, name, says):
    (tmp_path / "mine.py").write_text(FAMILY)
    (tmp_path / "bad.py").write_text("import nothing_of_this_name\n")
    with pytest.raises((BadInputError, plugins.PluginError), match=says):
        detection_internals.FAMILIES.named(f"{tmp_path}/{name}")


def test_an_installed_family_is_listed_and_loaded(declared):
    declared("facelab.detectors", **{"my-yunet": "facelab.detection._families.yunet:YuNet"})
    families: Families = detection_internals.FAMILIES
    assert "my-yunet" in families.names() and families.named("my-yunet").family == "yunet"
    declared("facelab.detectors", broken="nothing_of_this_name:X")
    with pytest.raises(plugins.PluginError, match="'broken' cannot be loaded"):
        families.named("broken")


def test_a_name_of_facelabs_own_is_refused(declared):
    declared("facelab.detectors", yunet="somewhere:X")
    with pytest.raises(plugins.PluginError, match="facelab's own 'yunet'"):
        families()


def test_emitters_cameras_and_stores(declared, tmp_path, monkeypatch):
    spec = PreprocessSpec(
        "s",
        [
            {"op": "decode", "format": "gray8", "order": "gray", "size": [2, 1]},
            {"op": "cast", "dtype": "float32"},
        ],
    )
    declared("facelab.emitters", cplus="facelab.preprocess.emit.c")
    assert "cplus" in available() and "tiny.c" in emit(spec, "cplus", name="tiny").files
    (tmp_path / "my_emitter.py").write_text("def emit(spec, name):\n    return {'a.txt': 'text'}\n")
    monkeypatch.syspath_prepend(tmp_path)
    declared("facelab.emitters", mine="my_emitter")
    with pytest.raises(UnsupportedError, match="returned no code"):
        emit(spec, "mine", name="tiny")
    declared("facelab.sources", drawn="facelab.camera._open:_rendered")
    with open_source("drawn:size=64") as source:
        assert source.contract.rate == 30
    declared("facelab.stores", lite="facelab.index.metadata._sqlite:SqliteMetadata")
    assert open_metadata("lite:/tmp/facelab-plugin-test.sqlite").name == "sqlite"
    with pytest.raises(BadInputError, match="no metadata store"):
        open_metadata("nothing:/x")
