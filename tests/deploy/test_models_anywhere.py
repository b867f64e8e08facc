"""Wherever a model is taken, a name, a file, a bundle and a folder are taken, and one line says what it was."""

import json
import shutil

import pytest

from facelab import detection, emotion
from facelab.cli import run
from facelab.core.errors import BadInputError
from facelab.deploy import make_bundle as make
from facelab.deploy._source import resolve as source_of
from facelab.emotion import internals as emotion_internals
from facelab.quantization import _subject as subject
from facelab.zoo.given import recognised, resolve, same_content
from tests.deploy.conftest_deploy import CLASSES, spec, write_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of a small classifier whose training's split is beside it."""
    folder = tmp_path_factory.mktemp("small")
    write_model(folder / "small.onnx")
    spec().save(folder / "small.preprocess.json")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    (folder / "split.json").write_text(json.dumps({"schema": "facelab.split/1", "parts": {}}))
    make(folder / "small.onnx", folder / "bundle", licence="MIT")
    return folder / "bundle"


def test_a_bundle_is_evaluated_quantised_and_bundled_again(bundle, tmp_path):
    classifier = emotion.load(bundle)
    assert classifier.labels == CLASSES and classifier.path == bundle / "model.onnx"
    it = subject.load(bundle)
    assert it.task == "classifier" and it.spec.hash == spec().hash and it.classes == CLASSES
    source = source_of(bundle)
    assert (source.name, source.licence, source.task) == ("small", "MIT", "emotion")
    assert "a bundle of small (task emotion" in recognised(bundle)


def test_the_split_is_part_of_the_bundle(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert [f["path"] for f in manifest["files"] if f["role"] == "split"] == ["split.json"]
    assert "`split.json`" in (bundle / "README.md").read_text()
    assert emotion_internals.trained_on(emotion.load(bundle).path.parent) is not None
    assert run(["bundle", "verify", str(bundle)]) == 0


@pytest.mark.parametrize("name", ["model.onnx", "preprocess.json"])
def test_a_changed_bundle_is_not_run(bundle, tmp_path, name):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    with (copy / name).open("ab") as f:
        f.write(b" ")
    with pytest.raises(BadInputError, match="changed or is damaged"):
        emotion.load(copy)


def test_a_manifest_cannot_point_outside(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    shutil.copy(copy / "model.onnx", tmp_path / "model.onnx")
    entry = next(f for f in manifest["files"] if f["path"] == "model.onnx")
    manifest["files"].append({**entry, "path": "../model.onnx"})
    manifest["model"] = "../model.onnx"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInputError, match="changed or is damaged"):
        resolve(copy)


def test_folders_and_files_are_said(tmp_path):
    write_model(tmp_path / "one.onnx")
    assert recognised(tmp_path / "one.onnx") == "one.onnx: a file"
    assert resolve(tmp_path).path == tmp_path / "one.onnx"
    assert "a folder with one model, one.onnx" in recognised(tmp_path)
    write_model(tmp_path / "two.onnx", seed=1)
    assert resolve(tmp_path).path == tmp_path  # several: the reader says so
    (tmp_path / "emotion_fp32.tflite").write_bytes(b"x")
    assert "the folder of a training" in recognised(tmp_path)
    assert recognised("yunet-n") == "yunet-n: detector of the family yunet of the catalogue"


def test_a_public_file_under_another_name_is_known_by_its_content(assets, tmp_path):
    source = assets / "models" / "detectors" / "yunet_n_320_320.onnx"
    shutil.copy(source, tmp_path / "x.onnx")
    assert same_content(tmp_path / "x.onnx").name == "yunet-n-320"
    assert "with the content of the catalogue's yunet-n-320" in recognised(tmp_path / "x.onnx")
    known = source_of(tmp_path / "x.onnx")  # no spec beside it: the catalogue knows how it is fed
    assert known.spec.hash == same_content(source).spec.hash and known.task == "detection"
    assert known.licence == same_content(source).licence and known.path == tmp_path / "x.onnx"


def test_eval_detector_takes_a_bundle(assets, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    make("yunet-n-320", tmp_path / "bundle")
    detector = detection.load(tmp_path / "bundle")
    assert (
        detector.family == "yunet" and detector.spec.hash == detection.load("yunet-n-320").spec.hash
    )
    image = str(assets / "labelled" / "detection" / "ageitgey_two_people.jpg")
    assert run(["eval", "detector", "--model", str(tmp_path / "bundle"), "--images", image]) == 0
    assert "model: bundle: a bundle of yunet-n-320" in capsys.readouterr().err


def test_a_folder_here_with_a_catalogue_name_is_not_taken_for_that_model(tmp_path, monkeypatch):
    """In a stranger's folder, `facelab quantize mtcnn-onet` took the network that the stranger had put there."""
    monkeypatch.chdir(tmp_path)
    assert resolve("mtcnn-onet") is None
    planted = tmp_path / "mtcnn-onet"
    planted.mkdir()
    (planted / "model.onnx").write_bytes(b"a stranger's network")
    with pytest.raises(BadInputError, match=r"write \./mtcnn-onet for what is here"):
        resolve("mtcnn-onet")
    meant = resolve("./mtcnn-onet")
    assert meant is not None and meant.path.name == "model.onnx"
