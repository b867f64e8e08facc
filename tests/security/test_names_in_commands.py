"""Issue 22.10, 22.15: names from files, as the commands show them: no control characters, no extra lines."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

from conftest_deploy import spec, write_model
from nasty import FORBIDDEN

from facelab import cli

NAME = "\x1b[2J\x9b2J\x07a\u202e\nPASS: all good\r\x08b"
IN_A_FILE_NAME = NAME + ".png"


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """Run a command in a separate folder and return what it showed, after looking at it."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = cli.run([str(w) for w in words])
        out, err = capsys.readouterr()
        text = out + err
        assert code in (0, 1, 2), text
        found = {c for c in FORBIDDEN if c in text}
        assert not found, f"{found} are left in {text!r}"
        forged = [line for line in text.splitlines() if re.match(r"\s{0,1}PASS", line)]
        assert not forged, f"a name made a line: {text!r}"
        assert "Traceback" not in text
        assert "PASS" in text, f"the name was not shown: {text!r}"
        return text

    return run


def picture(path, size=40):
    from PIL import Image

    Image.new("RGB", (size, size), (90, 120, 150)).save(path, "PNG")
    return path


def test_ids_of_a_collection(shown, tmp_path):
    assert cli.run(["index", "create", "a", "--dimension", "4"]) == 0
    np.save(tmp_path / "q.npy", np.eye(1, 4, dtype=np.float32))
    Path("ids.txt").write_bytes(NAME.replace("\n", " ").encode() + b"\n")
    shown("index", "add", "a", "q.npy", "--ids", "ids.txt")
    shown("index", "delete", "a", NAME)
    shown("index", "add", "a", "q.npy", "--ids", "no" + NAME)
    shown("index", "create", "b", "--dimension", 4, "--name", NAME)


def test_spans_of_a_trace(shown, tmp_path):
    from facelab.tracing import Tracer

    with Tracer(watch_s=None) as tracer:
        for _ in range(30):
            with tracer.span("frame"), tracer.span(NAME):
                sum(range(500))
    tracer.trace().save(tmp_path / "t.npz")
    shown("trace", "show", "t.npz")
    for kind in ("chrome", "speedscope", "folded", "flamegraph"):
        assert cli.run(["trace", "export", "t.npz", "--format", kind, "--out", f"{kind}.out"]) == 0
    assert "<script" not in (tmp_path / "flamegraph.out").read_text().replace("<script>", "", 1)


def test_spans_of_a_trace_in_folded_stacks(tmp_path):
    from facelab.tracing import Tracer, export

    with Tracer(watch_s=None) as tracer, tracer.span(NAME), tracer.span("inside"):
        pass
    lines = export(tracer.trace(), tmp_path / "f", "folded").read_text().splitlines()
    assert len(lines) == 2 and all(line.rpartition(" ")[2].isdigit() for line in lines)
    assert not set(FORBIDDEN) & set("".join(lines))


def test_a_spec(shown, tmp_path):
    document = spec().to_dict() | {"name": NAME}
    Path("s.json").write_text(json.dumps(document))
    picture("p.png")
    shown("preprocess", "show", "s.json")
    shown("preprocess", "run", "s.json", "p.png")
    Path("s.json").write_text(json.dumps(document | {"stages": [{"op": NAME}]}))
    shown("preprocess", "show", "s.json")


def test_fingerprints(shown, tmp_path):
    from xml.etree import ElementTree as ET

    for name, changes in (("t", {}), ("i", {"normalize": {"mean": [0]}})):
        Path(f"{name}.preprocess.json").write_text(
            json.dumps(spec(**changes).to_dict() | {"name": NAME})
        )
        words = ("--spec", f"{name}.preprocess.json", "--out", f"{name}.json")
        assert cli.run(["fingerprint", "capture", *words]) == 0
    outputs = [f"--{kind}=x.{kind}" for kind in ("sarif", "junit", "html")]
    shown("fingerprint", "compare", "t.json", "i.json", *outputs)
    page = Path("x.html").read_text()
    assert not [c for c in FORBIDDEN if c in page]
    ET.parse("x.junit")
    json.loads(Path("x.sarif").read_text())


def test_classes_and_pictures_of_a_classifier(shown, tmp_path):
    model = write_model(tmp_path / "m.onnx")
    for k in range(2):
        picture(tmp_path / f"{k}{IN_A_FILE_NAME}")
    (tmp_path / ("broken" + IN_A_FILE_NAME)).write_bytes(b"x")
    model.with_suffix(".labels.txt").unlink()
    Path("labels.txt").write_bytes(b"\x1b[2JPASS\nb\nc\n")
    pictures = [p for p in tmp_path.iterdir() if p.name.endswith(".png")]
    shown("emotion", "predict", *pictures, "--model", "m.onnx")


def test_a_detectors_pictures(shown, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    picture(images / IN_A_FILE_NAME)
    (images / ("broken" + IN_A_FILE_NAME)).write_bytes(b"x")
    rows = [f'"{n}",0,0,20,20' for n in (IN_A_FILE_NAME, "broken" + IN_A_FILE_NAME)]
    Path("labels.csv").write_text("path,x1,y1,x2,y2\n" + "\n".join(rows) + "\n", newline="")
    words = ("eval", "detector", "--model", "haar", "--images", images, "--labels", "labels.csv")
    shown(*words)


def test_labels_that_are_converted(shown, tmp_path):
    document = {
        "images": [{"id": 1, "file_name": IN_A_FILE_NAME, "width": 9, "height": 9}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3]}],
        "categories": [{"id": 1, "name": NAME}],
    }
    Path("c.json").write_text(json.dumps(document))
    shown("data", "convert", "c.json", "--to", "csv", "--out", "o" + NAME)


def test_a_matrix_of_degradations(shown, tmp_path):
    from facelab.serving import degradation

    text = Path(degradation.__file__).with_name("matrix.toml").read_text()
    Path("m.toml").write_text(text.replace('"service"', json.dumps(NAME)))
    shown("recovery", "show", "--matrix", "m.toml")


def test_operators_of_a_model(shown, tmp_path):
    import onnx

    model = onnx.load(write_model(tmp_path / "m.onnx"))
    model.graph.node[0].name = NAME
    model.graph.name = NAME
    model.graph.node[1].op_type = NAME
    onnx.save(model, "m.onnx")
    shown("budget", "predict", "m.onnx", "--operators")


def test_a_release(shown, tmp_path):
    from facelab.deploy import make_bundle

    make_bundle(write_model(tmp_path / "m.onnx"), tmp_path / "b", name=NAME)
    words = ("--store", "store", "--unsigned", "allow")
    shown("release", "promote", "b", *words, "--reason", NAME)
    shown("release", "status", "--store", "store")
    shown("release", "verify", "b", "--unsigned", "allow")


def test_pairs(shown, tmp_path):
    picture("p.png")
    Path("pairs.csv").write_text(f'a,b,same\n"{NAME}",p.png,1\np.png,p.png,0\n', newline="")
    Path("e").mkdir()
    np.save("e/p.npy", np.ones(4, np.float32))
    shown("eval", "verification", "--pairs", "pairs.csv", "--embeddings-dir", "e")


def test_predictions_of_wider(shown, tmp_path):
    Path("p").mkdir()
    Path("p", "0--Parade").mkdir()
    Path("p", "0--Parade", NAME + ".txt").write_text("x\n1\n1 1 2 2 .5\n")
    cli_words = ("eval", "wider", "--predictions", "p", "--ground-truth", "no" + NAME)
    shown(*cli_words)
