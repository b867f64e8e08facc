"""The split travels with a model: what it was trained on is left out, or counted and refused by the gate."""

import json

import numpy as np
import pytest
from PIL import Image

from facelab.core.errors import BadInputError
from facelab.deploy._checks import trained_on as refused
from facelab.deploy.internals import evidence
from facelab.emotion._split_file import write_split
from facelab.emotion.internals import FaceSet, trained_on, unseen
from facelab.preprocess import PreprocessSpec
from facelab.quantization._run import _unseen
from facelab.quantization._subject import Subject
from facelab.quantization.calibration import Samples

DECODE = {"op": "decode", "format": "gray8", "order": "gray", "size": (4, 4)}


def faces(folder, names, identities=None, seed=0):
    """Faces whose pictures are files in `folder`; the crops depend on `seed`, as another detector's do."""
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(np.full((4, 4, 3), sum(map(ord, name)) % 251, np.uint8)).save(folder / name)
    images = np.random.default_rng(seed).integers(0, 255, (len(names), 8, 8, 3)).astype(np.uint8)
    labels = np.arange(len(names)) % 2
    who = tuple(identities or [""] * len(names))
    paths = tuple(str(folder / n) for n in names)
    return FaceSet(images, labels, ("joy", "neutral"), paths, who)


@pytest.fixture
def trained(tmp_path):
    """A training's folder whose split lists a.png and b.png as trained, c.png as tested, and the person Ann."""
    model = tmp_path / "model"
    model.mkdir()
    data = tmp_path / "data"
    write_split(
        model,
        {
            "train": faces(data, ["a.png", "b.png"], ["Ann", ""], seed=1),
            "test": faces(data, ["c.png"], seed=2),
        },
    )
    return model


def test_the_split_names_files_and_their_hashes(trained):
    part = json.loads((trained / "split.json").read_text())["parts"]["train"]
    assert part["files"] == ["a.png", "b.png"] and len(part["pictures"]) == 2
    assert part["identities"] == ["Ann"] and len(part["images"]) == 2


def test_another_crop_or_copy_of_a_trained_picture_is_recognised(trained, tmp_path):
    """The crop of another detector has a different hash; the picture's file has not, wherever it lies."""
    other = faces(tmp_path / "elsewhere", ["a.png", "c.png", "d.png"], ["", "", "Ann"], seed=9)
    left = unseen(other, trained)
    assert [n.rsplit("/", 1)[1] for n in left.names] == ["c.png"]  # d shows Ann, who was trained on


def subject(trained):
    spec = PreprocessSpec(
        "s",
        [
            {
                "op": "decode",
                "format": "encoded",
                "order": "rgb",
                "alpha": "drop",
                "idct": "accurate",
            }
        ],
    )
    return Subject(
        "mine", trained / "emotion_fp32.tflite", None, spec, "classifier", ("joy", "neutral")
    )


def samples(trained, tmp_path, names):
    found = faces(tmp_path / "again", names, seed=5)
    spec = subject(trained).spec
    tensors = np.zeros((len(names), 2), np.float32)
    return Samples(
        tensors,
        tuple(found.hashes()),
        found.names,
        spec,
        "here",
        found.labels,
        found.classes,
        found.identities,
    )


def test_quantisation_leaves_trained_images_out_and_counts_them(trained, tmp_path):
    said = []
    kept, told = _unseen(
        subject(trained),
        samples(trained, tmp_path, ["a.png", "b.png", "c.png"]),
        False,
        said.append,
    )
    assert len(kept) == 1 and kept.names[0].endswith("c.png")
    assert told == {"split": "split.json", "left_out": 2, "trained_on": 0}
    assert "2 of 3 evaluation images" in said[0]


def test_trained_images_that_are_counted_nevertheless_mark_the_figure(trained, tmp_path):
    both = samples(trained, tmp_path, ["a.png", "c.png"])
    kept, told = _unseen(subject(trained), both, True, lambda _: None)
    assert len(kept) == 2 and told["trained_on"] == 1


def test_only_trained_images_are_refused_and_no_split_is_said_to_be_unknown(trained, tmp_path):
    with pytest.raises(BadInputError, match="every evaluation image") as e:
        _unseen(subject(trained), samples(trained, tmp_path, ["a.png", "b.png"]), False, print)
    assert "--count-trained" in e.value.fix
    (trained / "split.json").unlink()
    assert trained_on(trained) is None
    kept, told = _unseen(subject(trained), samples(trained, tmp_path, ["a.png"]), False, print)
    assert len(kept) == 1 and told["trained_on"] is None


@pytest.mark.parametrize("count, fails", [(216, True), (0, False), (None, False)])
def test_the_gate_refuses_figures_on_trained_images(tmp_path, count, fails):
    row = {
        "variant": "edge-int8",
        "bytes": 5,
        "agreement": {"value": 0.99},
        "cosine": {"mean": 0.999},
    }
    path = tmp_path / "quantization.json"
    path.write_text(json.dumps({"rows": [row], "evaluation": {"trained_on": count}}))
    check = refused("int8", evidence.read(path))
    assert (check is not None and check.status == "fail") == fails
    if fails:
        assert "216 of the evaluated images were trained on" in check.what
    path.write_text(json.dumps({"accuracy": {"value": 0.85}, "n": 255, "trained_on": count}))
    assert (refused("accuracy", evidence.read(path)) is not None) == fails


def test_a_broken_split_is_refused_by_name(trained):
    (trained / "split.json").write_text('{"schema": "something/1"}')
    with pytest.raises(BadInputError, match="list of trained images"):
        trained_on(trained)
