"""Anybody's classifier: any spec and labels, with the labels compared and wrong ones reported."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from skimage import data

from facelab import emotion
from facelab.cli import run
from facelab.commands.common import say_model
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.datasets.labels import read_class_names
from facelab.emotion import EmotionClassifier, emotion_spec
from facelab.emotion._labels import emotions
from facelab.emotion._spec import crop_face, face_size
from facelab.emotion.internals import sources, to_tensor
from facelab.preprocess import PreprocessSpec, apply
from facelab.preprocess.ops import RESIZE_PLAIN
from facelab.quantization import _subject as subject
from facelab.quantization.internals import images

LABELS = ("happy", "angry", "calm")
GRAY = [
    {"op": "decode", "format": "encoded", "order": "bgr", "idct": "accurate", "alpha": "drop"},
    {"op": "color", "from": "bgr", "to": "gray", "weights": "bt601", "rounding": "half_up"},
    {**RESIZE_PLAIN, "size": [6, 4]},
    {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
    {"op": "layout", "to": "nhwc"},
    {"op": "cast", "dtype": "float32"},
]
BGR = [GRAY[0], *GRAY[2:]]


def write_model(folder, stages, labels=LABELS, metadata=None):
    """Write an ONNX classifier of brightness: dark is happy, middling angry, bright calm."""
    import onnx
    from onnx import helper
    from onnx import numpy_helper as nh

    channels = 1 if stages is GRAY else 3
    w = np.array([[-3.0, 0, 3.0]], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["m", "one"], ["u"]),
        helper.make_node("MatMul", ["u", "w"], ["z"]),
        helper.make_node("Add", ["z", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 4, 6, channels])],
        [helper.make_tensor_value_info("y", 1, [1, 3])],
        [
            nh.from_array(w, "w"),
            nh.from_array(np.array([1]), "one"),
            nh.from_array(np.array([0, 0.9, 0], np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(folder / "own.onnx"))
    PreprocessSpec("own", stages).save(folder / "own.preprocess.json")
    if labels:
        (folder / "labels.txt").write_text("\n".join(labels), encoding="utf-8")
    return folder / "own.onnx"


@pytest.fixture
def pictures(tmp_path):
    """Return a folder of labelled pictures: dark ones of joy, middling of anger, bright of neutral."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, level in (("joy", 30), ("anger", 128), ("neutral", 225)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(12):
            pixels = np.clip(rng.normal(level, 12, (20, 30, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "faces" / name / f"{i}.png")
    return tmp_path / "faces"


@pytest.mark.parametrize("stages", [GRAY, BGR], ids=["gray", "bgr"])
def test_crop_and_tensor_are_what_the_spec_gives_in_one_go(stages):
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    spec = PreprocessSpec("own", stages)
    crop = crop_face(spec, rgb, (5, 6, 45, 36))
    assert crop.shape == (4, 6, 3) and face_size(spec) == (6, 4)
    whole = apply(spec, np.ascontiguousarray(rgb[6:36, 5:45, ::-1]))
    # OpenCV's fixed-point resize is within a level of the reference's
    np.testing.assert_allclose(to_tensor(spec, crop[None]), whole, atol=1.01 / 127.5)


@pytest.mark.parametrize("stages", [GRAY, BGR], ids=["gray", "bgr"])
def test_the_commands_take_an_own_model(stages, pictures, tmp_path, capsys):
    model = write_model(tmp_path, stages)
    command = ["emotion", "evaluate", str(model), "--data", str(pictures), "--crop", "whole"]
    assert run([*command, "--strict", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["accuracy"]["value"] == 1 and value["suspicion"] is None
    assert value["classes"] == ["joy", "anger", "neutral"]
    assert 0 < value["ece"] < 0.6  # the outputs are logits, which a softmax made probabilities


def test_a_picture_that_cannot_be_read_is_named_counted_and_left_out(pictures, tmp_path, capsys):
    write_model(tmp_path, GRAY)
    shots = tmp_path / "shots"
    shots.mkdir()
    cv2.imwrite(str(shots / "a.png"), data.astronaut()[..., ::-1])
    (shots / "b.jpg").write_bytes(b"\xff\xd8\xff")
    (shots / "c.png").write_bytes(b"")
    command = ["emotion", "predict", str(shots), "--model", str(tmp_path / "own.onnx")]
    command += ["--detector", "haar", "--csv", str(tmp_path / "table.csv")]
    assert run([*command, "--annotate", str(tmp_path / "drawn"), "--json"]) == 1
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert [Path(i["file"]).name for i in value["images"]] == ["a.png"]
    assert {Path(f).name for f in value["errors"]} == {"b.jpg", "c.png"}
    assert "b.jpg: " in err and "c.png: " in err
    assert "a.png" in (tmp_path / "table.csv").read_text()
    assert run(command) == 1
    assert "2 of 3 files could not be read" in capsys.readouterr().out
    (shots / "a.png").unlink()
    assert run(command) == 2  # nothing was read at all
    for gone in ("gone.png", "gone.mp4"):  # said before a model is looked for
        assert run(["emotion", "predict", str(tmp_path / gone), "--model", "no model"]) == 2
        assert "does not exist" in capsys.readouterr().err


def test_a_label_map_is_of_the_model_or_of_the_data(pictures, tmp_path, capsys):
    """`--label-map` meant the model's labels alone, and the data's error recommended it for theirs."""
    model = write_model(tmp_path, GRAY, labels=("froh", "angry", "calm"))
    (pictures / "joy").rename(pictures / "Freude")
    command = ["emotion", "evaluate", str(model), "--data", str(pictures), "--crop", "whole"]
    assert run([*command, "--label-map", "froh=joy"]) == 2
    assert "'Freude' is not in the table" in capsys.readouterr().err
    maps = ["--label-map", "froh=joy", "--label-map", "Freude=joy"]
    assert run([*command, *maps, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["accuracy"]["value"] == 1 and value["n"] == 36
    assert run([*command, *maps, "--label-map", "freud=joy"]) == 2
    assert "neither the model nor the data have the label 'freud'" in capsys.readouterr().err


def test_a_model_that_nobody_named_is_said_with_its_folder(tmp_path, capsys):
    model = write_model(tmp_path, GRAY)
    say_model(model, "3 classes")
    assert f"in {tmp_path}, since none was named; 3 classes" in capsys.readouterr().err
    say_model(str(model))
    assert "none was named" not in capsys.readouterr().err


def test_labels_in_another_order_are_reported(pictures, tmp_path, capsys):
    model = write_model(tmp_path, GRAY, labels=("angry", "calm", "happy"))
    command = ["emotion", "evaluate", str(model), "--data", str(pictures), "--crop", "whole"]
    assert run([*command, "--strict"]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("warning: the labels look") and "joy, anger, neutral" in first
    assert run(command) == 0


def test_a_wrong_input_range_is_reported(pictures, tmp_path, capsys):
    model = write_model(tmp_path, GRAY)
    raw = [s | {"mean": [0.0], "scale": [1.0]} if s["op"] == "normalize" else s for s in GRAY]
    PreprocessSpec("raw", raw).save(tmp_path / "raw.json")
    command = ["emotion", "evaluate", str(model), "--data", str(pictures), "--crop", "whole"]
    assert run([*command, "--strict", "--json", "--spec", str(tmp_path / "raw.json")]) == 1
    assert json.loads(capsys.readouterr().out)["suspicion"]["cause"] == "input_range"


def test_the_files_own_labels_are_compared_with_labels_txt(tmp_path):
    names = {"names": "{0: 'happy', 1: 'angry', 2: 'calm'}"}
    model = write_model(tmp_path, GRAY, metadata=names)
    assert emotion.load(model).suspicion is None
    write_model(tmp_path, GRAY, labels=("angry", "calm", "happy"), metadata=names)
    found = emotion.load(model)
    assert found.labels == LABELS and found.suspicion.cause == "labels_disagree"
    (tmp_path / "labels.txt").unlink()
    assert emotion.load(model).classes == ("joy", "anger", "neutral")


def test_labels_are_mapped_and_wrong_maps_refused(tmp_path, pictures, capsys):
    model = write_model(tmp_path, GRAY, labels=("grin", "grr", "meh"))
    command = ["emotion", "evaluate", str(model), "--data", str(pictures), "--crop", "whole"]
    assert run(command) == 2 and "--label-map" in capsys.readouterr().err
    maps = [f"--label-map={a}" for a in ("grin=joy", "grr=anger", "meh=neutral")]
    assert run([*command, *maps, "--strict"]) == 0
    for wrong in ({"grinn": "joy"}, {"grin": "fun"}):
        with pytest.raises(BadInputError, match=r"the label map names"):
            emotions(("grin", "grr"), wrong, where="m")
    with pytest.raises(BadInputError, match=r"two labels"):
        emotions(("happy", "joy"), {"happy": "joy"}, where="m")
    assert emotions(("happy", "joy"), {}, where="m") == ("happy", "joy"), (
        "two classes of their owner"
    )


def test_a_spec_that_cannot_cut_faces_is_refused(tmp_path):
    model = write_model(tmp_path, GRAY)
    PreprocessSpec("free", [s for s in GRAY if s["op"] != "resize"]).save(
        tmp_path / "own.preprocess.json"
    )
    with pytest.raises(UnsupportedError):
        emotion.load(model)


def test_facelabs_own_crops_stay_as_they_were():
    rgb = np.random.default_rng(1).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    from facelab.emotion._spec import pixel_part

    spec, box = emotion_spec(32), (10.0, 12.0, 60.0, 70.0)
    direct = apply(pixel_part(spec), rgb, face=box, backend="pillow")
    np.testing.assert_array_equal(crop_face(spec, rgb, box), direct)
    assert sources.whole(rgb, spec)[0] > 0


def test_available_and_load_know_the_catalogue(assets, monkeypatch):
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    assert "mini-xception-107" in [e.name for e in emotion.available()]
    with pytest.raises(BadInputError, match="not an emotion classifier"):
        emotion.load("yunet-n")


def with_outputs(path, widths):
    """Put outputs of constant numbers of these widths before the classifier's own."""
    import onnx
    from onnx import helper
    from onnx import numpy_helper as nh

    model = onnx.load(path)
    for k, width in enumerate(widths):
        model.graph.initializer.append(
            nh.from_array(np.full((1, width), 5, np.float32), f"c{width}")
        )
        model.graph.node.append(helper.make_node("Identity", [f"c{width}"], [f"extra{width}"]))
        model.graph.output.insert(
            k, helper.make_tensor_value_info(f"extra{width}", onnx.TensorProto.FLOAT, [1, width])
        )
    onnx.save(model, path)
    return path


def test_the_output_of_the_classes_is_found_among_others(tmp_path):
    path = write_model(tmp_path, GRAY)
    tensors = np.linspace(-1, 1, 5, dtype=np.float32)[:, None, None, None] * np.ones((1, 4, 6, 1))
    before = emotion.load(path).answers(tensors.astype(np.float32))
    with_outputs(path, [7])
    assert np.array_equal(emotion.load(path).answers(tensors.astype(np.float32)), before)
    with_outputs(path, [3])
    with pytest.raises(BadInputError, match="output with the scores of the classes"):
        emotion.load(path)


def test_a_fixed_batch_is_called_one(tmp_path):
    import onnx

    path = write_model(tmp_path, GRAY)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 8
    onnx.save(model, path)
    with pytest.raises(BadInputError, match="several images at once") as e:
        emotion.load(path)
    assert "batch" in e.value.fix


@pytest.mark.parametrize(
    "text, names",
    [
        ("\ufeffvery angry\r\nso happy\r\ncalm\r\n", ("very angry", "so happy", "calm")),
        ("مرحبا\nनमस्ते\n平静", ("مرحبا", "नमस्ते", "平静")),
        ("angry happy calm", ("angry", "happy", "calm")),
        ("angry, so happy, calm\n", ("angry", "so happy", "calm")),
    ],
)
def test_names_of_classes_are_read_line_by_line(tmp_path, text, names):
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8", newline="")
    assert read_class_names(tmp_path / "labels.txt") == names


def test_names_in_another_encoding_are_refused(tmp_path):
    path = write_model(tmp_path, GRAY, labels=None)
    (tmp_path / "labels.txt").write_bytes("ärger\nfreude\nruhe".encode("latin-1"))
    with pytest.raises(BadInputError, match="names of the classes") as e:
        emotion.load(path)
    assert "UTF-8" in e.value.fix


def test_classes_with_blanks_survive_inside_a_tflite(tmp_path):
    from facelab.preprocess.internals import tflite_metadata as metadata

    with zipfile.ZipFile(tmp_path / "m.tflite", "w") as archive:
        archive.writestr("labels.txt", "very angry\nso happy\n")
    assert metadata._labels(tmp_path / "m.tflite") == ["very angry", "so happy"]


def test_whole_numbers_without_a_scale_are_refused():
    """An int8 output with no quantisation parameters has no probabilities in it."""
    classifier = EmotionClassifier.__new__(EmotionClassifier)
    classifier.path = Path("own.tflite")
    classifier._output = 0
    outputs = [SimpleNamespace(name="scores")]
    for stated in ({}, {"scores": (0.0, 0)}):
        classifier.model = SimpleNamespace(quantization=stated, outputs=outputs)
        with pytest.raises(BadInputError, match="whole numbers without a scale"):
            classifier._dequantized(np.zeros((1, 7), np.int8))


def test_prediction_and_evaluation_take_the_same_pixels(tmp_path, capsys):
    """A small picture is a cropped face for both: what `evaluate` called right, `predict` got wrong."""
    model = write_model(tmp_path, BGR, labels=("happy", "angry", "sad"))
    for name, gray in (("happy", 20), ("angry", 128), ("sad", 240)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for side in (60, 95):
            picture = np.full((side, 95, 3), gray, np.uint8)
            cv2.imwrite(str(tmp_path / "faces" / name / f"{side}.png"), picture)
    faces = str(tmp_path / "faces")
    assert run(["emotion", "evaluate", str(model), "--data", faces, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["accuracy"]["value"] == 1
    assert "6 pictures have a side below 96 pixels" in said.err and "of 0" not in said.err
    args = ["emotion", "predict", faces, "--model", str(model)]
    table = str(tmp_path / "faces.csv")
    assert run([*args, "--csv", table, "--json"]) == 0
    said = capsys.readouterr()
    found = {i["file"]: i["faces"] for i in json.loads(said.out)["images"]}
    named = {"happy": "joy", "angry": "anger", "sad": "sadness"}
    for file, (face,) in found.items():
        assert face["emotion"] == named[Path(file).parent.name] and face["score"] is None
        assert face["box"] == [0, 0, 95, float(Path(file).stem)]
    assert "6 of 6 pictures have a side below 96 pixels" in said.err
    assert ",,joy," in Path(table).read_text()
    assert run([*args, "--detector", "haar"]) == 0  # a named detector looks at each
    assert "no face found" in capsys.readouterr().out
    cv2.imwrite(str(tmp_path / "large.png"), np.full((300, 300, 3), 20, np.uint8))
    large = ["emotion", "predict", str(tmp_path / "large.png"), "--model", str(model)]
    assert run([*large, "--detector", "whole"]) == 0
    assert "0,0,300,300" in capsys.readouterr().out
    (tmp_path / "clip.mp4").touch()
    assert run([*large[:2], str(tmp_path / "clip.mp4"), *large[3:], "--detector", "whole"]) == 2
    assert "needs a detector" in capsys.readouterr().err


def test_two_right_answers_are_not_better_than_guessing(tmp_path, capsys):
    model = write_model(tmp_path, BGR, labels=("happy", "angry", "sad"))
    for name, gray in (("froh", 20), ("traurig", 240), ("langweilig", 128)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "faces" / name / "1.png"), np.full((95, 95, 3), gray, np.uint8))
    args = ["emotion", "evaluate", str(model), "--data", str(tmp_path / "faces")]
    maps = [f"--label-map={m}" for m in ("froh=joy", "traurig=sadness", "langweilig=")]
    assert run([*args, *maps]) == 0
    said = capsys.readouterr()
    assert "accuracy 1.0000 [0.3424, 1.0000] on 2 faces" in said.out
    assert "NO BETTER THAN GUESSING" in said.out and "left out: langweilig 1" in said.err


def test_labels_of_the_data_are_mapped_to_a_models_own_classes(tmp_path, capsys):
    """`sad=müde` was taken for an emotion of the model: "the model's labels are not emotions that facelab knows"."""
    model = write_model(tmp_path, BGR, labels=("wach 😀", "döst", "müde"))
    for name, gray in (("happy", 20), ("sad", 240)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(25):
            picture = np.full((95, 95, 3), gray + i % 9, np.uint8)
            picture[0, i] = 0
            cv2.imwrite(str(tmp_path / "faces" / name / f"{i}.png"), picture)
    data = str(tmp_path / "faces")
    assert run(["emotion", "evaluate", str(model), "--data", data]) == 2
    said = capsys.readouterr().err
    assert "no label of the data is a class" in said and "--label-map happy=wach" in said
    maps = ["--label-map", "sad=müde", "--label-map", "happy=wach 😀"]
    assert run(["emotion", "evaluate", str(model), "--data", data, *maps, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["value"] == 1
    it = subject.load(model)
    labels = images.read(it, data, label_map={"sad": "müde", "happy": "wach 😀"}).labels
    assert labels.tolist() == [0] * 25 + [2] * 25
    with pytest.raises(BadInputError, match="label map names 'mude'"):
        images.read(it, data, label_map={"sad": "mude"})
    with pytest.raises(BadInputError, match="'happy' is not in the table"):
        images.read(it, data, label_map={"sad": "müde"})
